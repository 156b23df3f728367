"""Activations that are put together from other ones."""

from __future__ import annotations

from typing import Any

from gpunn.ops import full
from gpunn.tensor import Tensor

from . import functional as F
from . import init
from .activation import InplaceActivation
from .module import Module
from .parameter import Parameter


class LogSigmoid(Module):
    """y = ln(1 / (1 + e^-x))."""

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class Hardtanh(InplaceActivation):
    """y = x, limited to [min_val, max_val].

    Args:
        min_val: the least y.
        max_val: the largest.
        inplace: also make y the new value of the input.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False):
        super().__init__(inplace)
        if min_val >= max_val:
            raise ValueError(f"{type(self).__name__}: max_val must be greater than min_val, got {min_val}, {max_val}")
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def describe(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class ReLU6(Hardtanh):
    """y = min(max(x, 0), 6)   (Krizhevsky 2010).

    Args:
        inplace: also make y the new value of the input.
    """

    def __init__(self, inplace: bool = False):
        super().__init__(0.0, 6.0, inplace)

    def describe(self) -> str:
        return ""


class Hardsigmoid(InplaceActivation):
    """y = min(max(x + 3, 0), 6) / 6, straight lines in the place of a sigmoid."""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)


class Hardswish(InplaceActivation):
    """y = x min(max(x + 3, 0), 6) / 6   (Howard et al. 2019)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)


class Mish(InplaceActivation):
    """y = x tanh(ln(1 + e^x))   (Misra 2019)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, self.inplace)


class SELU(InplaceActivation):
    """y = 1.0507 x for x > 0, else 1.0507 * 1.6733 (e^x - 1): mean 0 and variance 1 stay (Klambauer et al. 2017)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input, self.inplace)


class CELU(InplaceActivation):
    """y = x for x > 0, else a (e^(x / a) - 1)   (Barron 2017).

    Args:
        alpha: a.
        inplace: also make y the new value of the input.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)

    def describe(self) -> str:
        return f"alpha={self.alpha}"


class GLU(Module):
    """y = a sigmoid(b) for the two halves a, b of the input along a dimension   (Dauphin et al. 2017).

    Args:
        dim: the dimension that is halved.
    """

    def __init__(self, dim: int = -1):
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """y = x for x > 0, else a x, where a is learned   (He et al. 2015).

    Args:
        num_parameters: 1, or the number of channels, for an a of each.
        init: a in the beginning.

    Attributes:
        weight: a (num_parameters,).
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None):
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(full((num_parameters,), float(init), device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Set a to its value in the beginning."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Threshold(InplaceActivation):
    """y = x where x is above the threshold, else value.

    Args:
        threshold: up to which x is replaced.
        value: by what.
        inplace: also make y the new value of the input.
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False):
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def describe(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


class Softsign(Module):
    """y = x / (1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


class Tanhshrink(Module):
    """y = x - tanh x."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)


class _Shrink(Module):
    def __init__(self, lambd: float = 0.5):
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """y = x where |x| > lambd, else 0.

    Args:
        lambd: where it begins.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """y = x moved towards 0 by lambd, and 0 within that.

    Args:
        lambd: by how much.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)


class RReLU(Module):
    """y = x where x >= 0, else a x: a is drawn from [lower, upper) in training, and its mean in evaluation.

    Xu et al. 2015, "Empirical evaluation of rectified activations in convolutional network".

    Args:
        lower: the least slope.
        upper: the largest.
        inplace: also make y the new value of the input.
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False):
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")
