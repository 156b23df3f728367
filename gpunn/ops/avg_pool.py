"""Average pooling: the mean of each window of each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec

from .base import frozen, shape_error
from .pool import Pooling, read_windows
from .windows import Pair, Size, batched, corner, positions, require_float, times, without_batch

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class AvgPool2d(Pooling):
    """Y = sum of X over each window / divisor;  dX = dY / divisor, added at all elements of the window.

    X (n, c, h, w) -> Y (n, c, oh, ow). The divisor is the window's number of elements, with those in the padding if
    `count_padding` (but never those beyond it, which only ceil_mode reaches), or `divisor` where that is given.
    """

    count_padding: bool = True
    divisor: int | None = None

    def shape(self, x: Spec) -> Spec:
        require_float(self.name, x)
        return self.windows(x)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        found = positions(x.shape[2:], self.kernel, self.stride, self.padding, self.dilation)
        return backend.avg_pool2d(
            x, found, self.kernel, self.stride, corner(self.padding), self.count_padding, self.divisor, out=out
        )

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        op = AvgPool2dBackward(
            self.kernel, self.stride, self.padding, self.dilation, self.count_padding, self.divisor, x.shape[2:]
        )
        return apply(op, dy)


@frozen
class AvgPool2dBackward(Pooling):
    """dX = dY / divisor, added at all elements of its window;  ddY = sum of ddX over each window / divisor.

    It is the adjoint of `AvgPool2d`, and each is the gradient of the other.

    dY (n, c, oh, ow) -> dX (n, c, *size)
    """

    count_padding: bool = True
    divisor: int | None = None
    size: Pair = (1, 1)

    def shape(self, dy: Spec) -> Spec:
        dx = dy.like((*dy.shape[:2], *self.size))
        if self.windows(dx).shape != dy.shape:
            raise shape_error(self, f"an image of {times(self.size)} has other windows than {dy!r}")
        return dx

    def forward(self, backend: Any, dy: Any, out: Any = None) -> Any:
        return backend.avg_pool2d_backward(
            dy, self.size, self.kernel, self.stride, corner(self.padding), self.count_padding, self.divisor, out=out
        )

    def vjp(self, needs: Any, g: Any, dx: Any, dy: Any) -> Any:
        op = AvgPool2d(self.kernel, self.stride, self.padding, self.dilation, self.count_padding, self.divisor)
        return apply(op, g)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window.

    Args:
        input: (N, C, H, W), or (C, H, W).
        kernel_size: the window's height and width, or both in one number; likewise for the others.
        stride: steps between windows; the window's size if None.
        padding: rows and columns of zeros around the image, at most half a window.
        ceil_mode: also windows that the image ends in, as long as they begin inside it.
        count_include_pad: whether zeros of the padding count in the mean.
        divisor_override: divide the sums by this.

    Returns:
        (N, C, OH, OW) with OH = floor((H + 2 padding - KH) / stride) + 1 (ceil_mode: with ceil).

    Raises:
        RuntimeError: the window does not fit, or the divisor is 0.
    """
    return _avg_pool(
        "avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """As `avg_pool2d`, for sequences: input (N, C, L) or (C, L)."""
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """As `avg_pool2d`, for volumes (N, C, D, H, W) or (C, D, H, W): the mean along the depth of the planes' means."""
    if divisor_override == 0:
        raise shape_error("avg_pool3d", "divisor_override must not be 0")
    x = batched("avg_pool3d", input, 3)
    kernel, steps, around, _ = read_windows("avg_pool3d", 3, x, kernel_size, stride, padding, 1, ceil_mode)
    n, c, depth, h, w = x.shape
    one = None if divisor_override is None else 1
    plane = AvgPool2d(kernel[1:], steps[1:], around[1:], (1, 1), count_include_pad, one)
    along = AvgPool2d((kernel[0], 1), (steps[0], 1), (around[0], (0, 0)), (1, 1), count_include_pad, divisor_override)
    means = apply(plane, x.reshape(n * c, depth, h, w))
    result = apply(along, means.reshape(n, c, depth, means.shape[2] * means.shape[3]))
    return without_batch(result.reshape(n, c, result.shape[2], *means.shape[2:]), input, 3)


def _avg_pool(
    name: str,
    axes: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    if divisor_override == 0:
        raise shape_error(name, "divisor_override must not be 0")
    x = batched(name, input, axes)
    kernel, steps, around, spread = read_windows(name, axes, x, kernel_size, stride, padding, 1, ceil_mode)
    op = AvgPool2d(kernel, steps, around, spread, count_include_pad, divisor_override)
    return without_batch(apply(op, x.unsqueeze(2) if axes == 1 else x), input, axes)
