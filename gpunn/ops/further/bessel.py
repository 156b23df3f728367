"""Bessel functions of order 0 and 1, element by element; A&S is Abramowitz and Stegun (1964).

Up to 25 the integrals of Bessel and of Poisson are sums over the midpoints of a quarter of a circle, which converge
faster than any power of their number (Trefethen and Weideman 2014, "The exponentially convergent trapezoidal rule");
above, Hankel's series. J_n and Y_n are exact to the rounding of the largest |J_n|, not of what they are near zeros.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gpunn.backend.type_info import finfo

from ..arithmetic import abs, sign
from ..comparison import clamp, eq, ge, le, lt, where
from ..math import cos, exp, log, sin, sqrt
from .known import known
from .special import _over_x, i0, i1

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

_EULER = 0.5772156649015329
"""Euler's constant (A&S 6.1.3)."""
_FAR = 25.0
_POINTS = 32
"""With so many midpoints what is left out begins with J_68(25) < 1e-20."""
_ANGLES = [(j + 0.5) * math.pi / 2 / _POINTS for j in range(_POINTS)]
_ORDERS = 30
_OF_Y0 = [sum((-1) ** k * math.cos(2 * k * t) / k for k in range(1, _ORDERS)) for t in _ANGLES]
_OF_Y1 = [
    sum((-1) ** k * (2 * k + 1) / (k * (k + 1)) * math.sin((2 * k + 1) * t) for k in range(1, _ORDERS)) for t in _ANGLES
]


def _near(x: Tensor, order: int) -> Tensor:
    """J_n: (1 / pi) times the integral of cos(x sin t), or of x cos(x cos t) sin^2 t, from 0 to pi (A&S 9.1.18, 20)."""
    if not order:
        return sum((cos(x * math.sin(t)) for t in _ANGLES[1:]), cos(x * math.sin(_ANGLES[0]))) / _POINTS
    terms = [cos(x * math.cos(t)) * math.sin(t) ** 2 for t in _ANGLES]
    return x * (sum(terms[1:], terms[0]) / _POINTS)


def _near_y(x: Tensor, order: int) -> Tensor:
    """Y_n by all J_2k, or J_2k+1, each an integral over the same points (A&S 9.1.89, 9.1.88)."""
    scale = log(x) + (_EULER - math.log(2) - order)
    if not order:
        terms = [cos(x * math.sin(t)) * w for t, w in zip(_ANGLES, _OF_Y0)]
        return (2 / math.pi) * (scale * _near(x, 0) - 2 * sum(terms[1:], terms[0]) / _POINTS)
    terms = [sin(x * math.sin(t)) * w for t, w in zip(_ANGLES, _OF_Y1)]
    return (2 / math.pi) * (scale * _near(x, 1) - _near(x, 0) / x - sum(terms[1:], terms[0]) / _POINTS)


def _far(x: Tensor, order: int, second: bool) -> Tensor:
    """Hankel's series (A&S 9.2.5 to 9.2.10): of J_n, or if `second` of Y_n."""
    p, q, a = 0.0, 0.0, 1.0
    coefficients = [1.0]
    for k in range(1, 24):
        a *= (4 * order**2 - (2 * k - 1) ** 2) / (8 * k)
        coefficients.append(a)
    inverse: Any = 1 / x
    square: Any = inverse * inverse
    for k in range(11, -1, -1):
        p = p * square + (-1) ** k * coefficients[2 * k]
        q = q * square + (-1) ** k * coefficients[2 * k + 1]
    q = q * inverse
    c, s = cos(x), sin(x)
    c, s = (c + s, s - c) if not order else (s - c, -(s + c))  # root 2 times cosine and sine of x - (2 n + 1) pi / 4
    return ((p * s + q * c) if second else (p * c - q * s)) / sqrt(math.pi * x)


def _first(x: Tensor, order: int) -> Tensor:
    a = abs(x)
    found = where(le(a, _FAR), _near(clamp(a, None, _FAR), order), _far(clamp(a, _FAR, None), order, False))
    return found * sign(x) if order else found


def _least(x: Tensor) -> float:
    """The least positive number of its type, so that a logarithm is finite."""
    return finfo(x.dtype).smallest_normal * finfo(x.dtype).eps


def _second(x: Tensor, order: int) -> Tensor:
    inside = clamp(x, _least(x), _FAR)
    found = where(le(x, _FAR), _near_y(inside, order), _far(clamp(x, _FAR, None), order, True))
    return where(lt(x, 0), math.nan, where(eq(x, 0), -math.inf, found))


@known(lambda needs, dy, y, x: (-dy * bessel_j1(x),))
def bessel_j0(input: Tensor) -> Tensor:
    """The Bessel function of the first kind of order 0."""
    return _first(input, 0)


@known(lambda needs, dy, y, x: (dy * (bessel_j0(x) - _over_x(y, x)),))
def bessel_j1(input: Tensor) -> Tensor:
    """The Bessel function of the first kind of order 1."""
    return _first(input, 1)


@known(lambda needs, dy, y, x: (-dy * bessel_y1(x),))
def bessel_y0(input: Tensor) -> Tensor:
    """The Bessel function of the second kind of order 0: -inf at 0, NaN below."""
    return _second(input, 0)


@known(lambda needs, dy, y, x: (dy * (bessel_y0(x) - y / x),))
def bessel_y1(input: Tensor) -> Tensor:
    """The Bessel function of the second kind of order 1: -inf at 0, NaN below."""
    return _second(input, 1)


_STEPS, _TERMS = 32, 12


def _near_k(x: Tensor, order: int) -> Tensor:
    """K_0 and K_1 up to 1 by their series (A&S 9.6.13, 9.6.11)."""
    u, h = x * x / 4, log(x) + (_EULER - math.log(2))
    series: Any = 0.0
    for k in range(_TERMS, -1, -1):
        harmonic = sum(1 / j for j in range(1, k + 1))
        weight = harmonic if not order else 2 * harmonic + 1 / (k + 1)
        series = (series * u + weight) if k == _TERMS else series * u / ((k + 1) * (k + 1 + order)) + weight
    if not order:
        return series - h * i0(x)
    return 1 / x + h * i1(x) - x / 4 * series


def _far_k(x: Tensor, order: int) -> Tensor:
    """e^x K_n(x) from 1 on: the integral of e^(-x (cosh t - 1)) cosh n t (A&S 9.6.24), to where the power is e^-45."""
    top = 45 / x
    step = log(1 + top + sqrt(top * (top + 2))) / _STEPS
    found: Any = 0.5
    for j in range(1, _STEPS + 1):
        e = exp(step * j)
        half = (e + 1 / e) / 2
        value = exp(-x * (e - 1) * (e - 1) / (2 * e))
        found = found + (value * half if order else value)
    return found * step


def _scaled(x: Tensor, order: int) -> Tensor:
    inside = clamp(x, _least(x), 1.0)
    found = where(ge(x, 1.0), _far_k(clamp(x, 1.0, None), order), _near_k(inside, order) * exp(inside))
    found = where(eq(x, math.inf), 0.0, found)
    return where(lt(x, 0), math.nan, where(eq(x, 0), math.inf, found))


@known(lambda needs, dy, y, x: (dy * (y - scaled_modified_bessel_k1(x)),))
def scaled_modified_bessel_k0(input: Tensor) -> Tensor:
    """e^x times `modified_bessel_k0` of x."""
    return _scaled(input, 0)


@known(lambda needs, dy, y, x: (dy * (y - y / x - scaled_modified_bessel_k0(x)),))
def scaled_modified_bessel_k1(input: Tensor) -> Tensor:
    """e^x times `modified_bessel_k1` of x."""
    return _scaled(input, 1)


@known(lambda needs, dy, y, x: (-dy * modified_bessel_k1(x),))
def modified_bessel_k0(input: Tensor) -> Tensor:
    """The modified Bessel function of the second kind of order 0: inf at 0, NaN below."""
    return _scaled(input, 0) * exp(-input)


@known(lambda needs, dy, y, x: (-dy * (modified_bessel_k0(x) + y / x),))
def modified_bessel_k1(input: Tensor) -> Tensor:
    """The modified Bessel function of the second kind of order 1: inf at 0, NaN below."""
    return _scaled(input, 1) * exp(-input)
