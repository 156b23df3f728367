"""Convolution, with its activation in the same op, and its two gradients, which are convolutions too."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from gpunn.autograd.autocast import half_precision
from gpunn.autograd.tape import apply
from gpunn.backend.memory_format import in_memory_order
from gpunn.backend.spec import Spec

from .activation import activation_backward, check_activation, derivative_from_output
from .base import Cost, Op, check_one_type, frozen, shape_error
from .windows import (
    LAYOUTS,
    NO_PADDING,
    Padding,
    Pair,
    Size,
    batched,
    both_sides,
    checked_positions,
    corner,
    per_axis,
    positions,
    require_float,
    times,
    without_batch,
)

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Convolution(Op, abstract=True):
    """Z = X * W: what the three products of (X, W, dZ) have in common.

    Z[n, o] = sum over c, i, j of W[o, c, i, j] X[n, c] shifted by (i, j); as matrices Z = W columns(X). It is linear in
    X and in W, so the gradient of each of the three is made of the other two.
    """

    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)
    groups: int = 1
    saved: ClassVar[tuple[int, ...]] = (0, 1)
    saved_for: ClassVar[tuple[tuple[int, ...], ...]] = ((1,), (0,))
    images = (0, 1)

    def forward_of(self, x: Any, w: Any, b: Any = None) -> Any:
        """X * W + b, for tensors."""
        return apply(Conv2d(self.stride, self.padding, self.dilation, self.groups), x, w, b)

    def input_grad(self, dz: Any, w: Any, x: Any) -> Any:
        """dX, in the shape of `x`, for tensors."""
        return apply(Conv2dInputGrad(self.stride, self.padding, self.dilation, self.groups, x.shape[2:]), dz, w)

    def weight_grad(self, x: Any, dz: Any, w: Any, bias: bool) -> Any:
        """dW, in the shape of `w`, and db if `bias`, for tensors."""
        op = Conv2dWeightGrad(self.stride, self.padding, self.dilation, self.groups, w.shape[2:], bias)
        return apply(op, x, dz)

    def product_cost(self, w: tuple[int, ...], z: tuple[int, ...], *specs: Spec | None) -> Cost:
        """A multiplication and an addition for each weight at each position; every tensor moved once."""
        return Cost(2 * z[0] * prod(z[2:]) * prod(w), sum(s.nbytes for s in specs if s is not None))


@frozen
class Conv2d(Convolution):
    """Y = f(Z), Z = X * W + b          X (n, c, h, w)  W (o, c / groups, kh, kw)  b (o,)  ->  Y (n, o, oh, ow)

    Z[n, o, r, q] = b[o] + sum over c, i, j of W[o, c, i, j] X[n, c, r s + i d - p, q s + j d - p]
    dZ = dY o f'(Z);  dX = W transposed-convolved with dZ;  dW = dZ columns(X)^T;  db = sum of dZ over n, r, q
    (Goodfellow et al. 2016, 9.5). It is the cross-correlation, as everywhere in this field: the kernel is not flipped.

    Where f' needs Z itself (GELU, SiLU, softplus), Z is a second result.
    """

    activation: str = "none"
    parameter: float = 0.0
    writes_images = "conv2d_forward"

    @property
    def saves_output(self) -> bool | tuple[int, ...]:
        return (1,) if self.returns_z else self.activation != "none"

    @property
    def returns_z(self) -> bool:
        """Whether Z is a second result."""
        return not derivative_from_output(self.activation, self.parameter)

    def shape(self, x: Spec, w: Spec, b: Spec | None) -> Any:
        found = check_convolution(self.name, x, w, b, self.stride, self.padding, self.dilation, self.groups)
        y = x.like((x.shape[0], w.shape[0], *found))
        return (y, y) if self.returns_z else y

    def forward(self, backend: Any, x: Any, w: Any, b: Any, out: Any = None) -> Any:
        found = positions(x.shape[2:], w.shape[2:], self.stride, self.padding, self.dilation)
        geometry = (found, self.stride, corner(self.padding), self.dilation, self.groups)
        if not self.returns_z:
            return backend.conv2d_forward(x, w, b, *geometry, self.activation, self.parameter, out=out)
        if out is None:
            z = backend.conv2d_forward(x, w, b, *geometry)
            return backend.activation(z, self.activation, self.parameter), z
        y_out, z_out = out
        z = backend.conv2d_forward(x, w, b, *geometry, out=z_out)
        backend.activation(in_memory_order(z), self.activation, self.parameter, out=in_memory_order(y_out))
        return y_out, z

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, w: Any, b: Any) -> Any:
        dz: Any
        if not self.returns_z:
            dz = activation_backward(dy, y, self.activation, self.parameter)
        else:
            dz = None if dy[0] is None else activation_backward(dy[0], y[1], self.activation, self.parameter)
            dz = dz if dy[1] is None else dy[1] if dz is None else dz + dy[1]
        dx = self.input_grad(dz, w, x) if needs[0] else None
        if not needs[1]:
            return dx, None, dz.sum((0, 2, 3)) if needs[2] else None
        if not needs[2]:
            return dx, self.weight_grad(x, dz, w, False), None
        return dx, *self.weight_grad(x, dz, w, True)

    def cost(self, x: Spec, w: Spec, b: Spec | None) -> Cost:
        results = self.shape(x, w, b)
        results = results if self.returns_z else (results,)
        return self.product_cost(w.shape, results[0].shape, x, w, b, *results)


@frozen
class Conv2dInputGrad(Convolution):
    """dX = sum over positions of W^T dZ, at their places: the transposed convolution, `Conv2d` turned around.

    dZ (n, o, oh, ow)  W (o, c / groups, kh, kw)  ->  dX (n, c, *size)
    ddZ = ddX * W;  dW = dZ columns(ddX)^T, with ddX the gradient of dX, and so on.
    """

    size: Pair = (1, 1)
    writes_images = "conv2d_input_grad"

    def shape(self, dz: Spec, w: Spec) -> Spec:
        check_transposed(self.name, dz, w, None, self.groups)
        dx = dz.like((dz.shape[0], w.shape[1] * self.groups, *self.size))
        found = checked_positions(self.name, dx, w.shape[2:], self.stride, self.padding, self.dilation)
        if found != dz.shape[2:]:
            raise shape_error(self, f"an image of {times(self.size)} has {times(found)} positions, the input is {dz!r}")
        return dx

    def forward(self, backend: Any, dz: Any, w: Any, out: Any = None) -> Any:
        return backend.conv2d_input_grad(
            dz, w, self.size, self.stride, corner(self.padding), self.dilation, self.groups, out=out
        )

    def vjp(self, needs: Any, g: Any, dx: Any, dz: Any, w: Any) -> Any:
        return (
            self.forward_of(g, w) if needs[0] else None,
            self.weight_grad(g, dz, w, False) if needs[1] else None,
        )

    def cost(self, dz: Spec, w: Spec) -> Cost:
        return self.product_cost(w.shape, dz.shape, dz, w, self.shape(dz, w))


@frozen
class Conv2dWeightGrad(Convolution):
    """dW = sum over n of dZ columns(X)^T,  db = sum of dZ over n and all positions, if `bias`.

    X (n, c, h, w)  dZ (n, o, oh, ow)  ->  dW (o, c / groups, *kernel), db (o,)
    ddZ = X * ddW + ddb;  dX = ddW transposed-convolved with dZ, with ddW the gradient of dW, and so on.
    """

    kernel: Pair = (1, 1)
    bias: bool = False
    writes_images = "conv2d_weight_grad"

    def shape(self, x: Spec, dz: Spec) -> Any:
        dw = x.like((dz.shape[1], x.shape[1] // self.groups, *self.kernel))
        found = check_convolution(self.name, x, dw, None, self.stride, self.padding, self.dilation, self.groups)
        if (x.shape[0], *found) != (dz.shape[0], *dz.shape[2:]):
            raise shape_error(self, f"the input {x!r} has {times(found)} positions, the gradient is {dz!r}")
        return (dw, dw.like((dz.shape[1],))) if self.bias else dw

    def forward(self, backend: Any, x: Any, dz: Any, out: Any = None) -> Any:
        return backend.conv2d_weight_grad(
            x, dz, self.kernel, self.stride, corner(self.padding), self.dilation, self.groups, self.bias, out=out
        )

    def vjp(self, needs: Any, g: Any, dw: Any, x: Any, dz: Any) -> Any:
        gw, gb = g if self.bias else (g, None)  # one of two may be None, where nothing depends on it
        if gw is None:
            return None, g[1].reshape(1, -1, 1, 1).expand(dz.shape) if needs[1] else None
        return (
            self.input_grad(dz, gw, x) if needs[0] else None,
            self.forward_of(x, gw, gb) if needs[1] else None,
        )

    def cost(self, x: Spec, dz: Spec) -> Cost:
        results = self.shape(x, dz)
        results = results if self.bias else (results,)
        return self.product_cost(results[0].shape, dz.shape, x, dz, *results)


def check_convolution(
    name: str, x: Spec, w: Spec, b: Spec | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """The size of the result's image, for one axis, two or three.

    Raises:
        RuntimeError: input, weight and bias do not fit together.
    """
    layout, kernel = LAYOUTS.get(w.ndim - 2, LAYOUTS[2])
    if w.ndim - 2 not in LAYOUTS or x.ndim != w.ndim:
        raise shape_error(
            name, f"takes an input (N, {layout}) and a weight (O, C / groups, {kernel}), got {x!r} and {w!r}"
        )
    if 0 in (w.shape[0], *w.shape[2:]):
        raise shape_error(name, f"the weight {w!r} (O, C / groups, {kernel}) has no output channel or no element")
    channels = x.shape[1]
    if channels % groups or w.shape[0] % groups:
        raise shape_error(
            name,
            f"the channels must be divisible by groups={groups}: the input {x!r} has {channels}, "
            f"the weight {w!r} gives {w.shape[0]}",
        )
    if w.shape[1] * groups != channels:
        shared = f" x {groups} groups = {w.shape[1] * groups}" if groups > 1 else ""
        raise shape_error(
            name,
            f"the weight {w!r} (O, C / groups, {kernel}) takes {w.shape[1]}{shared} channels, "
            f"but the input {x!r} (N, {layout}) has {channels}",
        )
    check_bias_and_types(name, x, w, b, w.shape[0])
    return checked_positions(name, x, w.shape[2:], stride, padding, dilation)


def check_transposed(name: str, x: Spec, w: Spec, b: Spec | None, groups: int) -> None:
    """As `check_convolution`, for the transposed one, whose weight is (C, O / groups, ...)."""
    layout, kernel = LAYOUTS.get(w.ndim - 2, LAYOUTS[2])
    if w.ndim - 2 not in LAYOUTS or x.ndim != w.ndim:
        raise shape_error(
            name, f"takes an input (N, {layout}) and a weight (C, O / groups, {kernel}), got {x!r} and {w!r}"
        )
    if x.shape[1] != w.shape[0]:
        raise shape_error(
            name,
            f"the weight {w!r} (C, O / groups, {kernel}) takes {w.shape[0]} channels, "
            f"but the input {x!r} (N, {layout}) has {x.shape[1]}",
        )
    if w.shape[0] % groups:
        raise shape_error(name, f"the channels must be divisible by groups={groups}: the input {x!r} has {x.shape[1]}")
    check_bias_and_types(name, x, w, b, w.shape[1] * groups)


def check_bias_and_types(name: str, x: Spec, w: Spec, b: Spec | None, channels: int) -> None:
    """One number for each channel of the result, and floats of one type."""
    require_float(name, x)
    if b is not None and b.shape != (channels,):
        raise shape_error(name, f"the bias must have shape [{channels}] for the weight {w!r}, got {b!r}")
    check_one_type(name, x, w, b)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Slide a kernel over images; at each position the weighted sum of the patch under it.

    Args:
        input: (N, C, H, W), or (C, H, W).
        weight: (O, C / groups, KH, KW).
        bias: (O,), or None.
        stride: steps between positions, one number or one for each axis; likewise for the others.
        padding: rows and columns of zeros around the image; "valid" for none, "same" for a result of the input's size
            (with a stride of 1 only).
        dilation: steps between the elements of the kernel.
        groups: the channels are split into so many groups, each convolved by itself.

    Returns:
        (N, O, OH, OW) with OH = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1, and OW likewise; without N
        if the input has none.

    Raises:
        RuntimeError: shapes or types do not fit; the message names them.
    """
    return _convolve("conv2d", input, weight, bias, stride, padding, dilation, groups, "none", 0.0)


@half_precision
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """As `conv2d`, for sequences: input (N, C, L) or (C, L), weight (O, C / groups, K) -> (N, O, OL)."""
    return _convolve("conv1d", input, weight, bias, stride, padding, dilation, groups, "none", 0.0)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """As `conv1d`, with time first: input (T, N, C), weight (K, C, O), bias (O,) -> (T + 2 pad - K + 1, N, O)."""
    if input.ndim != 3 or weight.ndim != 3:
        raise shape_error("conv_tbc", f"takes (T, N, C) and a weight (K, C, O), got {input._spec!r}, {weight._spec!r}")
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1).contiguous()


def conv2d_activation(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: str = "none",
    parameter: float | None = None,
) -> Tensor:
    """f(conv2d(input, weight, bias, ...)) as one op; activations and `parameter` as in `linear_activation`."""
    value = check_activation(activation, parameter, "conv2d_activation")
    return _convolve("conv2d_activation", input, weight, bias, stride, padding, dilation, groups, activation, value)


def _convolve(
    name: str,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
    activation: str,
    parameter: float,
) -> Tensor:
    axes = 1 if name == "conv1d" else 2
    x = batched(name, input, axes)
    steps, around, spread = read_geometry(name, axes, weight, stride, padding, dilation, groups)
    if axes == 1:
        b = None if bias is None else bias._spec
        check_convolution(name, x._spec, weight._spec, b, steps, around, spread, groups)
        x, weight = x.unsqueeze(2), weight.unsqueeze(2)
        steps, around, spread = (1, *steps), ((0, 0), *around), (1, *spread)
    op = Conv2d(steps, around, spread, groups, activation, parameter)
    result = apply(op, x, weight, bias)
    return without_batch(result[0] if op.returns_z else result, input, axes)


def read_geometry(
    name: str, axes: int, weight: Tensor, stride: Size, padding: Size | str, dilation: Size, groups: int
) -> tuple[Any, Any, Any]:
    """Stride, padding before and after, and dilation, for each axis."""
    if weight.ndim != axes + 2:
        raise shape_error(name, f"takes a weight of {axes + 2} dimensions, (O, C / groups, ...), got {weight._spec!r}")
    steps = per_axis(name, "stride", stride, axes)
    spread = per_axis(name, "dilation", dilation, axes)
    around = _padding(name, padding, weight.shape[2:], steps, spread)
    if groups < 1:
        raise shape_error(name, f"groups must be at least 1, got {groups}")
    return steps, around, spread


def _padding(name: str, padding: Size | str, kernel: tuple[int, ...], stride: Any, dilation: Any) -> Any:
    """The padding before and after, for each axis. Where "same" needs an odd number, one more comes after."""
    if not isinstance(padding, str):
        return both_sides(per_axis(name, "padding", padding, len(kernel), least=0))
    if padding not in ("same", "valid"):
        raise shape_error(name, f"padding is 'same', 'valid' or numbers, got {padding!r}")
    if padding == "valid":
        return both_sides((0,) * len(kernel))
    if max(stride) > 1:
        raise shape_error(name, f"padding='same' is for a stride of 1 only, got stride {list(stride)}")
    total = [d * (k - 1) for k, d in zip(kernel, dilation)]
    return tuple((t // 2, t - t // 2) for t in total)
