"""Patches of images as columns, and back."""

from __future__ import annotations

from gpunn.ops.windows import Size
from gpunn.tensor import Tensor

from . import functional as F
from .module import Module


class Unfold(Module):
    """Every patch of an image as a column (im2col): (N, C, H, W) -> (N, C k_h k_w, number of patches).

    A convolution is then the product of its weight with these columns.

    Args:
        kernel_size: of a patch; one number, or (height, width), here and below.
        dilation: distance between the pixels of a patch.
        padding: zeros added on each side.
        stride: steps from patch to patch.
    """

    def __init__(self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1):
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Module):
    """Columns back to an image (col2im), summed where patches overlap: (N, C k_h k_w, patches) -> (N, C, H, W).

    The adjoint of `Unfold`: <unfold(x), y> = <x, fold(y)>.

    Args:
        output_size: (H, W) of the image.
        kernel_size: as in `Unfold`, and so are the others.
        dilation: see there.
        padding: see there.
        stride: see there.
    """

    def __init__(self, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1):
        super().__init__()
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
            f"padding={self.padding}, stride={self.stride}"
        )
