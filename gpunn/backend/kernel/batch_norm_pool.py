"""The norm of a batch with a maximum pooling behind it, and its gradients, without what was normalised in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backend.base_layers import PAIRS

from .batch_norm import BatchNorm, ChannelLaunch, sizes_of
from .family import Array, accumulator, prod


class BatchNormPool(BatchNorm):
    """Batch normalisation and pooling in one."""

    # From another family
    max_pool2d: Callable[..., tuple[Array, Array]]
    max_pool2d_backward: Callable[..., Array]
    max_pool2d_activation_backward: Callable[..., Array]

    def batch_norm_max_pool(
        self,
        x: Array,
        mean: Array,
        var: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        relu: bool,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """`max_pool2d` of `batch_norm_inference` by windows of 2 x 2 that lie side by side and cover the images."""
        n, c, height, width = x.shape
        shape = n, c, height // 2, width // 2
        p_out, which_out = out or (None, None)
        p, which = self.result(p_out, shape, x.dtype), self.result(which_out, shape, np.uint8)
        x = self.contiguous(x)
        if not self.twos(x):
            y = self.batch_norm_inference(x, mean, var, weight, bias, eps, relu)
            return self.max_pool2d(y, shape[2:], *PAIRS, out=(p, which))
        if p.size:
            parameters = [self.converted(a, accumulator(x.dtype)) for a in (mean, var, weight, bias)]
            how = ChannelLaunch(self, "batch_norm_pool.cu", sizes_of(x), x.dtype)
            sizes = n, c, prod(shape[2:]), shape[3]
            how("batch_norm_max_pool", how.shares, x, *parameters, p, which, *sizes, eps, relu)
        return p, which

    def batch_norm_max_pool_backward(
        self,
        dp: Array,
        p: Array | None,
        which: Array,
        x: Array,
        weight: Array | None,
        mean: Array,
        var: Array,
        eps: float,
        wanted: tuple[bool, bool, bool],
        out: Any = None,
    ) -> tuple[Array, ...]:
        """`batch_norm_backward` from the gradient of what `batch_norm_max_pool` gave: p, with a ReLU, and which.

        The elements that were not chosen, or that the ReLU did not let through, have the gradient 0.
        """
        work, (n, c, height, width) = mean.dtype, x.shape
        outs = iter(out or (None, None, None))
        dx = self.result(next(outs), x.shape, x.dtype) if wanted[0] else None
        dw, db = (self.result(next(outs), mean.shape, work) if w else None for w in wanted[1:])
        results = tuple([a for a in (dx, dw, db) if a is not None])
        dp, which, x, mean, var = map(self.contiguous, (dp, which, x, mean, var))
        p = None if p is None else self.contiguous(p)
        if not x.size or not self.twos(x) or (dx is not None and not self.twos(dx)):
            where = which, (height, width), *PAIRS
            if p is None:
                dy = self.max_pool2d_backward(dp, *where)
            else:
                dy = self.max_pool2d_activation_backward(dp, p, *where, "relu", 0.0)
            return self.batch_norm_backward(dy, x, weight, mean, var, eps, wanted, out=results)
        how = ChannelLaunch(self, "batch_norm_pool.cu", sizes_of(x), x.dtype)
        parts, sums = (self.empty(shape, work) for shape in ((2, how.shares, c), (2, c)))
        given, sizes = (dp, p, which, x), (n, c, prod(dp.shape[2:]), dp.shape[3], eps)
        rest = (mean, var, parts, how.counters, sums, dw, db, *sizes)
        how("batch_norm_max_pool_backward_share", how.shares, *given, *rest)
        if dx is not None:
            weight = self.converted(weight, work)
            how("batch_norm_max_pool_backward_apply", how.shares, *given, weight, mean, var, sums, dx, *sizes)
        return results
