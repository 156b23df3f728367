"""Elementwise primitives. Most are NumPy's own ufuncs, which take ``out=`` as they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

add, subtract, multiply, divide = np.add, np.subtract, np.multiply, np.divide
floor_divide, remainder, power, square = np.floor_divide, np.remainder, np.power, np.square
negative, absolute, sign, reciprocal = np.negative, np.absolute, np.sign, np.reciprocal
maximum, minimum = np.maximum, np.minimum
floor, ceil, trunc, rint = np.floor, np.ceil, np.trunc, np.rint
exp, expm1, log, log2, log10, log1p, sqrt = np.exp, np.expm1, np.log, np.log2, np.log10, np.log1p, np.sqrt
sin, cos, tan, tanh = np.sin, np.cos, np.tan, np.tanh
equal, not_equal, less, less_equal = np.equal, np.not_equal, np.less, np.less_equal
greater, greater_equal = np.greater, np.greater_equal
logical_and, logical_or, logical_xor, logical_not = np.logical_and, np.logical_or, np.logical_xor, np.logical_not
bitwise_and, bitwise_or, bitwise_xor, invert = np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert
isnan, isinf, isfinite = np.isnan, np.isinf, np.isfinite


def clip(x: Any, low: float | None, high: float | None, out: Any = None) -> Any:
    """min(max(x, low), high)."""
    if low is not None:
        x = out = np.maximum(x, low, out=out)
    return x if high is None else np.minimum(x, high, out=out)


def where(condition: Any, x: Any, y: Any, out: Any = None) -> Any:
    """x where the condition holds, else y. NumPy's own has no ``out=``."""
    if out is None:
        return np.where(condition, x, y)
    np.copyto(out, y)
    np.copyto(out, x, where=condition)
    return out


def rsqrt(x: Any, out: Any = None) -> Any:
    """1 / sqrt(x)."""
    y = np.sqrt(x, out=out)
    return np.divide(1, y, out=out if out is not None else _own(y))


def sigmoid(x: Any, out: Any = None) -> Any:
    """(1 + tanh(x / 2)) / 2, which equals 1 / (1 + e^-x), and never overflows."""
    y = _own(np.multiply(x, 0.5, out=out))
    np.tanh(y, out=y)
    y += 1
    y *= 0.5
    return y


def erf(x: Any, out: Any = None) -> Any:
    """The error function; see `_erf64`."""
    y = _erf64(np.asarray(x, dtype=np.float64)).astype(x.dtype, copy=False)
    return y if out is None else copy(y, out=out)


def copy(x: Any, out: Any = None) -> Any:
    """The elements in new row-major memory, or in `out`."""
    if out is None:
        return np.array(x, order="C", copy=True)
    np.copyto(out, x)
    return out


def cast(x: Any, dtype: Any, out: Any = None) -> Any:
    """The elements in another type; floats become integers towards 0."""
    if out is None:
        return x.astype(dtype)
    np.copyto(out, x, casting="unsafe")
    return out


def activation(x: Any, kind: str, parameter: float, out: Any = None) -> Any:
    """f(x); the formulas stand at `gpunn.ops.activation.Activation`. `out` may be `x`."""
    if kind == "none":
        return copy(x, out=out)
    if kind == "relu":
        return np.maximum(x, 0, out=out)
    if kind == "tanh":
        return np.tanh(x, out=out)
    if kind == "sigmoid":
        return sigmoid(x, out=out)
    if kind == "leaky_relu":
        if 0 <= parameter <= 1:
            return np.maximum(x, x * parameter, out=out)
        return where(x > 0, x, x * parameter, out=out)
    if kind == "elu":
        return where(x > 0, x, parameter * np.expm1(np.minimum(x, 0)), out=out)
    if kind == "softplus":
        tail = np.log1p(np.exp(-np.abs(x * parameter))) / parameter
        return np.add(np.maximum(x, 0) if parameter > 0 else np.minimum(x, 0), tail, out=out)
    if kind == "silu":
        return np.multiply(x, sigmoid(x), out=out)
    if kind == "gelu":
        return np.multiply(x, (erf(x * math.sqrt(0.5)) + 1) * 0.5, out=out)
    assert kind == "gelu_tanh", kind
    inner = x * x
    inner *= 0.044715 * math.sqrt(2 / math.pi)
    inner += math.sqrt(2 / math.pi)
    inner *= x
    np.tanh(inner, out=inner)
    inner += 1
    inner *= 0.5
    return np.multiply(x, inner, out=out)


def activation_backward(dy: Any, s: Any, kind: str, parameter: float, from_output: bool, out: Any = None) -> Any:
    """dy f'(s), where s is f's result if `from_output`, else its argument. `out` may be `dy`."""
    if kind == "relu":
        return np.multiply(dy, s > 0, out=out)
    if kind == "leaky_relu":
        return where(s > 0, dy, dy * parameter, out=out)
    if kind == "elu":
        slope = s + parameter if from_output else parameter * np.exp(np.minimum(s, 0))
        return np.multiply(dy, where(s > 0, s.dtype.type(1), slope), out=out)
    if kind == "sigmoid":
        return np.multiply(dy, s * (1 - s), out=out)
    if kind == "tanh":
        slope = s * s
        np.subtract(1, slope, out=slope)
        return np.multiply(dy, slope, out=out)
    if kind == "softplus":
        return np.multiply(dy, sigmoid(s * parameter), out=out)
    if kind == "silu":
        p = sigmoid(s)
        return np.multiply(dy, p * (1 + s * (1 - p)), out=out)
    if kind == "gelu":
        p = (erf(s * math.sqrt(0.5)) + 1) * 0.5
        return np.multiply(dy, p + s * np.exp(s * s * -0.5) * (1 / math.sqrt(2 * math.pi)), out=out)
    assert kind == "gelu_tanh", kind
    c = math.sqrt(2 / math.pi)
    th = np.tanh((s + s * s * s * 0.044715) * c)
    return np.multiply(dy, (th + 1) * 0.5 + s * (1 - th * th) * (1 + s * s * (3 * 0.044715)) * (0.5 * c), out=out)


def _own(y: Any) -> Any:
    """An array to go on in place with: ufuncs give scalars for 0-d arrays."""
    return y if isinstance(y, np.ndarray) else np.array(y)


# Chebyshev-like rational approximations of W. J. Cody, "Rational Chebyshev approximations for the error function",
# Mathematics of Computation 23 (1969), tables II and III; relative error below 6e-19 in exact arithmetic.
_A = (3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03)
_A4 = 1.85777706184603153e-1
_B = (2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03)
_C = (
    5.64188496988670089e-1,
    8.88314979438837594e00,
    6.61191906371416295e01,
    2.98635138197400131e02,
    8.81952221241769090e02,
    1.71204761263407058e03,
    2.05107837782607147e03,
    1.23033935479799725e03,
)
_C8 = 2.15311535474403846e-8
_D = (
    1.57449261107098347e01,
    1.17693950891312499e02,
    5.37181101862009858e02,
    1.62138957456669019e03,
    3.29079923573345963e03,
    4.36261909014324716e03,
    3.43936767414372164e03,
    1.23033935480374942e03,
)


def _erf64(x: Any) -> Any:
    """Cody's erf in float64: x R(x^2) for |x| <= 0.5, else sign(x) (1 - e^(-x^2) S(|x|)), and 1 beyond 6."""
    a = np.minimum(np.abs(x), 6.0)
    z = np.minimum(a, 0.5) ** 2
    num, den = _A4 * z, z
    for p, q in zip(_A[:3], _B[:3]):
        num, den = (num + p) * z, (den + q) * z
    small = x * (num + _A[3]) / (den + _B[3])
    num, den = _C8 * a, a
    for p, q in zip(_C[:7], _D[:7]):
        num, den = (num + p) * a, (den + q) * a
    large = np.copysign(1 - np.exp(-a * a) * (num + _C[7]) / (den + _D[7]), x)
    return np.where(np.abs(x) <= 0.5, small, large)
