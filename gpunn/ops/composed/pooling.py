"""Poolings that are made of others, and their way back."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.backend.dtypes import INTEGER

from ..activation import relu
from ..arithmetic import abs, sign
from ..avg_pool import avg_pool1d, avg_pool2d, avg_pool3d
from ..base import shape_error
from ..creation import zeros
from ..gather import scatter
from ..pad import pad
from ..promote import rounded_once
from ..view import reshape
from ..windows import LAYOUTS, Size, batched, per_axis, times

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = [
    "local_response_norm",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: int, stride: int | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p over each window)^(1/p), p the `norm_type`: input (N, C, L) or (C, L)."""
    return _lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """As `lp_pool1d`, for images: input (N, C, H, W) or (C, H, W)."""
    return _lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """As `lp_pool1d`, for volumes: input (N, C, D, H, W) or (C, D, H, W)."""
    return _lp_pool("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(
    name: str, axes: int, input: Tensor, p: float, kernel_size: Size, stride: Size | None, ceil_mode: bool
) -> Tensor:
    if p == 0:
        raise ValueError(f"{name}: norm_type must not be 0")
    count = prod(per_axis(name, "kernel_size", kernel_size, axes))
    mean = (avg_pool1d, avg_pool2d, avg_pool3d)[axes - 1]

    def function(x: Any) -> Any:
        y = mean(x**p, kernel_size, stride, 0, ceil_mode)
        # As in PyTorch: an odd power of negative numbers gives 0.
        return (sign(y) * relu(abs(y)) * count) ** (1 / p)

    return rounded_once(function, input)


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha mean of x^2 over `size` neighbouring channels)^beta  (Krizhevsky et al. 2012, section 3.3).

    Args:
        input: (N, C, ...), at least 3 dimensions.
        size: how many channels; those beyond the first and the last count as 0.
        alpha: see the formula.
        beta: see the formula.
        k: see the formula.
    """
    if input.ndim < 3:
        raise ValueError(f"local_response_norm: takes 3 or more dimensions, (N, C, ...), got {input._spec!r}")
    if size < 1:
        raise ValueError(f"local_response_norm: size is at least 1, got {size}")
    n, c, *rest = input.shape

    def function(x: Any) -> Any:
        squares = pad(reshape(x * x, (n, 1, c, prod(rest))), (0, 0, size // 2, (size - 1) // 2))
        means = reshape(avg_pool2d(squares, (size, 1), 1), input.shape)
        return x / (means * alpha + k) ** beta

    return rounded_once(function, input) if input.numel() else input.clone()


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """As `max_unpool2d`, for sequences: input (N, C, L) or (C, L)."""
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Elements put back to where `max_pool2d` found them, in an image of zeros.

    Args:
        input: (N, C, H, W) or (C, H, W).
        indices: of its shape, as `max_pool2d` gives them with return_indices.
        kernel_size: as it was given to `max_pool2d`; likewise for the others.
        stride: see there.
        padding: see there.
        output_size: of the result, where several sizes have the same windows; with or without N and C.

    Returns:
        (N, C, OH, OW), OH = (H - 1) stride - 2 padding + kernel_size unless `output_size` says otherwise.

    Raises:
        ValueError: `output_size` can't have been the size before.
        IndexError: an index lies outside the result.
    """
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """As `max_unpool2d`, for volumes: input (N, C, D, H, W) or (C, D, H, W)."""
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _max_unpool(
    name: str,
    axes: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    output_size: Sequence[int] | None,
) -> Tensor:
    x = batched(name, input, axes)
    if indices.shape != input.shape or indices.dtype.category != INTEGER:
        raise shape_error(
            name,
            f"takes an int64 index for each element of {input._spec!r} (N, {LAYOUTS[axes][0]}), got {indices._spec!r}",
        )
    kernel = per_axis(name, "kernel_size", kernel_size, axes)
    steps = kernel if stride is None else per_axis(name, "stride", stride, axes)
    cut = per_axis(name, "padding", padding, axes, least=0)
    least = tuple((n - 1) * s - 2 * p + k for n, s, p, k in zip(x.shape[2:], steps, cut, kernel))
    size = least if output_size is None else tuple(output_size)[-axes:]
    if output_size is not None and (
        len(output_size) not in (axes, axes + 2) or any(not n - s < m < n + s for n, m, s in zip(least, size, steps))
    ):
        raise ValueError(
            f"{name}: output_size lies less than a stride {list(steps)} from {times(least)} for {input._spec!r}, got "
            f"{list(output_size)}"
        )
    if min(size) < 1:
        raise shape_error(name, f"the result would be of size {times(size)} for the input {input._spec!r}")
    n, c = x.shape[:2]
    flat = (n, c, prod(x.shape[2:]))
    empty = zeros((n, c, prod(size)), dtype=x.dtype, device=x.device)
    result = scatter(empty, 2, reshape(indices, flat), reshape(x, flat))
    return reshape(result, (*input.shape[:-axes], *size))
