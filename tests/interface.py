"""The public interface: every public name with its signature, a line each, as tests/interface.txt has it.

``python -m tests.interface`` writes the file anew; whoever changes the interface shows by it what has changed.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpunn.later import Method

FILE = Path(__file__).with_name("interface.txt")
MODULES = (
    "gpunn", "gpunn.amp", "gpunn.autograd", "gpunn.cuda", "gpunn.datasets", "gpunn.inspect", "gpunn.inspect.compare",
    "gpunn.inspect.gradcheck", "gpunn.inspect.memory", "gpunn.io", "gpunn.models", "gpunn.nn", "gpunn.parallel",
    "gpunn.nn.functional", "gpunn.nn.init", "gpunn.nn.utils", "gpunn.nn.utils.parametrizations",
    "gpunn.nn.utils.parametrize", "gpunn.nn.utils.stateless", "gpunn.optim", "gpunn.optim.lr_scheduler", "gpunn.plan",
    "gpunn.train", "gpunn.utils.checkpoint", "gpunn.utils.data", "gpunn.accelerator", "gpunn.fx", "gpunn.jit",
    "gpunn.interop.torch", "gpunn.onnx", "gpunn.transforms", "gpunn.distributions", "gpunn.func", "gpunn.linalg",
    "gpunn.special", "gpunn.autograd.graph", "gpunn.autograd.functional", "gpunn.nn.utils.prune",
)  # fmt: skip


def lines() -> list[str]:
    """All names of all public modules, in order; what a class has of a public one above it stands there."""
    named: dict[str, Any] = {}
    for module in map(importlib.import_module, MODULES):
        listed = getattr(module, "__all__", None)
        for name in listed or [name for name in dir(module) if not name.startswith("_")]:
            value = getattr(module, name)
            home = getattr(value, "__module__", "gpunn")
            imported = not home.startswith("gpunn") or (
                listed is None and name == "Tensor" and module.__name__ != "gpunn"
            )
            if not imported and not inspect.ismodule(value):
                named[f"{module.__name__}.{name}"] = value
    classes: dict[type, str] = {
        value: path for path, value in sorted(named.items(), reverse=True) if inspect.isclass(value)
    }
    found = [f"{path}{_signature(value)}" for path, value in named.items()]
    for cls, path in classes.items():
        found += [f"{path}.{line}" for line in _members(cls, {*classes} - {cls})]
    return sorted({*found})


def _members(cls: type, others: set[type]) -> Iterator[str]:
    above = {base for other in others if issubclass(cls, other) for base in other.__mro__}
    bases = [base for base in cls.__mro__ if base.__module__.startswith("gpunn") and base not in above]
    for name in {name for base in bases for name in vars(base)}:
        if not name.startswith("_") or name in OPERATORS:
            value = inspect.getattr_static(cls, name)
            yield name + _signature(value.load() if isinstance(value, Method) else value)


OPERATORS = {
    f"__{name}__" for name in ("call", "len", "getitem", "setitem", "iter", "enter", "exit", "array", "dlpack")
}


def _signature(value: Any) -> str:
    """The parameters with their defaults, without types; empty for what can't be called."""
    value = getattr(value, "__func__", value)  # of class and static methods
    if not callable(value):
        return ""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    if hasattr(value, "takes_out") and "out" not in signature.parameters:
        place = len(parameters) - (bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD)
        parameters.insert(place, inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None))
    text = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    return re.sub(r" at 0x[0-9a-f]+", "", text)


if __name__ == "__main__":
    FILE.write_text("\n".join(lines()) + "\n", encoding="utf-8")
