"""CuPy's memory pool, in the host's memory.

As in CuPy, memory that is let go of goes back at once to the arena of the stream that it was taken on, though that
stream may still work with it, and the next array of that stream gets it. What stands in it is spoiled when the stream
comes to it: who reads it later, from another stream or in a graph that holds no array, reads something else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np

TOTAL = 1 << 30
"""Bytes of memory of each device."""
SPOILED = 0x7F
"""What stands in memory that nobody wrote: large as a number of any type, and no place of an error."""
_MOST_SPOILED = 1 << 19

Work = list[Callable[[], None]]
"""What a stream has left to do."""


class OutOfMemoryError(MemoryError):
    """CuPy's."""


class DevicePool:
    """The pool of one device.

    Attributes:
        used: bytes of arrays.
        reserved: bytes of arrays, and those that are kept for later.
        limit: the most that may be reserved; 0 for all.
    """

    def __init__(self) -> None:
        self.used = self.reserved = self.limit = 0
        self._arenas: defaultdict[tuple[int, int], list[np.ndarray]] = defaultdict(list)

    def take(self, size: int, stream: int) -> np.ndarray:
        """Bytes for an array that is made while this stream is the current one."""
        if not size:  # a pointer of 0
            return np.empty(0, np.uint8)
        size = -(-size // 512) * 512
        arena = self._arenas[stream, size]
        if not arena:
            most = self.limit or TOTAL
            if self.reserved + size > most:
                self.free_all()
            if self.reserved + size > most:
                raise OutOfMemoryError(
                    f"Out of memory allocating {size:,} bytes (allocated so far: {self.used:,} bytes)."
                )
            self.reserved += size
            arena.append(np.empty(size, np.uint8))
            _spoil(arena[-1])
        self.used += size
        return arena.pop()

    def give_back(self, block: np.ndarray, stream: int, work: Work) -> None:
        """The last array in these bytes is gone."""
        self.used -= block.size
        if block.size:
            if work:
                work.append(partial(_spoil, block))
            else:
                _spoil(block)
            self._arenas[stream, block.size].append(block)

    def free_all(self) -> None:
        """Give back to the device what is kept for later."""
        self._arenas.clear()
        self.reserved = self.used


def _spoil(block: np.ndarray) -> None:
    block[:_MOST_SPOILED] = block[-_MOST_SPOILED:] = SPOILED
