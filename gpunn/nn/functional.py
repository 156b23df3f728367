"""What layers compute, as functions, under the names of torch.nn.functional."""

from __future__ import annotations

from gpunn import ops
from gpunn.autograd.inplace import update
from gpunn.ops import gelu, linear, linear_activation, sigmoid, softplus, tanh
from gpunn.tensor import Tensor

__all__ = [
    "elu",
    "gelu",
    "leaky_relu",
    "linear",
    "linear_activation",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
    "tanh",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0); `inplace` also makes it the new value of input."""
    return update(input, ops.relu) if inplace else ops.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Input where it is positive, else negative_slope * input."""
    return update(input, ops.leaky_relu, negative_slope) if inplace else ops.leaky_relu(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Input where it is positive, else alpha (e^input - 1)."""
    return update(input, ops.elu, alpha) if inplace else ops.elu(input, alpha)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Input * sigmoid(input)."""
    return update(input, ops.silu) if inplace else ops.silu(input)
