"""Functions of one number, element by element; integers become the default float type."""

from __future__ import annotations

from math import log as _log
from math import pi
from math import sqrt as _sqrt
from typing import TYPE_CHECKING, Any

from .activation import activation_backward
from .base import Operand
from .elementwise import Elementwise
from .promote import binary_float, unary_float

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


class Exp2(Elementwise):
    """y = 2^x;  dx = dy y ln 2."""

    primitive = "exp2"
    saves_output = True

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * (y * _log(2))


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
        return activation_backward(dy, y, "tanh", 0.0)


class Asin(Elementwise):
    """y = arcsin x;  dx = dy / sqrt(1 - x^2)."""

    primitive = "arcsin"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * rsqrt(1 - x * x)


class Acos(Elementwise):
    """y = arccos x;  dx = -dy / sqrt(1 - x^2)."""

    primitive = "arccos"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return -dy * rsqrt(1 - x * x)


class Atan(Elementwise):
    """y = arctan x;  dx = dy / (1 + x^2)."""

    primitive = "arctan"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy / (x * x + 1)


class Atan2(Elementwise):
    """z = the angle of the point (y, x), in (-pi, pi];  dy = dz x / (x^2 + y^2),  dx = -dz y / (x^2 + y^2).

    At the origin, where there is no angle, both are 0, as in PyTorch.
    """

    primitive = "arctan2"
    saved = (0, 1)

    def vjp(self, needs: Any, dz: Any, z: Any, y: Any, x: Any) -> Any:
        from .comparison import eq, where

        square = x * x + y * y
        origin = eq(square, 0)
        part = where(origin, 0.0, dz) / where(origin, 1.0, square)
        return part * x if needs[0] else None, -part * y if needs[1] else None


class Sinh(Elementwise):
    """y = (e^x - e^-x) / 2;  dx = dy cosh x."""

    primitive = "sinh"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * cosh(x)


class Cosh(Elementwise):
    """y = (e^x + e^-x) / 2;  dx = dy sinh x."""

    primitive = "cosh"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * sinh(x)


class Asinh(Elementwise):
    """y = arcsinh x;  dx = dy / sqrt(x^2 + 1)."""

    primitive = "arcsinh"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * rsqrt(x * x + 1)


class Acosh(Elementwise):
    """y = arccosh x;  dx = dy / sqrt(x^2 - 1)."""

    primitive = "arccosh"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy * rsqrt(x * x - 1)


class Atanh(Elementwise):
    """y = arctanh x;  dx = dy / (1 - x^2)."""

    primitive = "arctanh"
    saved = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy / (1 - x * x)


class Sigmoid(Elementwise):
    """y = 1 / (1 + e^-x), 0 where e^-x overflows;  dx = dy y (1 - y)."""

    primitive = "sigmoid"
    saves_output = True
    overwrites = (0,)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return activation_backward(dy, y, "sigmoid", 0.0)


class Erf(Elementwise):
    """y = 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x;  dx = 2/sqrt(pi) dy e^(-x^2)."""

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


def exp2(input: Tensor) -> Tensor:
    """2 to the power of input."""
    return unary_float(Exp2(), input)


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


def asin(input: Tensor) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is input; NaN beyond -1 and 1."""
    return unary_float(Asin(), input)


def acos(input: Tensor) -> Tensor:
    """The angle in [0, pi] whose cosine is input; NaN beyond -1 and 1."""
    return unary_float(Acos(), input)


def atan(input: Tensor) -> Tensor:
    """The angle in (-pi/2, pi/2) whose tangent is input."""
    return unary_float(Atan(), input)


def atan2(input: Operand, other: Operand) -> Tensor:
    """The angle in (-pi, pi] of the point with the ordinate input and the abscissa other."""
    return binary_float(Atan2(), input, other)


def sinh(input: Tensor) -> Tensor:
    """The hyperbolic sine."""
    return unary_float(Sinh(), input)


def cosh(input: Tensor) -> Tensor:
    """The hyperbolic cosine."""
    return unary_float(Cosh(), input)


def asinh(input: Tensor) -> Tensor:
    """The number whose hyperbolic sine is input."""
    return unary_float(Asinh(), input)


def acosh(input: Tensor) -> Tensor:
    """The number that is not negative whose hyperbolic cosine is input."""
    return unary_float(Acosh(), input)


def atanh(input: Tensor) -> Tensor:
    """The number whose hyperbolic tangent is input."""
    return unary_float(Atanh(), input)


def sigmoid(input: Tensor) -> Tensor:
    """The logistic function 1 / (1 + e^-input)."""
    return unary_float(Sigmoid(), input)


def erf(input: Tensor) -> Tensor:
    """The error function."""
    return unary_float(Erf(), input)
