"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gpunn.ops import empty
from gpunn.ops.activation import DEFAULTS, check_activation
from gpunn.ops.windows import Size, per_axis
from gpunn.tensor import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What all convolutions share: their numbers, their weight and bias."""

    dims: ClassVar[int]
    transposed: ClassVar[bool] = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Any,
        output_padding: Size,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ):
        super().__init__()
        name = type(self).__name__
        if groups <= 0 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups must divide in_channels={in_channels} and out_channels={out_channels}, got {groups}"
            )
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"{name}: padding_mode is one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.dims)
        self.stride = per_axis(name, "stride", stride, self.dims)
        if self.transposed or not isinstance(padding, str):
            padding = per_axis(name, "padding", padding, self.dims, least=0)
        elif padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding is a number, a tuple, 'same' or 'valid', got {padding!r}")
        self.padding = padding
        self.output_padding = per_axis(name, "output_padding", output_padding, self.dims, least=0)
        self.dilation = per_axis(name, "dilation", dilation, self.dims)
        self.groups = groups
        self.padding_mode = padding_mode
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f"{name}: padding='same' is for stride 1, got stride {self.stride}")
        channels = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(empty(*channels, *self.kernel_size, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw initial values anew."""
        init.affine_(self.weight, self.bias)

    def _padded(self, input: Tensor) -> tuple[Tensor, Any]:
        """The input with the padding that the op does not do itself, and the padding left to the op."""
        if self.padding_mode == "zeros":
            return input, self.padding
        if self.padding == "valid":
            return input, 0
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size)]
            pairs = [(t // 2, t - t // 2) for t in totals]
        else:
            pairs = [(p, p) for p in self.padding]
        # pad() counts dimensions from the last one.
        return F.pad(input, [n for pair in reversed(pairs) for n in pair], mode=self.padding_mode), 0

    def extra_repr(self) -> str:
        zero, one = (0,) * self.dims, (1,) * self.dims
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if self.padding != zero else ""
        text += f", dilation={self.dilation}" if self.dilation != one else ""
        text += f", output_padding={self.output_padding}" if self.output_padding != zero else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        text += ", bias=False" if self.bias is None else ""
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")


class _Convolution(_Conv):
    """What is not transposed: there is no output_padding, and padding may be a word."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )


class Conv1d(_Convolution):
    """A convolution along one axis (a cross-correlation, strictly).

    y[n, o, l] = b[o] + sum over c, i of w[o, c, i] x[n, c, stride l + dilation i - padding]

    Arguments and parameters as in `Conv2d`, with one dimension in the place of two.

    Shapes:
        input (N, in_channels, L) or (in_channels, L), output (N, out_channels, L_out),
        L_out = floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1
    """

    dims = 1

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._padded(input)
        return F.conv1d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Convolution):
    """A convolution of images (a cross-correlation, strictly).

    y[n, o, h, w] = b[o] + sum over c, i, j of W[o, c, i, j] x[n, c, stride h + dilation i - padding, ...]

    Each output channel looks for one pattern of kernel_size, everywhere in the image. There are
    (k_h k_w in_channels / groups + 1) out_channels parameters. W and b start uniform in [-l, l],
    l = 1 / sqrt(k_h k_w in_channels / groups).

    Shapes:
        input (N, in_channels, H, W) or (in_channels, H, W), output (N, out_channels, H_out, W_out),
        H_out = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1

    Args:
        in_channels: channels of the input, such as 3 for colours.
        out_channels: channels of the output.
        kernel_size: of the window, in pixels; one number, or (height, width), here and below.
        stride: steps of the window.
        padding: pixels added on each side, or "same" (output as large as the input), or "valid" (none).
        dilation: distance between the pixels that one window sees.
        groups: the channels are split into so many groups, each convolved for itself.
        bias: whether there is a b.
        padding_mode: what is added: zeros, or by "reflect", "replicate" or "circular" the image continued.

    Attributes:
        weight: W (out_channels, in_channels / groups, k_h, k_w).
        bias: b (out_channels,), or None.
    """

    dims = 2

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._padded(input)
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2dActivation(Conv2d):
    """y = f(conv2d(x)): a convolution and the activation behind it, computed in one pass.

    The same numbers as ``Sequential(Conv2d(...), ReLU())``. Parameters, initial values and state_dict are those of
    `Conv2d`.

    Args:
        in_channels: as in `Conv2d`, and so are all up to padding_mode.
        out_channels: see there.
        kernel_size: see there.
        stride: see there.
        padding: see there.
        dilation: see there.
        groups: see there.
        bias: see there.
        padding_mode: see there.
        activation: none, relu, leaky_relu, elu, sigmoid, tanh, softplus, gelu, gelu_tanh or silu.
        parameter: leaky_relu's slope (0.01), elu's alpha (1), softplus's beta (1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        activation: str = "relu",
        parameter: float | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.activation = activation
        self.parameter = check_activation(activation, parameter, "Conv2dActivation")

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._padded(input)
        return F.conv2d_activation(
            input,
            self.weight,
            self.bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
            activation=self.activation,
            parameter=self.parameter,
        )

    def extra_repr(self) -> str:
        text = f"{super().extra_repr()}, activation={self.activation!r}"
        return f"{text}, parameter={self.parameter}" if self.activation in DEFAULTS else text


class _ConvTranspose(_Conv):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        if padding_mode != "zeros":
            raise ValueError(f"{type(self).__name__}: padding_mode can only be 'zeros', got {padding_mode!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """What is added to the smallest possible output to get `output_size`."""
        if output_size is None:
            return self.output_padding
        wanted = tuple(output_size)[-self.dims :]
        spatial = input.shape[-self.dims :]
        least = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(spatial, self.stride, self.padding, self.dilation, self.kernel_size)
        )
        added = tuple(w - m for w, m in zip(wanted, least))
        if len(wanted) != self.dims or any(not 0 <= a < s for a, s in zip(added, self.stride)):
            most = tuple(m + s - 1 for m, s in zip(least, self.stride))
            raise ValueError(
                f"{type(self).__name__}: an input of {spatial} gives outputs from {least} to {most}, not {wanted}"
            )
        return added


class ConvTranspose1d(_ConvTranspose):
    """The transposed `Conv1d`: what maps the gradient of its output to that of its input.

    Shapes:
        input (N, in_channels, L) or (in_channels, L), output (N, out_channels, L_out),
        L_out = (L - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1

    Arguments as in `ConvTranspose2d`.
    """

    dims = 1

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        added = self._output_padding(input, output_size)
        return F.conv_transpose1d(
            input, self.weight, self.bias, self.stride, self.padding, added, self.groups, self.dilation
        )


class ConvTranspose2d(_ConvTranspose):
    """The transposed `Conv2d`: what maps the gradient of its output to that of its input; it makes images larger.

    Each input pixel adds its value times the window to the output. (Dumoulin, Visin 2016, "A guide to convolution
    arithmetic for deep learning", chapter 4.)

    Shapes:
        input (N, in_channels, H, W) or (in_channels, H, W), output (N, out_channels, H_out, W_out),
        H_out = (H - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: of the window; one number, or (height, width), here and below.
        stride: how far the windows of neighbouring pixels lie apart.
        padding: pixels taken away on each side of the output.
        output_padding: pixels added at the end of the output; several sizes of output have the same input, and this
            says which one is meant. ``forward(input, output_size=...)`` says it another way.
        groups: the channels are split into so many groups.
        bias: whether there is a b.
        dilation: distance between the pixels of a window.
        padding_mode: "zeros"; there is no other.

    Attributes:
        weight: W (in_channels, out_channels / groups, k_h, k_w).
        bias: b (out_channels,), or None.
    """

    dims = 2

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        added = self._output_padding(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, added, self.groups, self.dilation
        )
