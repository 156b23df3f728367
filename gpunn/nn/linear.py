"""Affine maps of the last axis."""

from __future__ import annotations

from typing import Any

from gpunn.ops import empty
from gpunn.ops.activation import DEFAULTS, check_activation
from gpunn.tensor import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class Identity(Module):
    """y = x. Takes any arguments and ignores them, so that it can stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """Y = X W^T + b.

    The network's workhorse: each of the outputs is a weighted sum of all inputs, plus a number of its own. It has
    (in_features + 1) out_features parameters. W and b start uniform in [-l, l], l = 1 / sqrt(in_features).

    Shapes:
        input (..., in_features), output (..., out_features)

    Args:
        in_features: size of the input's last dimension.
        out_features: size of the output's.
        bias: whether there is a b.

    Attributes:
        weight: W (out_features, in_features).
        bias: b (out_features,), or None.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw initial values anew."""
        init.affine_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y_k = x1^T W_k x2 + b_k. W and b start uniform in [-l, l], l = 1 / sqrt(in1_features).

    Shapes:
        input1 (..., in1_features), input2 (..., in2_features), output (..., out_features)

    Args:
        in1_features: size of the first input's last dimension.
        in2_features: size of the second input's.
        out_features: size of the output's.
        bias: whether there is a b.

    Attributes:
        weight: W (out_features, in1_features, in2_features).
        bias: b (out_features,), or None.
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(empty(out_features, in1_features, in2_features, device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw initial values anew."""
        bound = self.in1_features**-0.5
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                init.uniform_(parameter, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class LinearActivation(Linear):
    """Y = f(X W^T + b): a linear layer and the activation behind it, computed in one pass.

    The same numbers as ``Sequential(Linear(...), ReLU())``, without writing X W^T + b to memory in between where f can
    do without it. Parameters, initial values and state_dict are those of `Linear`.

    Args:
        in_features: size of the input's last dimension.
        out_features: size of the output's.
        bias: whether there is a b.
        activation: none, relu, leaky_relu, elu, sigmoid, tanh, softplus, gelu, gelu_tanh or silu.
        parameter: leaky_relu's slope (0.01), elu's alpha (1), softplus's beta (1).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: str = "relu",
        parameter: float | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(in_features, out_features, bias, device, dtype)
        self.activation = activation
        self.parameter = check_activation(activation, parameter, "LinearActivation")

    def forward(self, input: Tensor) -> Tensor:
        return F.linear_activation(input, self.weight, self.bias, self.activation, self.parameter)

    def extra_repr(self) -> str:
        text = f"{super().extra_repr()}, activation={self.activation!r}"
        return f"{text}, parameter={self.parameter}" if self.activation in DEFAULTS else text
