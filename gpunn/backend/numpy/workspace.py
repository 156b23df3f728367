"""Memory for what primitives compute on the way.

It is kept from call to call: fresh pages take longer to come by than most operations on them take, and a replayed step
is to allocate nothing. Each thread has its own. A primitive opens a scope, in which it takes arrays one after another,
and gives all of them back at the scope's end::

    with scratch() as take:
        t = take(x.shape, x.dtype)
        ...

Most primitives go through large arrays in blocks, and do with the `LEAST_BYTES` that every thread has. Those that may
need more say how much, by the shapes of their arguments: `declares`, next to the primitive. So what a step computes in
is known before it is run.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

LEAST_BYTES = 1 << 21
"""What a thread has from its first scope on."""
KEPT_BYTES = 1 << 25
"""At most so much is kept by each thread; what a call needs beyond it, it allocates."""
_REMEMBERED = 4096
_LINE = 64
"""Bytes: arrays begin at whole cache lines."""

Take = Callable[[tuple[int, ...], Any], Any]


class _Workspace(threading.local):
    def __init__(self) -> None:
        self.memory: Any = np.empty(0, np.uint8)
        self.used = 0
        self.most = 0
        self.wanted = 0
        self.starts: list[int] = []
        self.made: dict[Any, Any] = {}  # arrays by place, shape and type: the same ones are asked for again and again

    def take(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array whose elements are not set, until the end of the scope."""
        key = (self.used, shape, dtype)
        found = self.made.get(key)
        if found is not None:
            self.used, array = found
            return array
        start, size = self.used, math.prod(shape) * dtype.itemsize
        self.used = end = start + aligned(size)
        self.most = max(self.most, end)
        if end > self.memory.size and not self.memory.size:
            self.memory = np.empty(LEAST_BYTES, np.uint8)
        if end > self.memory.size:
            self.wanted = max(self.wanted, end)
            return np.empty(shape, dtype)  # from the next call on there is room
        array = self.memory[start : start + size].view(dtype).reshape(shape)
        if len(self.made) < _REMEMBERED:
            self.made[key] = end, array
        return array


_workspace = _Workspace()


class scratch:
    """A scope; see the module."""

    __slots__ = ()

    def __enter__(self) -> Take:
        _workspace.starts.append(_workspace.used)
        return _workspace.take

    def __exit__(self, *_: object) -> None:
        w = _workspace
        w.used = w.starts.pop()
        if not w.used and w.wanted > w.memory.size:
            reserve(min(w.wanted, KEPT_BYTES))


def reserve(size: int) -> None:
    """Let this thread have at least so much from the beginning, so that no call is the first that needs it."""
    w = _workspace
    if not w.used and max(size, LEAST_BYTES) > w.memory.size:
        w.made.clear()
        w.memory = np.empty(0, np.uint8)  # the old one goes before the new one comes
        w.memory = np.empty(max(size, LEAST_BYTES), np.uint8)
    w.wanted = 0


def workspace_bytes() -> int:
    """How much this thread keeps."""
    return int(_workspace.memory.size)


# What primitives need -------------------------------------------------------------------------------------------------

Need = Callable[..., int]
_needs: dict[str, dict[str, Need]] = {}


def declares(name: str, what: str = "") -> Callable[[Need], Need]:
    """A decorator for the function that says what the primitive `name` takes, called with what the primitive is.

    What it takes for several things at a time, each named by `what`, is added up.
    """

    def keep(need: Need) -> Need:
        _needs.setdefault(name, {})[what] = need
        return need

    return keep


def needed(name: str, *args: Any, **kwargs: Any) -> int:
    """What a primitive takes with these arguments, in bytes; 0 where it surely does with `LEAST_BYTES`."""
    return sum(need(*args, **kwargs) for need in _needs.get(name, {}).values())


def taken(dtype: Any, *shapes: tuple[int, ...]) -> int:
    """What arrays of these shapes take together."""
    return sum(aligned(math.prod(shape) * dtype.itemsize) for shape in shapes)


def aligned(size: int) -> int:
    """`size`, rounded up to whole cache lines."""
    return (size + _LINE - 1) // _LINE * _LINE
