"""Activations as modules."""

from __future__ import annotations

from gpunn.tensor import Tensor

from . import functional as F
from .module import Module


class InplaceActivation(Module):
    """An activation that can also make y the new value of its input."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def describe(self) -> str:
        """What the repr says besides inplace."""
        return ""

    def extra_repr(self) -> str:
        return ", ".join(text for text in (self.describe(), "inplace=True" if self.inplace else "") if text)


class ReLU(InplaceActivation):
    """y = max(x, 0).

    Args:
        inplace: also make y the new value of the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)


class LeakyReLU(InplaceActivation):
    """y = x for x > 0, else a x.

    Args:
        negative_slope: a.
        inplace: also make y the new value of the input.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def describe(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(InplaceActivation):
    """y = x for x > 0, else a (e^x - 1)   (Clevert et al. 2016).

    Args:
        alpha: a.
        inplace: also make y the new value of the input.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)

    def describe(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Module):
    """y = x P(x), P the distribution function of the normal distribution   (Hendrycks, Gimpel 2016).

    Args:
        approximate: "none", or "tanh" for x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2.
    """

    def __init__(self, approximate: str = "none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(InplaceActivation):
    """y = x / (1 + e^-x), also called swish   (Elfwing et al. 2018).

    Args:
        inplace: also make y the new value of the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, self.inplace)


class Sigmoid(Module):
    """y = 1 / (1 + e^-x)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class Tanh(Module):
    """y = tanh x."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class Softplus(Module):
    """y = ln(1 + e^(b x)) / b, a smooth max(x, 0); x itself where b x > threshold.

    Args:
        beta: b; the larger, the closer to max(x, 0).
        threshold: where the formula gives x to all digits anyway.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class _AlongDim(Module):
    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """y_i = e^x_i / sum_j e^x_j along one dimension: positive, and together 1.

    Args:
        dim: the dimension of the sum. Without it one is guessed as PyTorch does, with a warning.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class LogSoftmax(_AlongDim):
    """y_i = x_i - ln sum_j e^x_j along one dimension: the logarithm of `Softmax`, without its loss of digits.

    Args:
        dim: the dimension of the sum. Without it one is guessed as PyTorch does, with a warning.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class Softmin(_AlongDim):
    """`Softmax` of -x along one dimension.

    Args:
        dim: the dimension of the sum. Without it one is guessed as PyTorch does, with a warning.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)
