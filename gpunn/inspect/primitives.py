"""Which primitives of a backend each op asks for, and which CUDA kernels those are made of, read from the code."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from types import FunctionType
from typing import Any

from gpunn.backend.base import Backend
from gpunn.backend.kernel import KernelBackend
from gpunn.backend.kernel.family import Family
from gpunn.ops import OPS
from gpunn.ops.base import Op


@dataclass(frozen=True)
class PrimitiveUse:
    """A primitive that an op asks for.

    Attributes:
        op: the op's name.
        primitive: the primitive's name; empty for an op that asks for none, such as a view.
        path: on a GPU: "kernel", "array module" where it has no kernel of ours, "host" where the host
            computes it, "no work" for views and transfers.
        texts: the kernel texts whose names stand in its code or in what it calls.
    """

    op: str
    primitive: str
    path: str
    texts: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        return asdict(self)


def primitive_uses() -> list[PrimitiveUse]:
    """What every registered op asks for."""
    uses = []
    for name, op in sorted(OPS.items()):
        for primitive in primitives_of(op) or ("",):
            function = getattr(KernelBackend, primitive, None)
            texts = kernel_texts_of(function)
            if primitive == "draw":
                path = "host"
            else:
                path = "array module" if getattr(function, "generic", False) else "kernel" if texts else "no work"
            uses.append(PrimitiveUse(name, primitive, path, texts))
    return uses


def primitives_of(op: type[Op]) -> tuple[str, ...]:
    """The primitives that an op's `forward` calls on its backend, in order."""
    found: dict[str, None] = {}
    for name, field in re.findall(r"backend\.(\w+)|getattr\(backend, self\.(\w+)", inspect.getsource(op.forward)):
        if name:
            found[name] = None
        elif isinstance(chosen := getattr(op, field, None), str):
            found[chosen] = None
        else:
            found |= dict.fromkeys(_choices(op))
    return tuple(found)


def _choices(op: type[Op]) -> Iterator[str]:
    """The primitives that an op chooses among by a field, which its docstring lists or its module makes it with."""
    made = "".join(
        re.findall(rf"\b_?{op.__name__}\([^)]*\)", inspect.getsource(sys.modules[op.__module__]), re.IGNORECASE)
    )
    for word in re.findall(r"\w+", f"{op.__doc__} {made}"):
        if word in _PRIMITIVES:
            yield word


_PRIMITIVES = {name for cls in Backend.__mro__ for name in (*vars(cls), *vars(cls).get("__annotations__", ()))}


def kernel_texts_of(function: Any) -> tuple[str, ...]:
    """The kernel texts named in a method of `KernelBackend`, and in what it uses of the families' modules, sorted."""
    found: set[str] = set()
    left, seen = [function], set()
    while left:
        current = inspect.unwrap(left.pop())
        if isinstance(current, str):
            found |= {current} if re.fullmatch(r"\w+\.cu", current) else set()
        elif isinstance(current, (list, tuple)):
            left += current
        elif isinstance(current, dict):
            left += current.values()
        elif isinstance(current, (FunctionType, type)) and current not in seen and _is_of_a_family(current):
            seen.add(current)
            left += vars(current).values() if isinstance(current, type) else _used_by(current)
    return tuple(sorted(found))


@cache
def _used_by(function: FunctionType) -> tuple[Any, ...]:
    """The constants in a function's source, and the values of its names and of the attributes of `self` in it."""
    try:
        source = inspect.getsource(function)
    except OSError:  # written by a decorator, such as the methods of a dataclass
        return ()
    found: list[Any] = []
    known = function.__globals__ | {
        name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ())
    }
    for node in ast.walk(ast.parse(textwrap.dedent(source))):
        if isinstance(node, ast.Constant):
            found.append(node.value)
        elif isinstance(node, ast.Name):
            found.append(known.get(node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            found.append(getattr(KernelBackend, node.attr, None))
    return tuple(found)


def _is_of_a_family(thing: FunctionType | type) -> bool:
    """Whether a function or a helper class belongs to the host side of the kernels, beyond what all families share."""
    if isinstance(thing, type) and issubclass(thing, Family):
        return False
    return thing.__module__.startswith(KernelBackend.__module__) and thing.__module__ != Family.__module__
