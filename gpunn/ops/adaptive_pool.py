"""Adaptive pooling: windows that cover an image evenly, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .arithmetic import floor_divide, remainder
from .base import Op, frozen, shape_error
from .construct import from_numpy
from .pool import max_pool1d, max_pool2d, max_pool3d
from .selection import index_select
from .windows import Pair, batched, per_axis, require_channels, require_float, times, without_batch

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

OutputSize = int | Sequence[int | None] | None


@frozen
class AdaptiveAvgPool2d(Op):
    """Y = mean of X over each window;  dX = dY / n, added at the n elements of the window.

    X (n, c, h, w) -> Y (n, c, *size). There are size windows, from floor(i h / oh) to ceil((i + 1) h / oh).
    """

    size: Pair
    images = (0,)

    def shape(self, x: Spec) -> Spec:
        require_float(self.name, x)
        if x.ndim != 4 or 0 in x.shape[2:]:
            raise shape_error(self, f"takes an input (N, C, H, W) with H and W at least 1, got {x!r}")
        return x.like((*x.shape[:2], *self.size))

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.adaptive_avg_pool2d(x, self.size, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(AdaptiveAvgPool2dBackward(x.shape[2:]), dy)


@frozen
class AdaptiveAvgPool2dBackward(Op):
    """dX = dY / n, added at the n elements of its window;  ddY = mean of ddX over each window.

    It is the adjoint of `AdaptiveAvgPool2d`, and each is the gradient of the other.

    dY (n, c, oh, ow) -> dX (n, c, *size)
    """

    size: Pair
    images = (0,)

    def shape(self, dy: Spec) -> Spec:
        return dy.like((*dy.shape[:2], *self.size))

    def forward(self, backend: Any, dy: Any, out: Any = None) -> Any:
        return backend.adaptive_avg_pool2d_backward(dy, self.size, out=out)

    def vjp(self, needs: Any, g: Any, dx: Any, dy: Any) -> Any:
        return apply(AdaptiveAvgPool2d(dy.shape[2:]), g)


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the image evenly, whatever its size.

    Args:
        input: (N, C, H, W), or (C, H, W).
        output_size: (OH, OW), or both in one number; None keeps the input's size.

    Returns:
        (N, C, OH, OW)
    """
    x = batched("adaptive_avg_pool2d", input, 2)
    return without_batch(apply(AdaptiveAvgPool2d(_output_size("adaptive_avg_pool2d", output_size, x, 2)), x), input, 2)


def adaptive_avg_pool1d(input: Tensor, output_size: OutputSize) -> Tensor:
    """As `adaptive_avg_pool2d`, for sequences: input (N, C, L) or (C, L)."""
    x = batched("adaptive_avg_pool1d", input, 1)
    size = _output_size("adaptive_avg_pool1d", output_size, x, 1)
    return without_batch(apply(AdaptiveAvgPool2d((1, *size)), x.unsqueeze(2)), input, 1)


def adaptive_avg_pool3d(input: Tensor, output_size: OutputSize) -> Tensor:
    """As `adaptive_avg_pool2d`, for volumes: input (N, C, D, H, W) or (C, D, H, W)."""
    x = batched("adaptive_avg_pool3d", input, 3)
    require_channels("adaptive_avg_pool3d", x)
    size = _output_size("adaptive_avg_pool3d", output_size, x, 3)
    n, c, depth, h, w = x.shape
    pixels = size[1] * size[2]
    planes = apply(AdaptiveAvgPool2d(size[1:]), x.reshape(n * c, depth, h, w))
    result = apply(AdaptiveAvgPool2d((size[0], pixels)), planes.reshape(n, c, depth, pixels)) if pixels else planes
    return without_batch(result.reshape(n, c, *size), input, 3)


def adaptive_max_pool2d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest element of each of ``output_size`` windows that cover the image evenly.

    Arguments as in `adaptive_avg_pool2d`; `return_indices` as in `max_pool2d`.
    """
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool1d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, for sequences: input (N, C, L) or (C, L)."""
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool2d`, for volumes: input (N, C, D, H, W) or (C, D, H, W)."""
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)


def _adaptive_max_pool(name: str, axes: int, input: Tensor, output_size: OutputSize, return_indices: bool) -> Any:
    x = batched(name, input, axes)
    require_channels(name, x)
    size = _output_size(name, output_size, x, axes)
    if min(size) < 1 or 0 in x.shape[2:]:
        raise shape_error(name, f"takes images and output sizes of at least 1, got {input._spec!r} to {times(size)}")
    kernel, sources = [], []
    for n, o in zip(x.shape[2:], size):
        i = np.arange(o)
        first, last = i * n // o, -(-(i + 1) * n // o)
        kernel.append(int((last - first).max()))
        # Shorter windows have their last element several times, of which the first is taken.
        sources.append(np.minimum(first[:, None] + np.arange(kernel[-1]), last[:, None] - 1).ravel())
    return _pool_windows(axes, input, x, kernel, sources, return_indices)


def _pool_windows(
    axes: int, input: Tensor, x: Tensor, kernel: list[int], sources: list[Any], return_indices: bool
) -> Any:
    """The maxima of windows that lie anywhere: for each axis the elements of one window after the other.

    An image of all of them is pooled, in which they do not overlap.
    """
    pool = (max_pool1d, max_pool2d, max_pool3d)[axes - 1]
    tables = [from_numpy(source).to(x.device) for source in sources]
    image = x
    for d, (source, table) in enumerate(zip(sources, tables), 2):
        if not np.array_equal(source, np.arange(x.shape[d])):
            image = index_select(image, d, table)
    pooled = pool(image if input.ndim == axes + 2 else image.squeeze(0), kernel, return_indices=return_indices)
    if not return_indices or image is x:
        return pooled
    values, places = pooled
    indices, stride = places * 0, 1
    for d in range(axes + 1, 1, -1):
        i = remainder(places, image.shape[d])
        indices = indices + index_select(tables[d - 2], 0, i.reshape(-1)).reshape(i.shape) * stride
        places, stride = floor_divide(places, image.shape[d]), stride * x.shape[d]
    return values, indices


def _output_size(name: str, output_size: OutputSize, x: Tensor, axes: int) -> Any:
    wanted = output_size if isinstance(output_size, Sequence) else (output_size,) * axes
    if len(wanted) != axes:
        raise shape_error(name, f"output_size is one number or {axes}, got {output_size!r}")
    size = [n if o is None else o for o, n in zip(wanted, x.shape[2:])]
    return per_axis(name, "output_size", size, axes, least=0)
