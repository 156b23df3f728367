"""Special functions, element by element; A&S is Abramowitz and Stegun (1964). `gpunn.special` has all of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gpunn.backend.numpy.erf import _A, _B, _C, _D

from ..arithmetic import abs, sign
from ..comparison import clamp, eq, ge, gt, isnan, le, logical_and, logical_or, lt, where
from ..composed.numbers import xlogy
from ..construct import as_tensor
from ..math import erf, exp, log, log1p, sqrt
from ..promote import promote_floats
from .known import known

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
_ROOT_2 = math.sqrt(2)

# W. J. Cody (1969), as in `gpunn.backend.numpy.erf`: e^(x^2) erfc(x) = (1 / sqrt(pi) - P(1/x^2) / Q(1/x^2) / x^2) / x
# for x >= 4, from the constant term up.
_P = (
    6.58749161529837803e-4,
    1.60837851487422766e-2,
    1.25781726111229246e-1,
    3.60344899949804439e-1,
    3.05326634961232344e-1,
    1.63153871373020978e-2,
)
_Q = (
    2.33520497626869185e-3,
    6.05183413124413191e-2,
    5.27905102951428412e-1,
    1.87295284992346725e00,
    2.56852019228982242e00,
    1.0,
)

# M. Giles, "Approximating the erfinv function", GPU Computing Gems 2 (2011): of w = -ln(1 - x^2), from the highest
# power down. Newton's method makes the six digits sixteen.
_NEAR: tuple[float, ...] = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    2.1858087e-04,
    -1.25372503e-03,
)
_NEAR += (-4.17768164e-03, 2.46640727e-01, 1.50140941)
_FAR: tuple[float, ...] = (
    -2.00214257e-04,
    1.00950558e-04,
    1.34934322e-03,
    -3.67342844e-03,
    5.73950773e-03,
    -7.6224613e-03,
)
_FAR += (9.43887047e-03, 1.00167406, 2.83297682)


def _polynomial(coefficients: Any, x: Any) -> Any:
    """Horner's rule, from the highest power down."""
    y = coefficients[0]
    for c in coefficients[1:]:
        y = y * x + c
    return y


def _erfcx(x: Tensor) -> Tensor:
    """e^(x^2) erfc(x) for x >= 0, in float64."""
    small, far = le(x, 0.5), gt(x, 4)
    a = where(small, x, 0.0)
    near = exp(a * a) * (1 - a * _polynomial(_A[::-1], a * a) / _polynomial(_B[::-1], a * a))
    b = clamp(x, 0.5, 4.0)
    middle = _polynomial(_C[::-1], b) / _polynomial(_D[::-1], b)
    c = where(far, x, 4.0)
    u = 1 / (c * c)
    last = (1 / math.sqrt(math.pi) - u * _polynomial(_P[::-1], u) / _polynomial(_Q[::-1], u)) / c
    return where(isnan(x), x, where(small, near, where(far, last, middle)))


@known(lambda needs, dy, y, x: (dy * (-_TWO_OVER_ROOT_PI * exp(-x * x)),))
def erfc(input: Tensor) -> Tensor:
    """1 - erf(x), exact also where it is small (Cody 1969)."""
    a = abs(input)
    value = exp(-a * a) * _erfcx(a)
    value = where(eq(a, math.inf), 0.0, value)
    return where(le(a, 0.5), 1 - erf(input), where(lt(input, 0), 2 - value, value))


@known(lambda needs, dy, y, x: (dy * (2 * x * y - _TWO_OVER_ROOT_PI),))
def erfcx(input: Tensor) -> Tensor:
    """e^(x^2) erfc(x)."""
    value = _erfcx(abs(input))
    return where(lt(input, 0), 2 * exp(input * input) - value, value)


@known(lambda needs, dy, y, x: (dy * (exp(y * y) / _TWO_OVER_ROOT_PI),))
def erfinv(input: Tensor) -> Tensor:
    """The x whose erf is input; infinite at -1 and 1, and NaN beyond."""
    q = 1 - abs(input)
    inside = where(lt(abs(input), 0.5), input, 0.0)
    near = _first_guess(-log1p(-inside * inside)) * inside
    for _ in range(2):
        near = near - (erf(near) - inside) * exp(near * near) / _TWO_OVER_ROOT_PI
    value = where(lt(abs(input), 0.5), near, sign(input) * _erfcinv(q))
    value = where(eq(q, 0), sign(input) * math.inf, value)
    return where(logical_or(lt(q, 0), isnan(q)), math.nan, value)


def _first_guess(w: Any) -> Any:
    return where(lt(w, 5), _polynomial(_NEAR, w - 2.5), _polynomial(_FAR, sqrt(clamp(w, 5.0, None)) - 3))


def _erfcinv(q: Tensor) -> Tensor:
    """The x >= 0 with erfc(x) = q for 0 < q <= 1, by Newton's method on ln erfc."""
    q = where(logical_and(gt(q, 0), le(q, 1)), q, 0.5)
    w = -log(q) - log1p(1 - q)
    x = where(
        lt(w, 20),
        _first_guess(clamp(w, None, 20.0)) * (1 - q),
        sqrt(clamp(w - log(math.pi * clamp(w, 1.0, None)) / 2, 1.0, None)),
    )
    for _ in range(4):
        scaled = _erfcx(x)
        x = clamp(x + (log(scaled) - x * x - log(q)) * scaled / _TWO_OVER_ROOT_PI, 0.0, None)
    return x


@known(lambda needs, dy, y, x: (dy * exp(-x * x / 2) / math.sqrt(2 * math.pi),))
def ndtr(input: Tensor) -> Tensor:
    """The distribution function of the standard normal distribution, erfc(-x / sqrt 2) / 2."""
    return erfc(input * (-1 / _ROOT_2)) / 2


@known(lambda needs, dy, y, x: (dy * exp(-x * x / 2 - y) / math.sqrt(2 * math.pi),))
def log_ndtr(input: Tensor) -> Tensor:
    """ln `ndtr`, also where that is too small for a number."""
    a = abs(input) / _ROOT_2
    below = log(_erfcx(a) / 2) - a * a
    return where(lt(input, -1), below, log1p(-erfc(input / _ROOT_2) / 2))


@known(lambda needs, dy, y, x: (dy * (exp(y * y / 2) * math.sqrt(2 * math.pi)),))
def ndtri(input: Tensor) -> Tensor:
    """The x whose `ndtr` is input; infinite at 0 and 1, and NaN beyond."""
    middle = erfinv(2 * input - 1) * _ROOT_2
    low = le(input, 0.25)
    tail = where(low, input, 1 - input)
    value = _erfcinv(2 * tail) * _ROOT_2
    value = where(low, -value, value)
    value = where(eq(tail, 0), sign(input - 0.5) * math.inf, value)
    return where(lt(abs(input - 0.5), 0.25), middle, where(ge(tail, 0), value, math.nan))


@known(lambda needs, dy, y, x: (dy * (-log(x) - 1),))
def entr(input: Tensor) -> Tensor:
    """-x ln x, 0 at 0, and -infinity below."""
    return where(lt(input, 0), -math.inf, -xlogy(input, where(lt(input, 0), 1.0, input)))


def xlog1py(input: Any, other: Any) -> Tensor:
    """x ln(1 + y), 0 where x is 0, and not a number where y is none."""
    x, y = promote_floats("xlog1py", input, other)
    if not hasattr(x, "dtype"):
        return log1p(y) * x if x else where(isnan(y), y, 0.0)
    y = y if hasattr(y, "dtype") else as_tensor(y, dtype=x.dtype, device=x.device)
    nothing = logical_and(eq(x, 0), logical_or(le(y, -1), eq(y, math.inf)))
    return where(nothing, 0.0, x * log1p(where(nothing, 0.0, y)))


# Modified Bessel functions -------------------------------------------------------------------------------------------

_NEAR_0, _TERMS, _TERMS_FAR = 20.0, 42, 24


def _bessel_scaled(x: Tensor, order: int) -> Tensor:
    """e^-|x| I_n(|x|) for n = 0 or 1: the power series (A&S 9.6.10) up to 20, the asymptotic one (9.7.1) above."""
    a = abs(x)
    near = clamp(a, None, _NEAR_0)
    u = near * near / 4
    series: Any = 1.0
    for k in range(_TERMS, 0, -1):
        series = series * u / (k * (k + order)) + 1
    series = series * exp(-near) * (near / 2 if order else 1)
    far = clamp(a, _NEAR_0, None)
    tail: Any = 1.0
    for k in range(_TERMS_FAR, 0, -1):
        tail = 1 - tail * (4 * order - (2 * k - 1) ** 2) / (8 * k) / far
    return where(le(a, _NEAR_0), series, tail / sqrt(far * (2 * math.pi)))


@known(lambda needs, dy, y, x: (dy * i1(x),))
def i0(input: Tensor) -> Tensor:
    """The modified Bessel function of the first kind of order 0 (A&S 9.6)."""
    return _bessel_scaled(input, 0) * exp(abs(input))


@known(lambda needs, dy, y, x: (dy * (i1e(x) - sign(x) * y),))
def i0e(input: Tensor) -> Tensor:
    """exp(-|x|) times `i0` of x."""
    return _bessel_scaled(input, 0)


def _over_x(y: Tensor, x: Tensor) -> Tensor:
    """y / x, 1/2 at 0: what I_1(x) / x is there."""
    at_0 = eq(x, 0)
    return where(at_0, 0.5, y / where(at_0, 1.0, x))


@known(lambda needs, dy, y, x: (dy * (i0(x) - _over_x(y, x)),))
def i1(input: Tensor) -> Tensor:
    """The modified Bessel function of the first kind of order 1 (A&S 9.6)."""
    return sign(input) * _bessel_scaled(input, 1) * exp(abs(input))


@known(lambda needs, dy, y, x: (dy * (i0e(x) - sign(x) * y - _over_x(y, x)),))
def i1e(input: Tensor) -> Tensor:
    """exp(-|x|) times `i1` of x."""
    return sign(input) * _bessel_scaled(input, 1)
