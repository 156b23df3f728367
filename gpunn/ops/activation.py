"""Activations, by themselves and behind an affine map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import BOOL, FLOAT
from gpunn.backend.spec import Spec

from .base import Composite, frozen, shape_error
from .elementwise import Elementwise

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

FROM_OUTPUT = ("none", "relu", "leaky_relu", "sigmoid", "tanh")
"""Activations whose derivative is a function of their result, which the next layer keeps anyway."""
FROM_INPUT = ("elu", "softplus", "gelu", "gelu_tanh", "silu")
"""Activations whose derivative needs their input. For ELU it would be y + a, which has no digits where it is small."""
NAMES = FROM_OUTPUT + FROM_INPUT
DEFAULTS = {"leaky_relu": 0.01, "elu": 1.0, "softplus": 1.0}
"""The parameter of those that have one: slope, alpha, beta."""


def check_activation(name: str, parameter: float | None, where: str) -> float:
    """The activation's parameter, or its default.

    Raises:
        ValueError: there is no such activation.
    """
    if name not in NAMES:
        raise ValueError(f"{where}: there is no activation {name!r}; there are {', '.join(NAMES)}")
    return DEFAULTS.get(name, 0.0) if parameter is None else float(parameter)


def derivative_from_output(name: str, parameter: float) -> bool:
    """Whether f'(x) is computed from f(x) alone. (Of a leaky ReLU with a negative slope that does not tell x.)"""
    return name in FROM_OUTPUT and not (name == "leaky_relu" and parameter < 0)


@frozen
class Activation(Elementwise):
    """y = f(x);  dx = dy o f'(x), where f' is taken from y if that is possible.

    relu        max(x, 0)                                   f' = [y > 0]
    leaky_relu  x if x > 0 else a x                         f' = 1 if y > 0 else a
    elu         x if x > 0 else a (e^x - 1)                 f' = 1 if x > 0 else a e^x     (Clevert et al. 2016)
    sigmoid     1 / (1 + e^-x)                              f' = y (1 - y)
    tanh        tanh x                                      f' = 1 - y^2
    softplus    ln(1 + e^(b x)) / b                         f' = sigmoid(b x)
    gelu        x P(x), P the normal distribution           f' = P(x) + x p(x)             (Hendrycks, Gimpel 2016)
    gelu_tanh   x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2
    silu        x sigmoid(x)                                f' = s + y (1 - s), s = sigmoid(x)

    Where a ReLU is closed, an infinite dy gives 0 too. Where y is NaN it is open, as in PyTorch.
    """

    kind: str
    parameter: float = 0.0
    overwrites = (0,)

    @property
    def saved(self) -> tuple[int, ...]:
        return () if derivative_from_output(self.kind, self.parameter) else (0,)

    @property
    def saves_output(self) -> bool:
        return derivative_from_output(self.kind, self.parameter)

    def shape(self, x: Spec) -> Spec:
        if x.dtype.category != FLOAT and (self.kind != "relu" or x.dtype.category == BOOL):
            raise shape_error(self, f"{self.kind} takes floats, got {x!r}; convert with .float()")
        return x

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.activation(x, self.kind, self.parameter, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return activation_backward(dy, y if self.saves_output else x, self.kind, self.parameter)


@frozen
class ActivationBackward(Composite):
    """dx = dy o f'(s), where s is y = f(x) if the derivative follows from that, else x."""

    kind: str
    parameter: float
    saved = (0, 1)
    overwrites = (0,)
    by_element = True

    def gives_last(self, arrays: Sequence[Any], shape: tuple[int, ...]) -> bool:
        """As s lies, if that decides it."""
        return super().gives_last(arrays[::-1], shape)

    def shape(self, dy: Spec, s: Spec) -> Spec:
        return dy

    def forward(self, backend: Any, dy: Any, s: Any, out: Any = None) -> Any:
        from_output = derivative_from_output(self.kind, self.parameter)
        return backend.activation_backward(dy, s, self.kind, self.parameter, from_output, out=out)

    def formula(self, dy: Any, s: Any) -> Any:
        from .comparison import gt, le, where
        from .math import erf, exp, sigmoid, tanh

        kind, a = self.kind, self.parameter
        if kind == "none":
            return dy * 1
        if kind == "relu":
            return where(le(s, 0), 0, dy)
        if kind == "leaky_relu":
            return where(gt(s, 0), dy, dy * a)
        if kind == "elu":
            return dy * where(gt(s, 0), 1.0, exp(where(gt(s, 0), 0.0, s)) * a)
        if kind == "sigmoid":
            return dy * (s * (1 - s))
        if kind == "tanh":
            return dy * (1 - s * s)
        if kind == "softplus":
            return dy * sigmoid(s * a)
        if kind == "silu":
            p = sigmoid(s)
            return dy * (p * (1 + s * (1 - p)))
        if kind == "gelu":
            return dy * ((erf(s * math.sqrt(0.5)) + 1) * 0.5 + s * exp(s * s * -0.5) * (1 / math.sqrt(2 * math.pi)))
        c = math.sqrt(2 / math.pi)
        th = tanh((s + s * s * s * 0.044715) * c)
        return dy * ((th + 1) * 0.5 + s * (1 - th * th) * (1 + s * s * (3 * 0.044715)) * (0.5 * c))


def activation_backward(dy: Tensor, s: Tensor, kind: str, parameter: float) -> Tensor:
    """dy f'(s); see `ActivationBackward`."""
    return dy if kind == "none" else apply(_backward(kind, parameter), dy, s)


def activate(input: Tensor, kind: str, parameter: float | None = None) -> Tensor:
    """The activation by its name, element by element; see `Activation` for the formulas."""
    value = check_activation(kind, parameter, "activate")
    return input if kind == "none" else apply(Activation(kind, value), input)


def relu(input: Tensor) -> Tensor:
    """max(input, 0); the gradient at 0 is 0."""
    return apply(RELU, input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Input where it is positive, else negative_slope * input."""
    return activate(input, "leaky_relu", negative_slope)


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """Input where it is positive, else alpha (e^input - 1)."""
    return activate(input, "elu", alpha)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Input times the normal distribution function of input; ``approximate="tanh"`` for the formula with tanh."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate is 'none' or 'tanh', got {approximate!r}")
    return activate(input, "gelu" if approximate == "none" else "gelu_tanh")


def silu(input: Tensor) -> Tensor:
    """Input * sigmoid(input)."""
    return activate(input, "silu")


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(beta input)) / beta, as max(x, 0) + ln(1 + e^-|beta x|) / beta, which never overflows.

    Above `threshold` PyTorch returns the input itself; with the formula here the two differ by less than one rounding
    at the default of 20, where e^-20 is 2e-9, so only another threshold changes anything.
    """
    y = activate(input, "softplus", beta)
    if threshold == 20.0:
        return y
    from .comparison import gt, where

    return where(gt(input * beta, threshold), input, y)


RELU = Activation("relu")
_backward = cache(ActivationBackward)  # making a frozen object costs as much as a small product
