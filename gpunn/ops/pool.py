"""Pooling: one number for each window of each channel. It has no parameters, and keeps the channels."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.base_layers import PAIRS
from gpunn.backend.dtypes import bool_, int32, int64, uint8
from gpunn.backend.spec import Spec

from .activation import activation_backward
from .arithmetic import floor_divide
from .base import Composite, Cost, Op, frozen, shape_error
from .gather import gather
from .windows import (
    NO_PADDING,
    Padding,
    Pair,
    Size,
    batched,
    checked_positions,
    corner,
    per_axis,
    positions,
    require_channels,
    times,
    without_batch,
)

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Pooling(Op, abstract=True):
    """An op on the windows of an image (n, c, h, w)."""

    kernel: Pair
    stride: Pair
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)
    images = (0,)

    def windows(self, x: Spec) -> Spec:
        """One element for each window."""
        if x.ndim != 4:
            raise shape_error(self, f"takes an input (N, C, H, W), got {x!r}")
        found = checked_positions(self.name, x, self.kernel, self.stride, self.padding, self.dilation)
        return x.like((*x.shape[:2], *found))

    def geometry(self) -> tuple[Pair, Pair, Pair, Pair]:
        """What primitives are told of the windows."""
        return self.kernel, self.stride, corner(self.padding), self.dilation

    def tiles_by_two(self) -> bool:
        """Whether windows are of 2 x 2 elements and lie side by side, without padding."""
        return self.geometry() == PAIRS

    def cost(self, *specs: Any) -> Cost:
        """A comparison or a sum for each element of each window; every tensor moved once."""
        results = self.shape(*specs)
        results = results if isinstance(results, tuple) else (results,)
        smaller = min(s.numel() for s in (*specs, *results))
        return Cost(smaller * prod(self.kernel), sum(s.nbytes for s in (*specs, *results)))


class MaxPool2d(Pooling):
    """Y = max of X over each window,  K = i kw + j, where in its window that is;  dX = dY, added at those elements.

    X (n, c, h, w) -> Y, K (n, c, oh, ow)      K in uint8, or int32 for kernels of more than 256 elements
    Of equal elements the first is taken, in the order of rows. Padding is never taken.
    """

    saves_output = True
    writes_images = "max_pool2d"

    def shape(self, x: Spec) -> Any:
        if x.dtype is bool_:
            raise NotImplementedError(f"max_pool2d: got {x!r}; expected numbers, such as x.float()")
        y = self.windows(x)
        return y, y.like(dtype=uint8 if prod(self.kernel) <= 256 else int32)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        found = positions(x.shape[2:], self.kernel, self.stride, self.padding, self.dilation)
        return backend.max_pool2d(x, found, *self.geometry(), out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        op = MaxPool2dBackward(self.kernel, self.stride, self.padding, self.dilation, x.shape[2:])
        return apply(op, dy[0], y[1])


@frozen
class MaxPool2dBackward(Pooling):
    """dX = dY, added at the element that K names in its window, in an image of zeros;  ddY = ddX, taken there.

    dY, K (n, c, oh, ow) -> dX (n, c, *size)
    """

    size: Pair = (1, 1)
    saved = (1,)
    images = (1,)
    writes_images = "max_pool2d_backward"

    def shape(self, dy: Spec, which: Spec) -> Spec:
        dx = dy.like((*dy.shape[:2], *self.size))
        if not self.windows(dx).shape == dy.shape == which.shape:
            raise shape_error(self, f"an image of {times(self.size)} has other windows than {dy!r} and {which!r}")
        return dx

    def forward(self, backend: Any, dy: Any, which: Any, out: Any = None) -> Any:
        return backend.max_pool2d_backward(dy, which, self.size, *self.geometry(), out=out)

    def vjp(self, needs: Any, g: Any, dx: Any, dy: Any, which: Any) -> Any:
        return apply(MaxPool2dGather(self.kernel, self.stride, self.padding, self.dilation), g, which), None


@frozen
class MaxPool2dActivationBackward(Composite, Pooling):
    """dX = dY f'(Y), added at the element that K names in its window, in an image of zeros.

    dY, Y, K (n, c, oh, ow) -> dX (n, c, *size)

    The gradients of an activation and of the pooling of its result: f' follows from Y, the largest of each window.
    """

    size: Pair = (1, 1)
    activation: str = "relu"
    parameter: float = 0.0
    saved = (0, 1, 2)
    images = (2,)
    writes_images = "max_pool2d_activation_backward"

    def shape(self, dy: Spec, y: Spec, which: Spec) -> Spec:
        return self._spread().shape(dy, which)

    def forward(self, backend: Any, dy: Any, y: Any, which: Any, out: Any = None) -> Any:
        return backend.max_pool2d_activation_backward(
            dy, y, which, self.size, *self.geometry(), self.activation, self.parameter, out=out
        )

    def formula(self, dy: Any, y: Any, which: Any) -> Any:
        return apply(self._spread(), activation_backward(dy, y, self.activation, self.parameter), which)

    def _spread(self) -> MaxPool2dBackward:
        return MaxPool2dBackward(self.kernel, self.stride, self.padding, self.dilation, self.size)


class MaxPool2dGather(Pooling):
    """Y = X, at the element of each window that K names;  dX = dY, added there: the adjoint of `MaxPool2dBackward`.

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


@frozen
class MaxPool2dIndices(Pooling):
    """Y = row width + column, where in an image of the given width the elements that K names lie, as in PyTorch."""

    width: int = 1
    differentiable = False

    def shape(self, which: Spec) -> Spec:
        return which.like(dtype=int64)

    def forward(self, backend: Any, which: Any, out: Any = None) -> Any:
        return backend.max_pool2d_indices(which, self.width, *self.geometry(), out=out)


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


def max_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """As `max_pool2d`, for volumes: input (N, C, D, H, W) or (C, D, H, W); a place is (depth H + row) W + column.

    The largest element of each window of a plane, and of those the largest along the depth.
    """
    x = batched("max_pool3d", input, 3)
    windows = read_windows("max_pool3d", 3, x, kernel_size, stride, padding, dilation, ceil_mode)
    plane: Any = tuple(sizes[1:] for sizes in windows)
    along: Any = tuple((sizes[0], unit) for sizes, unit in zip(windows, (1, 1, (0, 0), 1)))
    n, c, depth, h, w = x.shape
    values, which = apply(MaxPool2d(*plane), x.reshape(n * c, depth, h, w))
    oh, ow = values.shape[2:]
    values, deep = apply(MaxPool2d(*along), values.reshape(n, c, depth, oh * ow))
    shape = (n, c, values.shape[2], oh, ow)
    values = without_batch(values.reshape(shape), input, 3)
    if not return_indices:
        return values
    in_plane = apply(MaxPool2dIndices(*(*plane, w)), which).reshape(n, c, depth * oh * ow)
    chosen = apply(MaxPool2dIndices(*(*along, oh * ow)), deep).reshape(n, c, shape[2] * oh * ow)
    indices = gather(in_plane, 2, chosen) + floor_divide(chosen, oh * ow) * (h * w)
    return values, without_batch(indices.reshape(shape), input, 3)


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
    kernel, steps, around, spread = read_windows(name, axes, x, kernel_size, stride, padding, dilation, ceil_mode)
    values, which = apply(MaxPool2d(kernel, steps, around, spread), x.unsqueeze(2) if axes == 1 else x)
    if not return_indices:
        return without_batch(values, input, axes)
    indices = apply(MaxPool2dIndices(kernel, steps, around, spread, x.shape[-1]), which)
    return without_batch(values, input, axes), without_batch(indices, input, axes)


def read_windows(
    name: str,
    axes: int,
    x: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> Any:
    """Kernel, stride, padding and dilation for each axis, of which sequences get a first one.

    The last window of ceil_mode is one that the floor gives too, with as much padding after the image as it needs.

    Raises:
        RuntimeError: a window does not fit, or there is no channel.
    """
    require_channels(name, x)
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
                f"with padding {list(before)} and dilation {list(spread)} a window lies in the padding alone, "
                f"for the input {x._spec!r}",
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
