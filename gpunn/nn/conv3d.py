"""Convolutions of volumes."""

from __future__ import annotations

from collections.abc import Sequence

from gpunn.tensor import Tensor

from . import functional as F
from .conv import _Convolution, _ConvTranspose


class Conv3d(_Convolution):
    """A convolution of volumes: `Conv2d` with a depth before height and width.

    Arguments and parameters as there, with three dimensions in the place of two.

    Shapes:
        input (N, in_channels, D, H, W) or (in_channels, D, H, W), output (N, out_channels, D_out, H_out, W_out),
        D_out = floor((D + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1, and so on
    """

    dims = 3

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._padded(input)
        return F.conv3d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class ConvTranspose3d(_ConvTranspose):
    """The transposed `Conv3d`: what maps the gradient of its output to that of its input.

    Shapes:
        input (N, in_channels, D, H, W) or (in_channels, D, H, W), output (N, out_channels, D_out, H_out, W_out),
        D_out = (D - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1, and so on

    Arguments as in `ConvTranspose2d`.
    """

    dims = 3

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        added = self._output_padding(input, output_size)
        return F.conv_transpose3d(
            input, self.weight, self.bias, self.stride, self.padding, added, self.groups, self.dilation
        )
