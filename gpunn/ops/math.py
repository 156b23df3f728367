"""Functions of one number, element by element; integers become the default float type."""

from __future__ import annotations

from math import log as _log
from math import pi
from math import sqrt as _sqrt
from typing import TYPE_CHECKING, Any

from .elementwise import Elementwise
from .promote import unary_float

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Exp(Elementwise):
    """y = e^x;  dx = dy y."""

    primitive = "exp"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * y


class Expm1(Elementwise):
    """y = e^x - 1, exact also near 0;  dx = dy (y + 1)."""

    primitive = "expm1"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * (y + 1)


class Log(Elementwise):
    """y = ln x;  dx = dy / x."""

    primitive = "log"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy / x


class Log2(Elementwise):
    """y = log2 x;  dx = dy / (x ln 2)."""

    primitive = "log2"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy / (x * _log(2))


class Log10(Elementwise):
    """y = log10 x;  dx = dy / (x ln 10)."""

    primitive = "log10"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy / (x * _log(10))


class Log1p(Elementwise):
    """y = ln(1 + x), exact also near 0;  dx = dy / (1 + x)."""

    primitive = "log1p"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy / (x + 1)


class Sqrt(Elementwise):
    """y = x^(1/2);  dx = dy / (2 y)."""

    primitive = "sqrt"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy / (y * 2)


class Rsqrt(Elementwise):
    """y = x^(-1/2);  dx = -dy y^3 / 2."""

    primitive = "rsqrt"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * (-0.5 * y * y * y)


class Sin(Elementwise):
    """y = sin x;  dx = dy cos x."""

    primitive = "sin"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * cos(x)


class Cos(Elementwise):
    """y = cos x;  dx = -dy sin x."""

    primitive = "cos"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return -dy * sin(x)


class Tan(Elementwise):
    """y = tan x;  dx = dy (1 + y^2)."""

    primitive = "tan"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * (y * y + 1)


class Tanh(Elementwise):
    """y = tanh x;  dx = dy (1 - y^2)."""

    primitive = "tanh"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * (1 - y * y)


class Sigmoid(Elementwise):
    """y = 1 / (1 + e^-x), by the exponential of -|x| so that nothing overflows;  dx = dy y (1 - y)."""

    primitive = "sigmoid"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * (y * (1 - y))


class Erf(Elementwise):
    """y = 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x;  dx = dy 2/sqrt(pi) e^(-x^2)."""

    primitive = "erf"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * (exp(-x * x) * (2 / _sqrt(pi)))


def exp(input: Tensor) -> Tensor:
    """e to the power of input."""
    return unary_float(Exp(), input)


def expm1(input: Tensor) -> Tensor:
    """e^input - 1, exact also near 0."""
    return unary_float(Expm1(), input)


def log(input: Tensor) -> Tensor:
    """The natural logarithm: -inf at 0, NaN below."""
    return unary_float(Log(), input)


def log2(input: Tensor) -> Tensor:
    """The logarithm to base 2."""
    return unary_float(Log2(), input)


def log10(input: Tensor) -> Tensor:
    """The logarithm to base 10."""
    return unary_float(Log10(), input)


def log1p(input: Tensor) -> Tensor:
    """ln(1 + input), exact also near 0."""
    return unary_float(Log1p(), input)


def sqrt(input: Tensor) -> Tensor:
    """The square root, NaN below 0."""
    return unary_float(Sqrt(), input)


def rsqrt(input: Tensor) -> Tensor:
    """1 / sqrt(input)."""
    return unary_float(Rsqrt(), input)


def sin(input: Tensor) -> Tensor:
    """The sine of an angle in radians."""
    return unary_float(Sin(), input)


def cos(input: Tensor) -> Tensor:
    """The cosine of an angle in radians."""
    return unary_float(Cos(), input)


def tan(input: Tensor) -> Tensor:
    """The tangent of an angle in radians."""
    return unary_float(Tan(), input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return unary_float(Tanh(), input)


def sigmoid(input: Tensor) -> Tensor:
    """The logistic function 1 / (1 + e^-input)."""
    return unary_float(Sigmoid(), input)


def erf(input: Tensor) -> Tensor:
    """The error function."""
    return unary_float(Erf(), input)
