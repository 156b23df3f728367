"""The gamma function and its relatives, element by element; A&S is Abramowitz and Stegun (1964)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..arithmetic import abs
from ..comparison import eq, le, logical_and, logical_or, lt, where
from ..creation import arange
from ..math import exp, log, sin, tan
from ..promote import to_float
from ..reduction import sum
from ..rounding import floor, round
from .array_module import of_arrays
from .known import known

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)
"""B_2, B_4, ..., B_20 (A&S 23.2)."""
_SHIFT = 10
"""The asymptotic series are taken where x is at least that; the recurrence leads there."""


def _series(x: Any, coefficients: Any) -> Any:
    """c_0 + c_1 / x^2 + c_2 / x^4 + ..."""
    u = 1 / (x * x)
    result = coefficients[-1]
    for c in coefficients[-2::-1]:
        result = result * u + c
    return result


@known(lambda needs, dy, y, x: (dy * digamma(x),))
def lgamma(input: Tensor) -> Tensor:
    """ln |Gamma(x)|, infinite at 0, -1, -2, ...

    By Stirling's series (A&S 6.1.41) from x = 10 on, by the recurrence before, and by reflection (6.1.17) below 1/2.
    """
    x = where(lt(input, 0.5), 1 - input, input)
    small = lt(x, _SHIFT)
    y = where(small, x + _SHIFT, x)
    product: Any = 1.0
    for k in range(_SHIFT):
        product = product * (x + k)
    terms = [b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI, 1)]
    value = (y - 0.5) * log(y) - y + math.log(2 * math.pi) / 2 + _series(y, terms) / y
    value = value - where(small, log(where(small, product, 1.0)), 0.0)
    value = where(eq(y, math.inf), math.inf, value)
    value = where(logical_or(eq(x, 1), eq(x, 2)), 0.0, value)
    reflected = log(math.pi / abs(_sin_pi(input))) - value
    poles = logical_or(logical_and(le(input, 0), eq(input, floor(input))), eq(abs(input), math.inf))
    return where(poles, math.inf, where(lt(input, 0.5), reflected, value))


@known(lambda needs, dy, y, x: (dy * polygamma(1, x),))
def digamma(input: Tensor) -> Tensor:
    """d ln Gamma(x) / dx; NaN at -1, -2, ..., and infinite at 0.

    By its asymptotic series (A&S 6.3.18), the recurrence (6.3.5) and reflection (6.3.7).
    """
    x = where(lt(input, 0.5), 1 - input, input)
    small = lt(x, _SHIFT)
    y = where(small, x + _SHIFT, x)
    before: Any = 0.0
    for k in range(_SHIFT):
        before = before + 1 / (x + k)
    terms = [b / (2 * k) for k, b in enumerate(_BERNOULLI, 1)]
    value = log(y) - 0.5 / y - _series(y, terms) / (y * y) - where(small, before, 0.0)
    r = input - round(input)
    value = where(lt(input, 0.5), value - math.pi / tan(math.pi * r), value)
    value = where(logical_and(lt(input, 0), eq(r, 0)), math.nan, value)
    return where(eq(input, 0), -1 / input, value)


def polygamma(n: int, input: Tensor) -> Tensor:
    """The derivative of order n of `digamma`: (-1)^(n + 1) n! zeta(n + 1, x) (A&S 6.4.10).

    Raises:
        RuntimeError: n is negative.
    """
    if n < 0:
        raise RuntimeError(f"polygamma(n, x) does not support negative n, got {n}")
    if n == 0:
        return digamma(input)
    return zeta(n + 1.0, to_float(input)) * ((1 if n % 2 else -1) * math.factorial(n))


def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function: p (p - 1) / 4 ln pi + sum_j lgamma(x - j / 2), j = 0 .. p - 1.

    Raises:
        RuntimeError: p is less than 1.
    """
    if p < 1:
        raise RuntimeError(f"mvlgamma: p is at least 1, got {p}")
    x = to_float(input)
    steps = arange(p, dtype=x.dtype, device=x.device) * 0.5
    return sum(lgamma(x.unsqueeze(-1) - steps), -1) + p * (p - 1) / 4 * math.log(math.pi)


def _zeta_gradient(needs: Any, dy: Any, y: Any, s: Any, q: Any) -> tuple[Any, ...]:
    if needs[0]:
        raise NotImplementedError("zeta: there is no gradient of the first argument")
    return None, -dy * s * zeta(s + 1, q)


@known(_zeta_gradient)
def zeta(input: Tensor, other: Tensor) -> Tensor:
    """The Hurwitz zeta function, sum of 1 / (k + q)^s over k = 0, 1, ..., for s > 1; q is `other`.

    The first terms, and the Euler-Maclaurin formula for the others (A&S 23.1.30). At q = 0, -1, ... it is infinite, and
    elsewhere below 0 only for whole s.
    """
    return of_arrays(_zeta, (input, other))


def _zeta(xp: Any, s: Any, q: Any) -> Any:
    s, q = xp.broadcast_arrays(xp.asarray(s, float), xp.asarray(q, float))
    whole = s == xp.floor(s)
    pole, no_value = (q <= 0) & (q == xp.floor(q)), ((q < 0) & ~whole) | (s < 1) | (s != s) | (q != q)
    safe_s, x = xp.where(s > 1, s, 2.0), xp.where(pole | no_value | ~(xp.abs(q) < 1e300), 1.0, q)
    total = xp.zeros_like(x)
    while xp.any(x < _SHIFT):
        early = x < _SHIFT
        total = xp.where(early, total + xp.sign(x) ** safe_s / xp.abs(x) ** safe_s, total)
        x = xp.where(early, x + 1, x)
    total = total + x ** (1 - safe_s) / (safe_s - 1) + 0.5 * x**-safe_s
    factor, factorial = safe_s * x ** (-safe_s - 1), 2.0
    for k, b in enumerate(_BERNOULLI, 1):
        total = total + b / factorial * factor
        factor = factor * (safe_s + 2 * k - 1) * (safe_s + 2 * k) / (x * x)
        factorial *= (2 * k + 1) * (2 * k + 2)
    total = xp.where(q >= 1e300, 0.0, xp.where(pole, xp.inf, total))
    return xp.where((s < 1) | (no_value & ~pole & (s != 1)), xp.nan, xp.where(s == 1, xp.inf, total))


def _density(a: Any, x: Any) -> Any:
    """d igamma(a, x) / dx = x^(a - 1) e^-x / Gamma(a)."""
    return exp((a - 1) * log(x) - x - lgamma(a))


def _igamma_gradient(needs: Any, dy: Any, y: Any, a: Any, x: Any) -> tuple[Any, ...]:
    if needs[0]:
        raise NotImplementedError("igamma: there is no gradient of the first argument")
    return None, dy * _density(a, x)


def _igammac_gradient(needs: Any, dy: Any, y: Any, a: Any, x: Any) -> tuple[Any, ...]:
    if needs[0]:
        raise NotImplementedError("igammac: there is no gradient of the first argument")
    return None, -dy * _density(a, x)


@known(_igamma_gradient)
def igamma(input: Tensor, other: Tensor) -> Tensor:
    """The regularised lower incomplete gamma function P(a, x), for a, x >= 0; a is input, and x is other."""
    return of_arrays(_lower, (input, other, lgamma(input)))


@known(_igammac_gradient)
def igammac(input: Tensor, other: Tensor) -> Tensor:
    """The regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x), for a, x >= 0."""
    return of_arrays(_upper, (input, other, lgamma(input)))


def _lower(xp: Any, a: Any, x: Any, ln_gamma: Any) -> Any:
    below, above, first = _incomplete(xp, a, x, ln_gamma)
    return xp.where(first, below, 1 - above)


def _upper(xp: Any, a: Any, x: Any, ln_gamma: Any) -> Any:
    below, above, first = _incomplete(xp, a, x, ln_gamma)
    return xp.where(first, 1 - below, above)


def _incomplete(xp: Any, a: Any, x: Any, ln_gamma: Any) -> Any:
    """P by its series (A&S 6.5.29), Q by its continued fraction (6.5.31), and where the series is the better one."""
    a, x, ln_gamma = xp.broadcast_arrays(*(xp.asarray(v, float) for v in (a, x, ln_gamma)))
    valid = (a >= 0) & (x >= 0) & ~((a == 0) & (x == 0)) & ~((a == xp.inf) & (x == xp.inf))
    inner = valid & (a > 0) & (x > 0) & (a < xp.inf) & (x < xp.inf)
    b, z, ln_gamma = xp.where(inner, a, 1.0), xp.where(inner, x, 1.0), xp.where(inner, ln_gamma, 0.0)
    first = z < b + 1
    scale = xp.exp(b * xp.log(z) - z - ln_gamma)
    total = term = 1 / b
    n = 0
    while n < 100_000 and xp.any(first & (xp.abs(term) > 1e-17 * xp.abs(total))):
        n += 1
        term = term * z / (b + n)
        total = xp.where(first, total + term, total)
    tiny, y = 1e-300, xp.where(first, b + 2, z)
    c, d = xp.full_like(y, 1 / tiny), 1 / (y + 1 - b)
    fraction, n = d, 0
    going = ~first
    while n < 100_000 and xp.any(going):  # Lentz's method
        n += 1
        p, q = -n * (n - b), y + 2 * n + 1 - b
        d, c = p * d + q, q + p / c
        d, c = 1 / xp.where(xp.abs(d) < tiny, tiny, d), xp.where(xp.abs(c) < tiny, tiny, c)
        fraction = xp.where(going, fraction * d * c, fraction)
        going = going & (xp.abs(d * c - 1) > 1e-16)
    at_end = (a == 0) | (x == xp.inf)  # there P is 1, and where x is 0 or a infinite it is 0
    below = xp.where(inner, scale * total, xp.where(at_end, 1.0, 0.0))
    above = xp.where(inner, scale * fraction, 1 - below)
    return xp.where(valid, below, xp.nan), xp.where(valid, above, xp.nan), first | ~inner


def _sin_pi(x: Any) -> Any:
    return sin(math.pi * (x - round(x)))


__all__ = ["digamma", "igamma", "igammac", "lgamma", "mvlgamma", "polygamma", "zeta"]
