"""Sorting of pairs of a key and a position, which what is sorted, and what is added up at indices, stands on."""

from __future__ import annotations

import numpy as np

from .family import Array, ceil_div
from .memory import Memory

_TILE = 1024
"""Pairs that one block of `sort.cu` sorts by itself."""
_MOST = 1 << 30
"""Positions are 32 bits wide."""


class Sorting(Memory):
    """Pairs (key, position), in memory of their own, which a family fills, sorts and reads."""

    def pairs(self, rows: int, length: int) -> tuple[Array, Array, int]:
        """Keys and positions for rows of `length`, not set yet; and to how many a row is padded, a power of two.

        Raises:
            ValueError: the rows are too long.
        """
        if length > _MOST:
            raise ValueError(f"sorting takes at most {_MOST} elements along the axis, got {length}")
        padded = 1 << max(0, length - 1).bit_length()
        return self.empty((rows * padded,), np.uint64), self.empty((rows * padded,), np.int32), padded

    def sort_pairs(self, key: Array, position: Array, padded: int) -> None:
        """Sort each row by key, in place; equal keys by position."""
        count = key.size
        tiles = ((ceil_div(count, _TILE),), (_TILE // 2,))
        if padded > 1 and count:
            args = (key, position, count, padded, 2, min(padded, _TILE))
            self.launch("sort.cu", "sort_tiles", *tiles, args)
        run = 2 * _TILE
        while run <= padded:
            distance = run // 2
            while distance >= _TILE:
                self.launch_elements(
                    "sort.cu", "sort_step", count // 2, (key, position, padded, run, distance, count // 2)
                )
                distance //= 2
            self.launch("sort.cu", "sort_tiles", *tiles, (key, position, count, padded, run, run))
            run *= 2
