"""Normalisation of each row, or of groups of it. For half types statistics and computation are in float32."""

from __future__ import annotations

import math
from typing import Any

from .family import Array, Family, accumulator, ceil_div
from .ladder import Ladder
from .team import THREADS, channel_team, grid_and_block, lanes_for, shares, team_for

ROW_NORM = Ladder("row_norm", ("naive", "lanes", "warp", "block"))
"""The threads that share a group of a row: 1, a few lanes of a warp, 32 or 256."""


class Norm(Family):
    """Normalisation of rows: layer, group and instance norm."""

    full: Any  # from another family

    def row_norm_forward(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        split: tuple[int, int, int, int],
        eps: float,
        out: Any = None,
    ) -> tuple[Array, Array, Array]:
        """Each group of each row of x = (rows, groups, k, m) less its mean, over its standard deviation, then scaled.

        `weight` and `bias` have groups * k elements. Returns the result, and the means and variances (rows, groups).
        """
        work = accumulator(x.dtype)
        y, mean, var = out or (None, None, None)
        y = self.result(y, x.shape, x.dtype)
        mean, var = (self.result(a, split[:2], work) for a in (mean, var))
        if y.size:
            weight, bias = (self.converted(a, work) for a in (weight, bias))
            self._launch_rows("forward", split, eps, (self.contiguous(x), weight, bias, y, mean, var), x.dtype)
        else:  # the mean of no element
            mean, var = (self.full(a.shape, math.nan, work, out=a) for a in (mean, var))
        return y, mean, var

    def row_norm_backward(
        self,
        dy: Array,
        x: Array,
        weight: Array | None,
        mean: Array,
        var: Array,
        split: tuple[int, int, int, int],
        affine_shape: tuple[int, ...],
        eps: float,
        wanted: tuple[bool, bool, bool],
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The wanted ones of the gradients in x, weight and bias of `row_norm_forward`; the last two in their shape.

        dx = rstd (g - mean of g - xhat mean of (g xhat)),  g = dy weight
        """
        outs = iter(out or (None, None, None))
        dx = self.result(next(outs), x.shape, x.dtype) if wanted[0] else None
        dw, db = (self.result(next(outs), affine_shape, mean.dtype) if w else None for w in wanted[1:])
        dy, x, mean, var = map(self.contiguous, (dy, x, mean, var))
        if dx is not None and dx.size:
            self._launch_rows(
                "backward", split, eps, (dy, x, self.converted(weight, mean.dtype), mean, var, dx), x.dtype
            )
        if any(wanted[1:]):
            self._affine_gradients((dy, x, mean, var), dw, db, split, eps)
        return tuple([a for a in (dx, dw, db) if a is not None])

    def _launch_rows(
        self, direction: str, split: Any, eps: float, arrays: tuple[Array | None, ...], dtype: Any
    ) -> None:
        rows, groups, k, m = split
        team = ROW_NORM.pick(team_for(k * m, rows * groups))
        grid, block = grid_and_block(team, rows * groups, lanes_for(k * m, again=True))
        self.launch("row_norm.cu", f"row_norm_{direction}_{team}", grid, block, (*arrays, *split, eps), scalar_t=dtype)

    def _affine_gradients(
        self, arrays: tuple[Array, ...], dw: Array | None, db: Array | None, split: Any, eps: float
    ) -> None:
        """The sums of dy xhat into dw, and of dy into db."""
        rows, groups, k, m = split
        channels, x = groups * k, arrays[1]
        if not channels:
            return
        team = channel_team(m)
        count = shares(team, rows, channels, m)
        grid, block = grid_and_block(team, channels)
        # Where channels are shared, first the sums of each share, then the sums of those.
        sums = [a if a is None or count == 1 else self.empty((count, channels), a.dtype) for a in (dw, db)]
        args = (*arrays, *sums, *split, eps)
        self.launch("row_norm.cu", f"row_norm_affine_{team}", (*grid, count), block, args, scalar_t=x.dtype)
        if count > 1:
            for parts, d in zip(sums, (dw, db)):
                if d is not None:
                    joined = (parts, d, count, channels)
                    threads = (ceil_div(channels, THREADS),), (THREADS,)
                    self.launch("row_norm.cu", "row_norm_join", *threads, joined, scalar_t=x.dtype)
