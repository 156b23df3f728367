"""Normalisation of each sample by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunn.ops import ones, zeros
from gpunn.tensor import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _Norm(Module):
    """A normalisation with a scale and a shift, each of which may be missing."""

    weight: Parameter | None
    bias: Parameter | None

    def _add_parameters(self, shape: tuple[int, ...], weight: bool, bias: bool, device: Any, dtype: Any) -> None:
        self.register_parameter("weight", Parameter(ones(shape, device=device, dtype=dtype)) if weight else None)
        self.register_parameter("bias", Parameter(zeros(shape, device=device, dtype=dtype)) if bias else None)

    def reset_parameters(self) -> None:
        """Set scales to 1 and shifts to 0."""
        for name, parameter in self.named_parameters():
            (init.zeros_ if name == "bias" else init.ones_)(parameter)


class LayerNorm(_Norm):
    """Each sample has mean 0 and variance 1 over its last dimensions: y = (x - mean) / sqrt(var + eps) weight + bias.

    Mean and (biased) variance are taken over the dimensions in normalized_shape, so the batch makes no difference.
    Ba et al. 2016, "Layer normalization".

    Args:
        normalized_shape: the last sizes of the input, or the last one as a number.
        eps: added to the variance, against division by 0.
        elementwise_affine: whether there are weight and bias, of that shape; they start as 1 and 0.
        bias: whether there is a bias beside the weight.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._add_parameters(self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(_Norm):
    """Each group of channels of each sample has mean 0 and variance 1: (N, C, ...) -> (N, C, ...).

    y = (x - mean) / sqrt(var + eps) weight + bias, with mean and (biased) variance over a group's channels and pixels.
    Wu, He 2018, "Group normalization".

    Args:
        num_groups: how many groups the channels are split into; it divides num_channels.
        num_channels: C.
        eps: added to the variance, against division by 0.
        affine: whether there are weight and bias, one for each channel; they start as 1 and 0.
        bias: whether there is a bias beside the weight.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        if num_groups <= 0 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self._add_parameters((num_channels,), affine, affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(_Norm):
    """Each sample is divided by its root mean square over the last dimensions: y = x / sqrt(mean(x^2) + eps) weight.

    Zhang, Sennrich 2019, "Root mean square layer normalization".

    Args:
        normalized_shape: the last sizes of the input, or the last one as a number.
        eps: added to the mean square; None for the machine epsilon of the input's type.
        elementwise_affine: whether there is a weight, of that shape; it starts as 1.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = ones(self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", Parameter(weight) if elementwise_affine else None)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """y = x / (k + alpha mean of x^2 over `size` neighbouring channels)^beta, for (N, C, ...).

    Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks", section 3.3.

    Args:
        size: how many channels count.
        alpha: see the formula.
        beta: see the formula.
        k: see the formula.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _shape(sizes: int | Sequence[int]) -> tuple[int, ...]:
    return (sizes,) if isinstance(sizes, int) else tuple(sizes)
