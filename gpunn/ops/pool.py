"""Pooling: one number for each window of each channel. It has no parameters, and keeps the channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import int32, int64, uint8
from gpunn.backend.spec import Spec

from .base import Cost, Op, shape_error
from .unfold import (
    NO_PADDING,
    Padding,
    Pair,
    Size,
    batched,
    checked_positions,
    corner,
    per_axis,
    positions,
    require_float,
    times,
)

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

OutputSize = int | Sequence[int | None] | None


@dataclass(frozen=True)
class Pooling(Op, abstract=True):
    """An op on the windows of an image (n, c, h, w)."""

    kernel: Pair
    stride: Pair
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)

    def windows(self, x: Spec) -> Spec:
        """One element for each window."""
        if x.ndim != 4:
            raise shape_error(self, f"takes an input (N, C, H, W), got {x!r}")
        found = checked_positions(self.name, x, self.kernel, self.stride, self.padding, self.dilation)
        return x.like((*x.shape[:2], *found))

    def geometry(self) -> tuple[Pair, Pair, Pair, Pair]:
        """What primitives are told of the windows."""
        return self.kernel, self.stride, corner(self.padding), self.dilation

    def cost(self, *specs: Any) -> Cost:
        """A comparison or a sum for each element of each window; every tensor moved once."""
        results = self.shape(*specs)
        results = results if isinstance(results, tuple) else (results,)
        smaller = min(s.numel() for s in (*specs, *results))
        return Cost(smaller * prod(self.kernel), sum(s.nbytes for s in (*specs, *results)))


class MaxPool2d(Pooling):
    """Y = the largest element of each window, K = which one it is: i kw + j;  dX = dY, added at those elements.

    X (n, c, h, w) -> Y, K (n, c, oh, ow)      K in uint8, or int32 for kernels of more than 256 elements
    Of equal elements the first is taken, in the order of rows. Padding is never taken.
    """

    saves_output = True

    def shape(self, x: Spec) -> Any:
        y = self.windows(x)
        return y, y.like(dtype=uint8 if prod(self.kernel) <= 256 else int32)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        found = positions(x.shape[2:], self.kernel, self.stride, self.padding, self.dilation)
        return backend.max_pool2d(x, found, *self.geometry(), out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        op = MaxPool2dBackward(self.kernel, self.stride, self.padding, self.dilation, x.shape[2:])
        return apply(op, dy[0], y[1])


@dataclass(frozen=True)
class MaxPool2dBackward(Pooling):
    """dX = each dY, added at the element that K names in its window, in an image of zeros;  its gradient is the gather.

    dY, K (n, c, oh, ow) -> dX (n, c, *size)
    """

    size: Pair = (1, 1)
    saved = (1,)

    def shape(self, dy: Spec, which: Spec) -> Spec:
        dx = dy.like((*dy.shape[:2], *self.size))
        if not self.windows(dx).shape == dy.shape == which.shape:
            raise shape_error(self, f"an image of {times(self.size)} has other windows than {dy!r} and {which!r}")
        return dx

    def forward(self, backend: Any, dy: Any, which: Any, out: Any = None) -> Any:
        return backend.max_pool2d_backward(dy, which, self.size, *self.geometry(), out=out)

    def vjp(self, needs: Any, g: Any, dx: Any, dy: Any, which: Any) -> Any:
        return apply(MaxPool2dGather(self.kernel, self.stride, self.padding, self.dilation), g, which), None


class MaxPool2dGather(Pooling):
    """Y = the element of each window that K names: the adjoint of `MaxPool2dBackward`, which is its gradient.

    X (n, c, h, w)  K (n, c, oh, ow)  ->  Y (n, c, oh, ow)
    """

    saved = (1,)

    def shape(self, x: Spec, which: Spec) -> Spec:
        y = self.windows(x)
        if y.shape != which.shape:
            raise shape_error(self, f"the input {x!r} has other windows than {which!r}")
        return y

    def forward(self, backend: Any, x: Any, which: Any, out: Any = None) -> Any:
        return backend.max_pool2d_gather(x, which, *self.geometry(), out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, which: Any) -> Any:
        op = MaxPool2dBackward(self.kernel, self.stride, self.padding, self.dilation, x.shape[2:])
        return apply(op, dy, which), None


@dataclass(frozen=True)
class MaxPool2dIndices(Pooling):
    """Where in an image of the given width the elements that K names lie: row width + column, as in PyTorch."""

    width: int = 1
    differentiable = False

    def shape(self, which: Spec) -> Spec:
        return which.like(dtype=int64)

    def forward(self, backend: Any, which: Any, out: Any = None) -> Any:
        return backend.max_pool2d_indices(which, self.width, *self.geometry(), out=out)


@dataclass(frozen=True)
class AvgPool2d(Pooling):
    """Y = the sum of each window / its divisor;  dX = dY / divisor, added at all elements of the window.

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


@dataclass(frozen=True)
class AvgPool2dBackward(Pooling):
    """dX = each dY / its divisor, added at all elements of its window: the adjoint of `AvgPool2d`, its gradient.

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


@dataclass(frozen=True)
class AdaptiveAvgPool2d(Op):
    """Y = the mean of each of (oh, ow) windows, from floor(i h / oh) to ceil((i + 1) h / oh);  dX = dY / n there.

    X (n, c, h, w) -> Y (n, c, *size)
    """

    size: Pair

    def shape(self, x: Spec) -> Spec:
        require_float(self.name, x)
        if x.ndim != 4 or 0 in x.shape[2:]:
            raise shape_error(self, f"takes an input (N, C, H, W) with H and W at least 1, got {x!r}")
        return x.like((*x.shape[:2], *self.size))

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.adaptive_avg_pool2d(x, self.size, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(AdaptiveAvgPool2dBackward(x.shape[2:]), dy)


@dataclass(frozen=True)
class AdaptiveAvgPool2dBackward(Op):
    """The adjoint of `AdaptiveAvgPool2d`, which is its gradient: dY (n, c, oh, ow) -> dX (n, c, *size)."""

    size: Pair

    def shape(self, dy: Spec) -> Spec:
        return dy.like((*dy.shape[:2], *self.size))

    def forward(self, backend: Any, dy: Any, out: Any = None) -> Any:
        return backend.adaptive_avg_pool2d_backward(dy, self.size, out=out)

    def vjp(self, needs: Any, g: Any, dx: Any, dy: Any) -> Any:
        return apply(AdaptiveAvgPool2d(dy.shape[2:]), g)


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window.

    Args:
        input: (N, C, H, W), or (C, H, W).
        kernel_size: the window's height and width, or both in one number; likewise for the others.
        stride: steps between windows; the window's size if None.
        padding: rows and columns of -inf around the image, at most half a window.
        dilation: steps between the elements of a window.
        ceil_mode: also windows that the image ends in, as long as they begin inside it.
        return_indices: return (result, indices), where the elements lie in the image: row W + column, in int64.

    Returns:
        (N, C, OH, OW) with OH = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1 (ceil_mode: with ceil).

    Raises:
        RuntimeError: the window does not fit.
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d`, for sequences: input (N, C, L) or (C, L)."""
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


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


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:
    """The mean of each of ``output_size`` windows that cover the image evenly, whatever its size.

    Args:
        input: (N, C, H, W), or (C, H, W).
        output_size: (OH, OW), or both in one number; None keeps the input's size.

    Returns:
        (N, C, OH, OW)
    """
    x = batched("adaptive_avg_pool2d", input, 2)
    return _restore(apply(AdaptiveAvgPool2d(_output_size("adaptive_avg_pool2d", output_size, x, 2)), x), input, 2)


def adaptive_avg_pool1d(input: Tensor, output_size: OutputSize) -> Tensor:
    """As `adaptive_avg_pool2d`, for sequences: input (N, C, L) or (C, L)."""
    x = batched("adaptive_avg_pool1d", input, 1)
    size = _output_size("adaptive_avg_pool1d", output_size, x, 1)
    return _restore(apply(AdaptiveAvgPool2d((1, *size)), x.unsqueeze(2)), input, 1)


def adaptive_max_pool2d(input: Tensor, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest element of each of ``output_size`` windows that cover the image evenly.

    Arguments as in `adaptive_avg_pool2d`; `return_indices` as in `max_pool2d`.

    Raises:
        RuntimeError: the output size does not divide the image's: unequal windows are not supported here.
    """
    x = batched("adaptive_max_pool2d", input, 2)
    size = _output_size("adaptive_max_pool2d", output_size, x, 2)
    if any(o < 1 or n % o for n, o in zip(x.shape[2:], size)):
        raise shape_error(
            "adaptive_max_pool2d",
            f"the output size {times(size)} must divide the image's {times(x.shape[2:])}, in {input._spec!r}",
        )
    return max_pool2d(input, tuple(n // o for n, o in zip(x.shape[2:], size)), return_indices=return_indices)


def _max_pool(
    name: str,
    axes: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    x = batched(name, input, axes)
    windows = _windows(name, axes, x, kernel_size, stride, padding, dilation, ceil_mode)
    values, which = apply(MaxPool2d(*windows), x.unsqueeze(2) if axes == 1 else x)
    if not return_indices:
        return _restore(values, input, axes)
    indices = apply(MaxPool2dIndices(*windows, x.shape[-1]), which)
    return _restore(values, input, axes), _restore(indices, input, axes)


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
    windows = _windows(name, axes, x, kernel_size, stride, padding, 1, ceil_mode)
    op = AvgPool2d(*windows, count_include_pad, divisor_override)
    return _restore(apply(op, x.unsqueeze(2) if axes == 1 else x), input, axes)


def _windows(
    name: str,
    axes: int,
    x: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> Any:
    """Kernel, stride, padding and dilation for two axes.

    The last window of ceil_mode is one that the floor gives too, with as much padding after the image as it needs.
    """
    kernel = per_axis(name, "kernel_size", kernel_size, axes)
    steps = kernel if stride is None else per_axis(name, "stride", stride, axes)
    before = per_axis(name, "padding", padding, axes, least=0)
    spread = per_axis(name, "dilation", dilation, axes)
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, spread)]
    if any(p > e // 2 for p, e in zip(before, extent)):
        raise shape_error(
            name, f"padding must be at most half a window, got padding {list(before)} for windows of {times(extent)}"
        )
    for n, p, s, d in zip(x.shape[2:], before, steps, spread):
        if any(start % d >= n for start in range(-p, 0, s)):
            raise shape_error(
                name,
                f"with padding {list(before)} and dilation {list(spread)} a window lies in the padding alone, in {x._spec!r}",
            )
    after = list(before)
    if ceil_mode:
        for i, (n, p, s, e) in enumerate(zip(x.shape[2:], before, steps, extent)):
            last = -(-(n + 2 * p - e) // s) * s
            if last >= n + p:
                last -= s
            after[i] = last + e - n - p
    around = tuple(zip(before, after))
    checked_positions(name, x._spec, kernel, steps, around, spread)
    if axes == 1:
        return (1, *kernel), (1, *steps), ((0, 0), *around), (1, *spread)
    return kernel, steps, around, spread


def _output_size(name: str, output_size: OutputSize, x: Tensor, axes: int) -> Any:
    wanted = output_size if isinstance(output_size, Sequence) else (output_size,) * axes
    if len(wanted) != axes:
        raise shape_error(name, f"output_size is one number or {axes}, got {output_size!r}")
    size = [n if o is None else o for o, n in zip(wanted, x.shape[2:])]
    return per_axis(name, "output_size", size, axes, least=0)


def _restore(result: Tensor, input: Tensor, axes: int) -> Tensor:
    """The result (N, C, OH, OW) with the dimensions that the input had."""
    if axes == 1:
        result = result.squeeze(2)
    return result if input.ndim == axes + 2 else result.squeeze(0)
