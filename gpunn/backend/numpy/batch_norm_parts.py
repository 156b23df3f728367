"""Parts of the norm of a batch, for which plans have rules: its statistics, and what is done behind it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.backend.base_layers import PAIRS

from .batch_norm import _channels, _statistics, batch_norm_backward, batch_norm_inference, move_statistics
from .conv import conv2d_forward
from .im2col import Pair
from .pool import max_pool2d, max_pool2d_activation_backward, max_pool2d_backward
from .softmax import _working_type
from .workspace import scratch

__all__ = ["batch_norm_max_pool", "batch_norm_max_pool_backward", "batch_statistics", "conv2d_statistics"]


def batch_statistics(x: Any, running: Any = None, out: Any = None) -> tuple[Any, ...]:
    """The mean and variance of each channel of x (n, c, ...), and with `running` what `move_statistics` returns."""
    work, c = _working_type(x.dtype), x.shape[1]
    mean, var, *moved = (np.empty(c, work), np.empty(c, work)) if out is None else out
    with scratch() as take:
        _statistics(_channels(x), mean, var, take)
    if running is None:
        return mean, var
    run_mean, run_var, batches, keep, mean_share, var_share = running
    given = run_mean, mean, run_var, var, batches, keep, mean_share, var_share
    return mean, var, *move_statistics(*given, out=moved or None)


def batch_norm_max_pool(
    x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float, relu: bool, out: Any = None
) -> Any:
    """`max_pool2d` of `batch_norm_inference` by windows of 2 x 2 that lie side by side and cover the images."""
    y = batch_norm_inference(x, mean, var, weight, bias, eps, relu)
    half = (x.shape[2] // 2, x.shape[3] // 2)
    return max_pool2d(y, half, *PAIRS, out=out)


def batch_norm_max_pool_backward(
    dp: Any, p: Any, which: Any, x: Any, weight: Any, mean: Any, var: Any, eps: float, wanted: tuple[bool, bool, bool],
    out: Any = None,
) -> tuple[Any, ...]:  # fmt: skip
    """`batch_norm_backward` from the gradient of what `batch_norm_max_pool` gave: p, with a ReLU, and which."""
    where = which, x.shape[2:], *PAIRS
    if p is None:
        dy = max_pool2d_backward(dp, *where)
    else:
        dy = max_pool2d_activation_backward(dp, p, *where, "relu", 0.0)
    return batch_norm_backward(dy, x, weight, mean, var, eps, wanted, out=out)


def conv2d_statistics(
    x: Any, w: Any, b: Any, positions: Pair, stride: Pair, corner: Pair, dilation: Pair, groups: int,
    running: Any = None, out: Any = None,
) -> tuple[Any, ...]:  # fmt: skip
    """`conv2d_forward` without an activation, and `batch_statistics` of its result."""
    z_out, *rest = out or (None,)
    z = conv2d_forward(x, w, b, positions, stride, corner, dilation, groups, out=z_out)
    return z, *batch_statistics(z, running, out=rest or None)
