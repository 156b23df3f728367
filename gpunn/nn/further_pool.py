"""Pooling by norms, at random places, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gpunn.ops.windows import Size, per_axis
from gpunn.tensor import Tensor

from . import functional as F
from .module import Module


class _LPPool(Module):
    def __init__(self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False):
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(sum of x^p over each window)^(1/p): (N, C, L) -> (N, C, L_out). Arguments as in `LPPool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)  # type: ignore[arg-type]


class LPPool2d(_LPPool):
    """(sum of x^p over each window)^(1/p): (N, C, H, W) -> (N, C, H_out, W_out); the sum for p = 1.

    Args:
        norm_type: p.
        kernel_size: of the window; one number, or (height, width), here and below.
        stride: steps of the window; its size if None.
        ceil_mode: round the output's size up instead of down.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPool):
    """(sum of x^p over each window)^(1/p): (N, C, D, H, W) -> (N, C, D_out, H_out, W_out). See `LPPool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool3d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _MaxUnpool(Module):
    dims: ClassVar[int]

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0):
        super().__init__()
        name = type(self).__name__
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.dims)
        self.stride = self.kernel_size if stride is None else per_axis(name, "stride", stride, self.dims)
        self.padding = per_axis(name, "padding", padding, self.dims, least=0)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """The way back of `MaxPool1d`: (N, C, L) and its indices -> (N, C, L_out). Arguments as in `MaxUnpool2d`."""

    dims = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """The way back of `MaxPool2d`: its elements at their old places, and 0 elsewhere.

    ``forward(input, indices, output_size=None)`` takes both results of `MaxPool2d`, and the size to go back to where
    several sizes have the same windows.

    Args:
        kernel_size: as it was in `MaxPool2d`, and so are the others.
        stride: see there.
        padding: see there.
    """

    dims = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_MaxUnpool):
    """The way back of `MaxPool3d`: (N, C, D, H, W) and its indices. Arguments as in `MaxUnpool2d`."""

    dims = 3

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class _FractionalMaxPool(Module):
    dims: ClassVar[int]
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: Size,
        output_size: Size | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ):
        super().__init__()
        name = type(self).__name__
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{name}: give one of output_size and output_ratio")
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.dims)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else per_axis(name, "output_size", output_size, self.dims)
        ratios: Any = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * self.dims
        self.output_ratio: Sequence[float] | None = None if output_ratio is None else tuple(ratios)
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"{name}: output_ratio must be between 0 and 1 (got {output_ratio})")


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest element of each of as many windows as are asked for, at places drawn anew for each channel.

    Graham 2014, "Fractional max-pooling".

    Args:
        kernel_size: of the window; one number, or (height, width), here and below.
        output_size: how many windows.
        output_ratio: in its place their share of the input's size, between 0 and 1.
        return_indices: return (output, indices), as `MaxPool2d`.
    """

    dims = 2

    def forward(self, input: Tensor) -> Any:
        return F.fractional_max_pool2d(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class FractionalMaxPool3d(_FractionalMaxPool):
    """As `FractionalMaxPool2d`, for volumes (N, C, D, H, W)."""

    dims = 3

    def forward(self, input: Tensor) -> Any:
        return F.fractional_max_pool3d(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )
