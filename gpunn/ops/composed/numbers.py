"""Functions of numbers, element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase

from ..activation import activate
from ..arithmetic import abs, maximum, mul, neg
from ..arithmetic import pow as _pow
from ..cast import cast
from ..comparison import clamp, eq, ge, gt, isnan, le, logical_and, logical_or, lt, ne, where
from ..construct import as_tensor
from ..math import exp2, log, log1p, sin, sqrt
from ..promote import as_number, promote_floats, to_float
from ..reduction import normalise_dim
from ..rounding import trunc

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = [
    "copysign",
    "deg2rad",
    "float_power",
    "fmax",
    "fmin",
    "frac",
    "heaviside",
    "hypot",
    "isneginf",
    "isposinf",
    "isreal",
    "ldexp",
    "logaddexp",
    "logaddexp2",
    "logit",
    "positive",
    "rad2deg",
    "renorm",
    "sgn",
    "signbit",
    "sinc",
    "xlogy",
]


def positive(input: Tensor) -> Tensor:
    """The tensor itself."""
    return input


def sgn(input: Tensor) -> Tensor:
    """`sign`."""
    from ..arithmetic import sign

    return sign(input)


def frac(input: Tensor) -> Tensor:
    """x without its whole part, with the sign of x."""
    return input - trunc(input)


def deg2rad(input: Tensor) -> Tensor:
    """Degrees in radians, pi / 180 x."""
    return mul(to_float(input), math.pi / 180)


def rad2deg(input: Tensor) -> Tensor:
    """Radians in degrees, 180 / pi x."""
    return mul(to_float(input), 180 / math.pi)


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """sqrt(x^2 + y^2), scaled by the larger one, so that no square overflows or vanishes."""
    largest = maximum(abs(input), abs(other)).detach()
    scale = where(logical_and(gt(largest, 0), lt(largest, math.inf)), largest, 1)
    return scale * sqrt((input / scale) ** 2 + (other / scale) ** 2)


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """ln(e^x + e^y), as max + ln(1 + e^(min - max)), so that nothing overflows."""
    return _add_exponents(input, other, 1.0)


def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log2(2^x + 2^y)."""
    return _add_exponents(input, other, math.log(2))


def _add_exponents(x: Tensor, y: Tensor, base: float) -> Tensor:
    # One of two smooth branches, which agree where x = y: all derivatives are right there too, as with |x - y| none is.
    x, y = promote_floats("logaddexp", x, y)
    first = logical_or(ge(x, y), isnan(x))  # NaN is the higher one, and so the sum
    high, low = where(first, x, y), where(first, y, x)
    infinite = eq(abs(high), math.inf)  # then also the difference of equals is no number
    return high + activate(where(infinite, -math.inf, (low - high) * base), "softplus") / base


def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """ln(x / (1 - x)), with x not below eps or above 1 - eps."""
    x = to_float(input)
    x = x if eps is None else clamp(x, eps, 1 - eps)
    return log(x) - log1p(-x)


def xlogy(input: Any, other: Any) -> Tensor:
    """x ln y, 0 where x is 0, and not a number where y is none."""
    x, y = promote_floats("xlogy", input, other)
    y = y if hasattr(y, "dtype") else as_tensor(y, dtype=x.dtype, device=x.device)
    if not hasattr(x, "dtype"):
        return x * log(y) if x else where(isnan(y), y, 0.0)
    no_logarithm = logical_or(le(y, 0), eq(y, math.inf))
    nothing = logical_and(eq(x, 0), no_logarithm)
    return where(nothing, 0.0, x * log(where(nothing, 1.0, y)))


def sinc(input: Tensor) -> Tensor:
    """sin(pi x) / (pi x), 1 at 0."""
    x = to_float(input) * math.pi
    at_0 = eq(x, 0)
    safe = where(at_0, 1.0, x)
    return where(at_0, 1.0 - x * x / 6, sin(safe) / safe)  # two terms of the series, for its derivatives at 0


def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 for x < 0, `values` for x = 0, 1 for x > 0."""
    return where(eq(input, 0), values, cast(gt(input, 0), input.dtype))


def signbit(input: Tensor) -> Tensor:
    """Whether the sign is negative: for floats also that of -0."""
    if not input.is_floating_point():
        return lt(input, 0)
    return where(eq(input, 0), lt(1 / input, 0), lt(input, 0))


def copysign(input: Tensor, other: Any) -> Tensor:
    """The size of x with the sign of y, also that of -0."""
    x, y = promote_floats("copysign", input, other)
    size = abs(x)
    if not isinstance(y, TensorBase):
        return neg(size) if math.copysign(1, y) < 0 else size
    return where(signbit(other), neg(size), size)


def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger one, and the other one where one is not a number."""
    return where(logical_or(ge(input, other), isnan(other)), input, other)


def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller one, and the other one where one is not a number."""
    return where(logical_or(le(input, other), isnan(other)), input, other)


def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """x 2^y."""
    return input * exp2(other)


def float_power(input: Any, exponent: Any) -> Tensor:
    """x^y in float64; one of them may be a number."""
    from gpunn.backend.dtypes import float64

    if not any(isinstance(v, TensorBase) for v in (input, exponent)):
        raise TypeError(f"float_power: a tensor to the power of a tensor or a number, got {input!r} and {exponent!r}")

    x, y = (cast(v, float64) if hasattr(v, "_spec") else as_number(v) for v in (input, exponent))
    return _pow(x, y)


def isposinf(input: Tensor) -> Tensor:
    """Whether it is positive infinity."""
    return eq(input, math.inf)


def isneginf(input: Tensor) -> Tensor:
    """Whether it is negative infinity."""
    return eq(input, -math.inf)


def isreal(input: Tensor) -> Tensor:
    """Whether it is a real number: all are."""
    return ne(input, input).logical_or(eq(input, input))


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Each part along a dimension with a p-norm of at most `maxnorm`; larger ones shrink to it."""
    from ..vector_norm import vector_norm

    d = normalise_dim("renorm", dim, input.ndim)
    norms = vector_norm(input, p, tuple(i for i in range(input.ndim) if i != d), True)
    return where(gt(norms, maxnorm), maxnorm / (norms + 1e-7), 1.0) * input
