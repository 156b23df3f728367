"""Largest and smallest elements, and sorting. NaN counts as larger than any number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .family import Array, ceil_div, generic, prod
from .ladder import Ladder
from .sorting import Sorting
from .team import SHORT, grid_and_block, lanes_for, team_for

EXTREME = Ladder("extreme", ("naive", "columns", "lanes", "warp", "block"))
"""The threads that share a row: 1, 8, a few lanes of a warp, 32 or 256."""
_PART = 1 << 13
"""A row is cut into parts of at least so many elements, if there are too few rows."""
_ENOUGH_BLOCKS = 256


class Order(Sorting):
    """Largest and smallest elements, and sorting."""

    def argmax(self, x: Array, axis: int | None, keepdims: bool, out: Array | None = None) -> Array:
        """The index of the first largest element along the axis, or among all."""
        return self._extreme(x, axis, keepdims, False, out)

    def argmin(self, x: Array, axis: int | None, keepdims: bool, out: Array | None = None) -> Array:
        """The index of the first smallest element along the axis, or among all; of the first NaN if any."""
        return self._extreme(x, axis, keepdims, True, out)

    def _extreme(self, x: Array, axis: int | None, keepdims: bool, smallest: bool, out: Array | None) -> Array:
        x = self.contiguous(x)
        axes = range(x.ndim) if axis is None else (axis % x.ndim,)
        kept = [1 if a in axes else n for a, n in enumerate(x.shape)]
        y = self.result(out, kept if keepdims else [n for a, n in enumerate(x.shape) if a not in axes], np.int64)
        length = prod([x.shape[a] for a in axes])
        inner = prod(x.shape[axes[-1] + 1 :]) if axes else 1
        rows = y.size
        if not rows:
            return y
        team = EXTREME.pick(_best(rows, length, inner))
        parts = min(ceil_div(_ENOUGH_BLOCKS, rows), ceil_div(length, _PART)) if team == "block" else 1

        def launch(candidates: Array | None, places: Array, count: int, parts: int, chunk: int) -> None:
            grid, block = grid_and_block(team, places.size, lanes_for(length))
            sizes = (rows // inner, count, inner, parts, chunk, length)
            args = (x, candidates, places, *sizes, int(smallest))
            self.launch("extreme.cu", f"extreme_{team}", grid, block, args, scalar_t=x.dtype)

        if parts == 1:
            launch(None, y, length, 1, length)
        else:
            chunk = ceil_div(length, parts)
            parts = ceil_div(length, chunk)  # none is empty
            candidates = self.empty((rows * parts,), np.int64)
            launch(None, candidates, length, parts, chunk)
            launch(candidates, y, parts, 1, parts)
        return y

    def sort(self, x: Array, axis: int, descending: bool, out: Any = None) -> tuple[Array, Array]:
        """The elements in order and the index (int64) of each; equal ones stay in their order.

        Raises:
            ValueError: the axis is longer than 2^30.
        """
        values, indices = out or (self.empty(x.shape, x.dtype), self.empty(x.shape, np.int64))
        x = self.contiguous(x)
        length, inner = x.shape[axis], prod(x.shape[axis:][1:])
        if x.size:
            key, position, padded = self.pairs(x.size // length, length)
            args = (x, key, position, length, inner, padded, int(descending), key.size)
            self.launch_elements("order.cu", "order_keys", key.size, args, scalar_t=x.dtype)
            self.sort_pairs(key, position, padded)
            results = (x, position, values, indices, length, inner, padded, x.size)
            self.launch_elements("order.cu", "order_results", x.size, results, scalar_t=x.dtype)
        return values, indices

    @generic
    def nonzero(self, x: Array) -> tuple[Array, ...]:
        """For each axis the indices (int64) of the elements that are not 0, in row-major order."""
        return tuple(self.xp.nonzero(x))


def _best(rows: int, length: int, inner: int) -> str:
    if inner == 1:
        return team_for(length, rows)
    return "naive" if length <= SHORT else "columns"
