"""Signatures of PyTorch's functions, those of C++ included, and how gpunn's differ from them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gpunn.argument_names import ALIASES

Default = Any
REQUIRED: Default = inspect.Parameter.empty

MEANINGLESS = {"layout", "memory_format", "names", "pin_memory"}
"""Arguments that say nothing about dense tensors on one device; the page says so once."""
OLD = {"size_average", "min_value", "max_value", "num_chunks", "foreach", "fused", "capturable", "differentiable"}
"""Arguments that PyTorch has replaced, and hints for implementations; the page says so once. A position behind one of
them means nothing."""
OTHER = {other: name for name, other in ALIASES.items()}
"""For a name that is taken beside another one, that one."""


@dataclass(frozen=True)
class Signature:
    """The parameters of one way to call a function, without `self`."""

    positional: tuple[str, ...]
    keywords: frozenset[str]
    star: str
    takes_any_keyword: bool
    defaults: dict[str, Default]

    @property
    def names(self) -> list[str]:
        """All parameters, in order."""
        return [*self.positional, *([self.star] if self.star else []), *sorted(self.keywords)]


def of(function: Any, method: bool = False) -> Signature | None:
    """The signature of a Python function or class; None where Python knows none."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    parameters = list(found.parameters.values())[1 if method else 0 :]
    kinds = inspect.Parameter
    return Signature(
        tuple(p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)),
        frozenset(p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY)
        | ({"out"} if hasattr(function, "takes_out") else set()),
        next((p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL), ""),
        any(p.kind is kinds.VAR_KEYWORD for p in parameters),
        {p.name: p.default for p in parameters if p.default is not REQUIRED}
        | ({"out": None} if hasattr(function, "takes_out") else {}),
    )


@cache
def _declared() -> dict[str, list[Signature]]:
    """What the type stubs in PyTorch's wheel declare, each overload: ``torch.add``, ``torch.Tensor.add``, ..."""
    import torch

    root = Path(torch.__file__).parent
    functions = ast.parse((root / "_C" / "_VariableFunctions.pyi").read_text(encoding="utf-8")).body
    functional = ast.parse((root / "nn" / "functional.pyi").read_text(encoding="utf-8")).body
    tensor = next(
        node
        for node in ast.parse((root / "_C" / "__init__.pyi").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == "TensorBase"
    ).body
    found: dict[str, list[Signature]] = {}
    for prefix, body in (("torch", functions), ("torch.nn.functional", functional), ("torch.Tensor", tensor)):
        for node in body:
            if isinstance(node, ast.FunctionDef) and (signature := _of_stub(node, prefix == "torch.Tensor")):
                found.setdefault(f"{prefix}.{node.name}", []).append(signature)
    return found


def _of_stub(node: ast.FunctionDef, method: bool) -> Signature | None:
    """The signature in a stub; None for one that is deprecated, or is for named dimensions or numbers that are not."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    if method and positional and positional[0].arg == "self":
        positional = positional[1:]
    elif any(a.arg == "self" for a in positional):
        return None  # the order of PyTorch 0.3
    everything = [*positional, *arguments.kwonlyargs]
    if any(a.annotation and "EllipsisType" in ast.unparse(a.annotation) for a in everything):
        return None
    given = dict(zip([a.arg for a in positional][::-1], arguments.defaults[::-1]))
    given |= {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults) if d is not None}
    return Signature(
        tuple(a.arg for a in positional),
        frozenset(a.arg for a in arguments.kwonlyargs),
        arguments.vararg.arg if arguments.vararg else "",
        arguments.kwarg is not None,
        {name: _value(default) for name, default in given.items()},
    )


def _value(node: ast.expr) -> Default:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _of_docstring(function: Any, method: bool) -> list[Signature]:
    """The signatures that begin the docstring of a function without another one: ``linalg.det(A, *, out=None)``."""
    found = []
    for line in (function.__doc__ or "").strip().splitlines():
        head, arrow, _ = line.strip().partition("->")
        if not arrow and not (head.endswith(")") and not found):
            break
        head = (
            head.strip().replace("torch.strided", "None").replace(", *, *,", ", *,").replace("[", "").replace("]", "")
        )
        name, parenthesis, rest = head.partition("(")
        if parenthesis and name.replace(".", "").replace("_", "").isalnum():
            try:
                (node,) = ast.parse(f"def f({rest}: ...").body
            except SyntaxError:
                continue
            assert isinstance(node, ast.FunctionDef)
            if signature := _of_stub(node, method):
                found.append(signature)
    return found


def theirs(path: str, value: Any, method: bool = False) -> list[Signature]:
    """All ways to call what PyTorch has under a path; empty where nothing says how."""
    if path in _declared():
        return _declared()[path]
    found = of(value, method)
    says_nothing = found is None or (found.star == "args" and not found.positional)
    return [found] if found and not says_nothing else _of_docstring(value, method)


def differences(theirs: list[Signature], ours: Signature) -> list[str]:
    """What a call to PyTorch's function may have that gpunn's does not take, or takes for something else."""
    found: dict[str, None] = {}
    for one in theirs:
        found |= dict.fromkeys(_differences(one, ours, theirs))
    return list(found)


def _differences(one: Signature, ours: Signature, ways: list[Signature]) -> Iterator[str]:
    """Of one way to call it; a default may be that of any of the `ways`."""
    after_old, old = False, OLD | ({"reduce"} if "size_average" in one.positional else set())
    names = [OTHER.get(name, name) for name in ours.positional]
    for place, name in enumerate(one.positional):
        after_old |= name in old or name.startswith("_")
        if name in MEANINGLESS | old or name.startswith("_"):
            continue
        name = OTHER.get(name, name)
        here = names.index(name) if name in names else -1
        if here >= 0 and (here == place or after_old or (ours.star and here > place)):
            continue
        if here >= 0:
            yield f"`{name}` is argument {here + 1}, not {place + 1}"
        elif name not in ours.keywords and name != OTHER.get(ours.star, ours.star) and not ours.takes_any_keyword:
            yield f"no `{name}=`"
        elif name in ours.keywords and not after_old:
            yield f"`{name}=` by name alone"
    if one.star and not ours.star and one.star not in ours.positional:
        yield f"no `*{one.star}`"
    for name in sorted(one.keywords - MEANINGLESS - old):
        if name not in ours.names and not ours.takes_any_keyword and not name.startswith("_"):
            yield f"no `{name}=`"
    for name, default in one.defaults.items():
        if name in MEANINGLESS | old or name not in ours.names:
            continue
        defaults = [way.defaults[name] for way in ways if name in way.defaults]
        if name not in ours.defaults and name != ours.star:
            yield f"`{name}` has no default"
        elif name in ours.defaults and not any(_equal(d, ours.defaults[name]) for d in defaults):
            yield f"`{name}={_text(ours.defaults[name])}`, not `{_text(default)}`"
    for name in [*ours.positional, *ours.keywords]:
        other = OTHER.get(name, name)
        if name not in ours.defaults and not any(other in (OTHER.get(n, n) for n in way.names) for way in ways):
            yield f"needs `{name}`"


def _equal(a: Default, b: Default) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b
    return a is ... or _text(a) == _text(b) or {str(a), str(b)} == {"()", "None"}


def _text(default: Default) -> str:
    """A default as it is written, without the name of its library."""
    if callable(default) and hasattr(default, "__name__"):
        return str(default.__name__)
    text = default if isinstance(default, str) else repr(default)
    if isinstance(default, (list, tuple)):
        text = repr(tuple(default))
    return "a generator" if "Generator" in text else text.replace("torch.", "").replace("gpunn.", "")
