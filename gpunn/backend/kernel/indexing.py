"""Elements by indices, and elements put or added up at indices."""

from __future__ import annotations

import numpy as np

from .family import Array, ceil_div
from .memory import Memory

_CHECKING_BLOCKS = 64
"""Blocks that look for a bad index at most, each of which leaves a number for the host."""


class Indexing(Memory):
    """Elements by indices, and elements put or added up at indices."""

    # Bad indices ------------------------------------------------------------------------------------------------------

    def check_indices(self, index: Array, low: int, high: int, ignore: int | None = None) -> int | None:
        """The first element that is not low <= i < high, nor `ignore`; None if there is none.

        The host waits for the answer. Kernels that take indices guard themselves too.
        """
        place = self.first_outside(index, low, high, ignore)
        if place is None:
            return None
        return int(self.to_numpy(self.contiguous(index).reshape(-1)[place : place + 1])[0])

    def first_outside(self, index: Array, low: int, high: int, ignore: int | None = None) -> int | None:
        """Where, counted in row-major order, the first such element is."""
        index = self.contiguous(index)
        if not index.size:
            return None
        blocks = min(ceil_div(index.size, 256), _CHECKING_BLOCKS)
        found = self.empty((blocks,), np.int64)
        args = (index, found, index.size, low, high, int(ignore is not None), ignore or 0)
        self.launch("check.cu", "first_outside", (blocks,), (256,), args, integer_t=index.dtype)
        first = int(self.to_numpy(found).min())
        return first if first < index.size else None
