"""A convolution with the maximum pooling behind it, and its weight gradient, one after the other."""

from __future__ import annotations

from typing import Any

from gpunn.backend.base_layers import PAIRS

from .conv import conv2d_forward, conv2d_weight_grad
from .im2col import Pair
from .pool import max_pool2d, max_pool2d_activation_backward

__all__ = ["conv2d_max_pool", "conv2d_max_pool_weight_grad"]


def conv2d_max_pool(
    x: Any, w: Any, b: Any, positions: Pair, stride: Pair, corner: Pair, dilation: Pair, groups: int, kind: str,
    parameter: float, out: Any = None,
) -> Any:  # fmt: skip
    """`max_pool2d` of `conv2d_forward` by windows of 2 x 2 that lie side by side and cover the result."""
    y = conv2d_forward(x, w, b, positions, stride, corner, dilation, groups, kind, parameter)
    half = (positions[0] // 2, positions[1] // 2)
    return max_pool2d(y, half, *PAIRS, out=out)


def conv2d_max_pool_weight_grad(
    x: Any, dp: Any, p: Any, which: Any, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, groups: int,
    bias: bool, kind: str, parameter: float, out: Any = None,
) -> Any:  # fmt: skip
    """`conv2d_weight_grad` of `max_pool2d_activation_backward`, for what `conv2d_max_pool` gave."""
    size = (2 * dp.shape[2], 2 * dp.shape[3])
    dz = max_pool2d_activation_backward(dp, p, which, size, *PAIRS, kind, parameter)
    return conv2d_weight_grad(x, dz, kernel, stride, corner, dilation, groups, bias, out=out)
