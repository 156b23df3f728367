"""Memory for what primitives compute on the way.

It is kept from call to call: fresh pages take longer to come by than most operations on them take, and a replayed step
is to allocate nothing. Each thread has its own. A primitive opens a scope, in which it takes arrays one after another,
and gives all of them back at the scope's end::

    with scratch() as take:
        t = take(x.shape, x.dtype)
        ...
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

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
        self.used = end = start + (size + _LINE - 1) // _LINE * _LINE
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
            size = min(w.wanted, KEPT_BYTES)
            if size > w.memory.size:
                w.memory = np.empty(size, np.uint8)
                w.made.clear()
            w.wanted = 0


def workspace_bytes() -> int:
    """How much this thread keeps."""
    return int(_workspace.memory.size)
