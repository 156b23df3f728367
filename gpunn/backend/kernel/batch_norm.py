"""Normalisation of channels over the batch. For half types statistics and computation are in float32."""

from __future__ import annotations

import math
from typing import Any

from gpunn.backend.base_norms import Running
from gpunn.backend.recording import MOST_COUNTERS

from .counting import Counting
from .family import Array, accumulator, prod
from .ladder import Ladder
from .quad import Quads
from .team import channel_team, grid_and_block, shares

BATCH_NORM = Ladder("batch_norm", ("fused", "split"))
"""A channel by one team in one launch, or by several in two."""


class BatchNorm(Quads, Counting):
    """Batch normalisation."""

    def batch_norm_forward(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        relu: bool = False,
        running: Running | None = None,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...), with the mean and variance of each channel.

        With `relu`, 0 where that is negative. Returns the result, the means, the variances (the mean square of the
        deviations), and with `running`, what `move_statistics` takes beside these, what that returns.
        """
        work, size = accumulator(x.dtype), sizes_of(x)
        y, *rest = out or (None,)
        y = self.result(y, x.shape, x.dtype)
        how = ChannelLaunch(self, "batch_norm.cu", size, x.dtype)
        weight, bias = (self.converted(a, work) for a in (weight, bias))
        if not y.size or how.shares > 1:
            mean, var, *moved = self.batch_statistics(x, running, out=rest)
            if y.size:
                arrays = self.contiguous(x), mean, var, weight, bias, None, y
                how("batch_norm_apply", how.shares, *arrays, *size, eps, relu, False)
            return y, mean, var, *moved
        mean, var, moving, new = self.statistics_of(x, running, rest)
        x = self.contiguous(x)
        how("batch_norm_fused", 1, x, weight, bias, y, mean, var, *moving, *size, eps, relu, how.fours(x))
        return y, mean, var, *new

    def batch_statistics(self, x: Array, running: Running | None = None, out: Any = None) -> tuple[Array, ...]:
        """The mean and variance of each channel of x (n, c, ...), and with `running` what `move_statistics` returns."""
        work, size = accumulator(x.dtype), sizes_of(x)
        if not prod(size):
            mean, var, *moved = out or (None, None)
            mean, var = (self.result(a, x.shape[1:2], work) for a in (mean, var))
            mean, var = (self.full(a.shape, math.nan, work, out=a) for a in (mean, var))
            if running is None:
                return mean, var
            run_mean, run_var, batches, keep, mean_share, var_share = running
            given = run_mean, mean, run_var, var, batches, keep, mean_share, var_share
            return mean, var, *self.move_statistics(*given, out=moved or None)
        mean, var, moving, new = self.statistics_of(x, running, out)
        x, how = self.contiguous(x), ChannelLaunch(self, "batch_norm.cu", size, x.dtype)
        parts = self.empty((3, how.shares, size[1]), work)
        how("batch_norm_share", how.shares, x, parts, how.counters, mean, var, *moving, *size, how.fours(x))
        return mean, var, *new

    def statistics_of(self, x: Array, running: Running | None, out: Any) -> tuple[Array, Array, Any, tuple[Array, ...]]:
        """Memory for means and variances; what a kernel is told of running ones; and the new ones, which it makes."""
        mean, var, *moved = out or (None, None)
        mean, var = (self.result(a, x.shape[1:2], accumulator(x.dtype)) for a in (mean, var))
        return mean, var, *self._moving(running, moved)

    def move_statistics(
        self,
        mean: Array,
        batch_mean: Array,
        var: Array,
        batch_var: Array,
        batches: Array | None,
        keep: float,
        mean_share: float,
        var_share: float,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """(keep mean + mean_share batch_mean, the like of var, and batches + 1 if it is given); `out` may be those."""
        moving, new = self._moving((mean, var, batches, keep, mean_share, var_share), out)
        args = (*moving, self.contiguous(batch_mean), self.contiguous(batch_var), mean.size)
        count = max(mean.size, 1)  # one thread counts the batch
        self.launch_elements("batch_norm.cu", "batch_norm_move", count, args, scalar_t=mean.dtype)
        return new

    def _moving(self, running: Running | None, out: Any) -> tuple[tuple[Any, ...], tuple[Array, ...]]:
        """What a kernel is told of running statistics, and the new ones, which it makes."""
        if running is None:
            return (*(None,) * 6, 0.0, 0.0, 0.0), ()
        mean, var, batches, *shares = running
        old = (mean, var) if batches is None else (mean, var, batches)
        new = tuple([self.result(y, a.shape, a.dtype) for y, a in zip(out or (None, None, None), old)])
        return (self.contiguous(mean), self.contiguous(var), batches, *(*new, None)[:3], *shares), new

    def batch_norm_inference(
        self,
        x: Array,
        mean: Array,
        var: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        relu: bool = False,
        added: Array | None = None,
        relu_of_sum: bool = False,
        out: Any = None,
    ) -> Array:
        """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...) and given statistics (c,).

        With `relu`, 0 where that is negative; with `added` (n, c, ...) the sum of both, with `relu_of_sum` 0 where this
        is negative.
        """
        y, size = self.result(out, x.shape, x.dtype), sizes_of(x)
        if y.size:
            parameters = [self.converted(a, accumulator(x.dtype)) for a in (mean, var, weight, bias)]
            how = ChannelLaunch(self, "batch_norm.cu", size, x.dtype)
            added = None if added is None else self.contiguous(added)
            arrays = self.contiguous(x), *parameters, added, y
            how("batch_norm_apply", how.shares, *arrays, *size, eps, relu, relu_of_sum)
        return y

    def batch_norm_backward(
        self,
        dy: Array,
        x: Array,
        weight: Array | None,
        mean: Array,
        var: Array,
        eps: float,
        wanted: tuple[bool, bool, bool],
        bias: Array | None = None,
        relu: bool = False,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """The wanted ones of the gradients in x, weight and bias of `batch_norm_forward`.

        With `relu` it is asked again, by x and `bias`, which elements the ReLU let through. With a = weight rstd,
        dx = a (dy - mean of dy - (x - mean) rstd^2 mean of dy (x - mean)).
        """
        work, size = mean.dtype, sizes_of(x)
        outs = iter(out or (None, None, None))
        dx = self.result(next(outs), x.shape, x.dtype) if wanted[0] else None
        dw, db = (self.result(next(outs), mean.shape, work) if w else None for w in wanted[1:])
        if not x.size:  # sums of nothing are 0, though there is no variance
            dw, db = (None if a is None else self.full(a.shape, 0, work, out=a) for a in (dw, db))
        results = tuple([a for a in (dx, dw, db) if a is not None])
        if not x.size:
            return results
        dy, x, mean, var = map(self.contiguous, (dy, x, mean, var))
        weight, bias = (self.converted(a, work) for a in (weight, bias))
        given, rest = (dy, x, weight, bias, mean, var), (*size, eps, relu)
        how = ChannelLaunch(self, "batch_norm_backward.cu", size, x.dtype)
        if how.shares == 1:
            how("batch_norm_backward_fused", 1, *given, dx, dw, db, *rest)
        else:
            parts, sums = (self.empty(shape, work) for shape in ((2, how.shares, size[1]), (2, size[1])))
            how("batch_norm_backward_share", how.shares, *given, parts, how.counters, sums, dw, db, *rest)
            if dx is not None:
                how("batch_norm_backward_apply", how.shares, *given, sums, dx, *rest)
        return results


class ChannelLaunch:
    """Launches kernels of a text for x of some sizes (n, c, m)."""

    def __init__(self, family: BatchNorm, text: str, size: tuple[int, int, int], dtype: Any) -> None:
        self.family, self.text, self.size, self.dtype = family, text, size, dtype
        self.team = channel_team(size[2])
        self.groups = grid_and_block(self.team, size[1])[0][0]
        wanted = shares(self.team, *size)
        rung = BATCH_NORM.pick("fused" if wanted == 1 else "split")
        self.shares = 1 if rung == "fused" or self.groups > MOST_COUNTERS else max(2, wanted)

    def __call__(self, kernel: str, blocks: int, *args: Any) -> None:
        """A team on each of so many shares of each channel."""
        grid, block = grid_and_block(self.team, self.size[1])
        name = f"{kernel}_{self.team}"
        self.family.launch(self.text, name, (*grid, blocks), block, args, scalar_t=self.dtype)

    @property
    def counters(self) -> Array | None:
        """One for each group of blocks that share channels; None where a block has all of a channel."""
        return None if self.shares == 1 else self.family.counters(self.groups)

    def fours(self, x: Array) -> bool:
        """Whether a block can go over x four elements at a time."""
        return self.team == "block" and self.family.quads(x, self.size[2])


def sizes_of(x: Array) -> tuple[int, int, int]:
    """(n, c, ...) as (n, c, m)."""
    return x.shape[0], x.shape[1], prod(x.shape[2:])
