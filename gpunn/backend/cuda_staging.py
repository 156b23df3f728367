"""Copies from the host to a CUDA device, for which the host does not wait."""

from __future__ import annotations

import ctypes
from collections import deque
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

PIECE = 32 << 20
"""Bytes that are copied from the host at a time."""
SMALL = 4 << 10
"""Bytes of a small copy, such as the numbers of a step: its page-locked memory is kept for the next ones."""
MOST_WAITING = 8
"""Pieces that may wait for the device before the host does."""


class Staging:
    """Copies from the host, through page-locked memory.

    From such memory the device reads by itself while the host goes on, and the host's array may change at once. Small
    pieces of it and the events that say when they are read are used again and again. Large pieces are from CuPy's pool
    and go back there, so that a large array does not lock as much memory as it has itself.

    Args:
        cupy: the module.
    """

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.waiting: deque[_Piece] = deque()
        self.small: list[_Piece] = []
        self.events: list[Any] = []
        self.lock = Lock()

    def copy(self, x: Any, y: Any) -> None:
        """Copy a NumPy array to a row-major array on the current device, on its current stream."""
        source = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        for start in range(0, source.size, PIECE):
            part = source[start : start + PIECE]
            try:
                piece = self._take(part.size)
            except self.cupy.cuda.runtime.CUDARuntimeError:  # the system locks no more memory
                (y.data + start).copy_from_host_async(_address(part), part.size)
                self.cupy.cuda.get_current_stream().synchronize()
                continue
            piece.memory[: part.size] = part
            (y.data + start).copy_from_host_async(piece.address, part.size)
            piece.read.record()
            with self.lock:
                self.waiting.append(piece)

    def _take(self, size: int) -> _Piece:
        """Memory and an event that nobody uses; waits if there are too many pieces that are not read yet."""
        with self.lock:
            while self.waiting:
                if len(self.waiting) >= MOST_WAITING:
                    self.waiting[0].read.synchronize()
                elif not self.waiting[0].read.done:
                    break
                piece = self.waiting.popleft()
                if piece.memory.size == SMALL:
                    self.small.append(piece)
                else:
                    self.events.append(piece.read)
            if size <= SMALL and self.small:
                return self.small.pop()
            read = self.events.pop() if self.events else self.cupy.cuda.Event(disable_timing=True)
        size = max(size, SMALL)
        memory = np.frombuffer(self.cupy.cuda.alloc_pinned_memory(size), np.uint8, size)
        return _Piece(memory, _address(memory), read)


class _Piece(NamedTuple):
    """Page-locked memory as bytes, where it is, and the event that happens when the device has read it."""

    memory: Any
    address: ctypes.c_void_p
    read: Any


def _address(memory: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(memory.ctypes.data)
