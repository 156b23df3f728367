"""A convolution, and the mean and variance of each channel of its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backend.base_norms import Running
from gpunn.backend.recording import MOST_COUNTERS

from .activation import KINDS
from .conv import Conv, convolution_of
from .conv_plan import Convolution, forward_tile
from .conv_sliding import slides_faster
from .counting import counters_of
from .family import Array, accumulator, ceil_div
from .sliding_plan import OUTPUTS, Tile, sliding_tile
from .windows import Pair


class ConvStatistics(Conv):
    """Convolution in front of the norm of a batch."""

    # From other families
    batch_statistics: Callable[..., tuple[Array, ...]]
    statistics_of: Callable[..., Any]

    def conv2d_statistics(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        positions: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        running: Running | None = None,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """`conv2d_forward` without an activation, and `batch_statistics` of its result.

        Where windows slide and a block has all terms of its sums, blocks leave the moments of their tiles on the way.
        """
        z_out, *rest = out or (None,)
        z = self.result(z_out, (x.shape[0], w.shape[0], *positions), x.dtype)
        geometry = (positions, stride, corner, dilation, groups)
        f, itemsize = convolution_of(x.shape, w.shape, *geometry), accumulator(x.dtype).itemsize
        found = sliding_tile(f, itemsize)
        rung = self._conv2d_rung(f, forward_tile(f, itemsize), found, x.dtype)
        if rung != "sliding" or found is None or not _has_all_terms(f, found[1]):
            z = self.conv2d_forward(x, w, b, *geometry, out=z)
            return z, *self.batch_statistics(z, running, out=rest)
        x, w, b = self.contiguous(x), self.contiguous(w), None if b is None else self.contiguous(b)
        mean, var, moving, new = self.statistics_of(z, running, rest)
        combinations, shares = _shares(f, found[1])
        parts = self.empty((3, shares, z.shape[1]), mean.dtype)
        statistics = parts, self.share_counters(combinations, shares), mean, var, *moving
        self._conv2d_sliding(f, x, w, b, z, (f.depth, f.taps, False), KINDS["none"], 0.0, statistics=statistics)
        return z, mean, var, *new


def finds_statistics(f: Convolution, itemsize: int) -> bool:
    """Whether a convolution is predicted to be done best by blocks that find statistics; `itemsize` is in bytes."""
    found = sliding_tile(f, itemsize)
    return found is not None and _has_all_terms(f, found[1]) and slides_faster(f, itemsize, weight=False)


def _has_all_terms(f: Convolution, tile: Tile) -> bool:
    combinations, shares = _shares(f, tile)
    return tile.grid[1] == 1 and combinations * counters_of(shares) <= MOST_COUNTERS


def _shares(f: Convolution, tile: Tile) -> tuple[int, int]:
    """The blocks of different outputs of the same positions, and those of different positions of the same outputs."""
    combinations = f.groups * ceil_div(f.outer, OUTPUTS * tile.output_threads)
    return combinations, tile.grid[0] // combinations
