"""The error function, which NumPy does not have: rational approximations, one chunk after the other in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from .half import _is_half, _narrow, _wide

_CHUNK = 8192


def erf(x: Any, out: Any = None) -> Any:
    """2/sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    if _is_half(x):
        return _narrow(erf(_wide(x)), x.dtype, out)
    if out is None:
        out = np.empty(x.shape, x.dtype)
    function = _erf32 if x.dtype == np.float32 else _erf64
    source, target = np.ascontiguousarray(x).reshape(-1), out.reshape(-1)
    for start in range(0, source.size, _CHUNK):
        target[start : start + _CHUNK] = function(source[start : start + _CHUNK])
    return out


# erf(x) = x P(x^2) / Q(x^2) for |x| <= 3.92, where float32 has 1. P and Q were fitted to erf(x)/x in float64 so that
# the largest relative error is smallest (least squares, reweighted after C. L. Lawson, 1961); it is 2e-8, and with the
# rounding of each operation 4e-7.
_LAST = 3.92
_P = (1.128379146e00, 1.904064485e-01, 5.274871862e-02, 3.765615916e-03, 2.848826789e-04, 2.050086945e-06)
_Q = (1.0, 5.020760623e-01, 1.141091025e-01, 1.496921406e-02, 1.162535240e-03, 3.809170949e-05)


def _erf32(x: Any) -> Any:
    v = np.clip(x, -_LAST, _LAST)
    z = v * v
    y = _polynomial(_P, z)
    y *= v
    y /= _polynomial(_Q, z)
    np.clip(y, -1, 1, out=y)
    far = np.abs(v) >= np.float32(_LAST)
    if far.any():
        y[far] = np.sign(v[far])
    return y


# W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23 (1969), tables
# II and III, from the constant term up: x A(x^2) / B(x^2) for |x| <= 0.5, and 1 - e^(-x^2) C(x) / D(x) above, which
# holds up to 6, where float64 has 1. Their relative errors are below 6e-19.
_A = (
    3.20937758913846947e03,
    3.77485237685302021e02,
    1.13864154151050156e02,
    3.16112374387056560e00,
    1.85777706184603153e-1,
)
_B = (2.84423683343917062e03, 1.28261652607737228e03, 2.44024637934444173e02, 2.36012909523441209e01, 1.0)
_C = (
    1.23033935479799725e03,
    2.05107837782607147e03,
    1.71204761263407058e03,
    8.81952221241769090e02,
    2.98635138197400131e02,
    6.61191906371416295e01,
    8.88314979438837594e00,
    5.64188496988670089e-1,
    2.15311535474403846e-8,
)
_D = (
    1.23033935480374942e03,
    3.43936767414372164e03,
    4.36261909014324716e03,
    3.29079923573345963e03,
    1.62138957456669019e03,
    5.37181101862009858e02,
    1.17693950891312499e02,
    1.57449261107098347e01,
    1.0,
)


def _erf64(x: Any) -> Any:
    a = np.minimum(np.abs(x), 6.0)
    z = np.minimum(a, 0.5) ** 2
    small = x * _polynomial(_A, z) / _polynomial(_B, z)
    large = 1 - np.exp(-a * a) * _polynomial(_C, a) / _polynomial(_D, a)
    return np.where(a <= 0.5, small, np.copysign(large, x))


def _polynomial(coefficients: tuple[float, ...], z: Any) -> Any:
    """c_0 + z (c_1 + z (c_2 + ...)), by Horner's rule."""
    y = z * coefficients[-1]
    for c in coefficients[-2:0:-1]:
        y += c
        y *= z
    y += coefficients[0]
    return y
