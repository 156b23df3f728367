"""Normalisation of channels over the batch. For half types statistics and computation are in float32."""

from __future__ import annotations

import math
from typing import Any

from gpunn.backend.base_layers import Running
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
        work, size = accumulator(x.dtype), _sizes(x)
        y, mean, var, *moved = out or (None, None, None)
        y = self.result(y, x.shape, x.dtype)
        mean, var = (self.result(a, x.shape[1:2], work) for a in (mean, var))
        if not y.size:
            if not prod(size[::2]):  # of no element
                mean, var = (self.full(a.shape, math.nan, work, out=a) for a in (mean, var))
            if running is not None:
                run_mean, run_var, batches, keep, mean_share, var_share = running
                given = run_mean, mean, run_var, var, batches, keep, mean_share, var_share
                return y, mean, var, *self.move_statistics(*given, out=moved or None)
            return y, mean, var
        moving, moved = self._moving(running, moved)
        x = self.contiguous(x)
        weight, bias = (self.converted(a, work) for a in (weight, bias))
        how = _Launch(self, "batch_norm", size, x.dtype)
        fours = how.team == "block" and self.quads(x, size[2])
        if how.shares == 1:
            how("fused", 1, x, weight, bias, y, mean, var, *moving, *size, eps, relu, fours)
        else:
            parts = self.empty((3, how.shares, size[1]), work)
            how("share", how.shares, x, parts, how.counters, mean, var, *moving, *size, fours)
            how("apply", how.shares, x, mean, var, weight, bias, y, *size, eps, relu)
        return y, mean, var, *moved

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
        self, x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float, out: Any = None
    ) -> Array:
        """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...) and given statistics (c,)."""
        y, size = self.result(out, x.shape, x.dtype), _sizes(x)
        if y.size:
            parameters = [self.converted(a, accumulator(x.dtype)) for a in (mean, var, weight, bias)]
            how = _Launch(self, "batch_norm", size, x.dtype)
            how("apply", how.shares, self.contiguous(x), *parameters, y, *size, eps, False)
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
        work, size = mean.dtype, _sizes(x)
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
        how = _Launch(self, "batch_norm_backward", size, x.dtype)
        if how.shares == 1:
            how("fused", 1, *given, dx, dw, db, *rest)
        else:
            parts, sums = (self.empty(shape, work) for shape in ((2, how.shares, size[1]), (2, size[1])))
            how("share", how.shares, *given, parts, how.counters, sums, dw, db, *rest)
            if dx is not None:
                how("apply", how.shares, *given, sums, dx, *rest)
        return results


class _Launch:
    """Launches the kernels of a text, "batch_norm" or "batch_norm_backward", for x of some sizes (n, c, m)."""

    def __init__(self, family: BatchNorm, name: str, size: tuple[int, int, int], dtype: Any) -> None:
        self.family, self.name, self.channels, self.dtype = family, name, size[1], dtype
        self.team = channel_team(size[2])
        self.groups = grid_and_block(self.team, self.channels)[0][0]
        wanted = shares(self.team, *size)
        rung = BATCH_NORM.pick("fused" if wanted == 1 else "split")
        self.shares = 1 if rung == "fused" or self.groups > MOST_COUNTERS else max(2, wanted)

    def __call__(self, kernel: str, blocks: int, *args: Any) -> None:
        """A team on each of so many shares of each channel."""
        grid, block = grid_and_block(self.team, self.channels)
        name = f"{self.name}_{kernel}_{self.team}"
        self.family.launch(f"{self.name}.cu", name, (*grid, blocks), block, args, scalar_t=self.dtype)

    @property
    def counters(self) -> Array:
        """One for each group of blocks that share channels."""
        return self.family.counters(self.groups)


def _sizes(x: Array) -> tuple[int, int, int]:
    """(n, c, ...) as (n, c, m)."""
    return x.shape[0], x.shape[1], prod(x.shape[2:])
