"""Softmax and its logarithm along one axis; the kernels read it as it lies, without moving it to the end."""

from __future__ import annotations

from typing import Any

from .family import Array, Family, prod
from .ladder import Ladder
from .team import SHORT, grid_and_block, lanes_for, team_for

SOFTMAX = Ladder("softmax", ("naive", "columns", "lanes", "warp", "block"))
"""The threads that share a row: 1, 8, a few lanes of a warp, 32 or 256."""

_MANY = 1 << 16
"""With so many rows, one thread for each keeps a GPU busy; not measured."""


class Softmax(Family):
    """Softmax and its logarithm."""

    def softmax(self, x: Array, axis: int, out: Any = None) -> Array:
        """e^(x - m) / sum of e^(x - m), m = max x: the largest exponent is 0, so nothing overflows."""
        return self._softmax_along("softmax_forward", (x,), axis, False, out)

    def softmax_backward(self, dy: Array, y: Array, axis: int, out: Any = None) -> Array:
        """y (dy - sum of dy y)."""
        return self._softmax_along("softmax_backward", (dy, y), axis, False, out)

    def log_softmax(self, x: Array, axis: int, out: Any = None) -> Array:
        """(x - m) - ln sum of e^(x - m), m = max x: no overflow, and no logarithm of a rounded 0."""
        return self._softmax_along("softmax_forward", (x,), axis, True, out)

    def log_softmax_backward(self, dy: Array, y: Array, axis: int, out: Any = None) -> Array:
        """dy - e^y sum of dy."""
        return self._softmax_along("softmax_backward", (dy, y), axis, True, out)

    def _softmax_along(self, kernel: str, arrays: tuple[Array, ...], axis: int, logarithm: bool, out: Any) -> Array:
        shape, dtype = arrays[-1].shape, arrays[-1].dtype
        result = self.result(out, shape, dtype)
        length, inner = shape[axis], prod(shape[axis + 1 :])
        rows = prod(shape[:axis]) * inner
        if rows and length:
            team = SOFTMAX.pick(_best(rows, length, inner))
            grid, block = grid_and_block(team, rows, lanes_for(length, again=True))
            args = (*map(self.contiguous, arrays), result, rows, length, inner, logarithm)
            self.launch("softmax.cu", f"{kernel}_{team}", grid, block, args, scalar_t=dtype)
        return result


def _best(rows: int, length: int, inner: int) -> str:
    if inner == 1:
        return team_for(length, rows)
    return "naive" if length <= SHORT or rows >= _MANY else "columns"
