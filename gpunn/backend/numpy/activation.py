"""Activations and their derivatives; the formulas stand at `gpunn.ops.activation.Activation`.

Most are several passes over memory, so large arrays go through in blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from .blocks import _BLOCK, _blocks
from .elementwise import copy, sigmoid, where
from .erf import erf
from .half import _is_half, _narrow, _wide
from .workspace import scratch

_BOOL = np.dtype(np.bool_)


def activation(x: Any, kind: str, parameter: float, out: Any = None) -> Any:
    """f(x). `out` may be `x`."""
    if kind == "none":
        return copy(x, out=out)
    if kind == "relu":
        return np.maximum(x, _zeros_beside(x), out=out)
    function = _FORWARD[kind]
    return _in_blocks(lambda x, out: function(x, parameter, out), (x,), out)


def activation_backward(dy: Any, s: Any, kind: str, parameter: float, from_output: bool, out: Any = None) -> Any:
    """dy f'(s), where s is f's result if `from_output`, else its argument. `out` may be `dy`."""
    function = _BACKWARD[kind]
    return _in_blocks(lambda dy, s, out: function(dy, s, parameter, out), (dy, s), out)


def _in_blocks(function: Callable[..., Any], arrays: tuple[Any, ...], out: Any) -> Any:
    """``function(*arrays, out)``, in blocks where that pays; half precision in float32."""
    first = arrays[0]
    half = _is_half(first)
    if first.size <= _BLOCK or not all(a.flags.c_contiguous for a in arrays):
        return _narrow(function(*map(_wide, arrays), None), first.dtype, out) if half else function(*arrays, out)
    if out is None:
        out = np.empty(first.shape, first.dtype)
    flat, flat_out = [a.reshape(-1) for a in arrays], out.reshape(-1)
    for block in _blocks(first.size, 1):
        if half:
            flat_out[block] = function(*(_wide(a[block]) for a in flat), None)
        else:
            function(*(a[block] for a in flat), flat_out[block])
    return out


def _zeros_beside(x: Any) -> Any:
    """0 to compare `x` with: an array of zeros for its last dimensions.

    NumPy's maximum and minimum are vectorised for two arrays, but not for an array and a number, which takes 2 to 5
    times as long.
    """
    if x.size <= 1024 or not x.ndim or x.shape[-1] > 65536:
        return 0
    first = x.ndim - 1
    while first and math.prod(x.shape[first - 1 :]) <= 16384:
        first -= 1
    return _zeros(x.shape[first:], x.dtype)


@lru_cache(maxsize=64)
def _zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    zeros = np.zeros(shape, dtype)
    zeros.flags.writeable = False
    return zeros


# Forward: function(x, parameter, out) --------------------------------------------------------------------------------


def _leaky_relu(x: Any, a: float, out: Any) -> Any:
    with scratch() as take:
        if 0 < a <= 1:
            return np.maximum(x, np.multiply(x, a, out=take(x.shape, x.dtype)), out=out)
        return where(x > 0, x, np.asarray(x * a), out=out)


def _elu(x: Any, a: float, out: Any) -> Any:
    with scratch() as take:
        tail = np.minimum(x, 0, out=take(x.shape, x.dtype))
        np.expm1(tail, out=tail)
        tail *= a
        return np.add(np.maximum(x, 0, out=take(x.shape, x.dtype)), tail, out=out)


def _softplus(x: Any, b: float, out: Any) -> Any:
    with scratch() as take:
        tail = np.abs(x, out=take(x.shape, x.dtype))  # ln(1 + e^-|bx|) / b, to which max(x, 0) is added: no overflow
        tail *= -abs(b)
        np.exp(tail, out=tail)
        np.log1p(tail, out=tail)
        tail /= b
        line = (np.maximum if b > 0 else np.minimum)(x, 0, out=take(x.shape, x.dtype))
        return np.add(line, tail, out=out)


def _normal_distribution(x: Any, out: Any) -> Any:
    p = erf(np.multiply(x, math.sqrt(0.5), out=out), out=out)
    p += 1
    p *= 0.5
    return p


def _gelu(x: Any, _: float, out: Any) -> Any:
    with scratch() as take:
        return np.multiply(x, _normal_distribution(x, take(x.shape, x.dtype)), out=out)


def _gelu_tanh(x: Any, _: float, out: Any) -> Any:
    with scratch() as take:
        y = np.multiply(x, x, out=take(x.shape, x.dtype))
        y *= 0.044715 * _ROOT
        y += _ROOT
        y *= x
        np.tanh(y, out=y)
        y += 1
        y *= 0.5
        return np.multiply(x, y, out=out)


def _silu(x: Any, _: float, out: Any) -> Any:
    with scratch() as take:
        return np.multiply(x, sigmoid(x, out=take(x.shape, x.dtype)), out=out)


_ROOT = math.sqrt(2 / math.pi)
_FORWARD: dict[str, Callable[..., Any]] = {
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "sigmoid": lambda x, _, out: sigmoid(x, out=out),
    "tanh": lambda x, _, out: np.tanh(x, out=out),
    "softplus": _softplus,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
}


# Backward: function(dy, s, parameter, out), with s the result where the derivative can be had from it -----------------


def _relu_slope(dy: Any, s: Any, _: float, out: Any) -> Any:
    """0 where s <= 0, else dy, for NaN too: by its bits, as 0 times infinity is no 0."""
    with scratch() as take:
        closed = np.less_equal(s, 0, out=take(s.shape, _BOOL)).view(np.int8)
        mask = np.subtract(closed, 1, out=closed)  # all bits, or none
        dx = np.empty(dy.shape, dy.dtype) if out is None else out
        bits = np.dtype(f"i{dy.dtype.itemsize}")
        np.bitwise_and(dy.view(bits), mask, out=dx.view(bits))
        return dx


def _leaky_relu_slope(dy: Any, s: Any, a: float, out: Any) -> Any:
    with scratch() as take:
        slope, positive = take(dy.shape, dy.dtype), np.greater(s, 0, out=take(s.shape, _BOOL))
        if 0 <= a <= 1:
            np.copyto(slope, positive)
            np.maximum(slope, a, out=slope)
        else:
            slope = np.array([a, 1], dy.dtype).take(positive.view(np.uint8))
        return np.multiply(dy, slope, out=out)


def _elu_slope(dy: Any, x: Any, a: float, out: Any) -> Any:
    return np.multiply(dy, where(x > 0, 1, np.asarray(np.exp(np.minimum(x, 0)) * a)), out=out)


def _sigmoid_slope(dy: Any, y: Any, _: float, out: Any) -> Any:
    with scratch() as take:
        slope = np.subtract(1, y, out=take(y.shape, y.dtype))
        slope *= y
        return np.multiply(dy, slope, out=out)


def _tanh_slope(dy: Any, y: Any, _: float, out: Any) -> Any:
    with scratch() as take:
        slope = np.multiply(y, y, out=take(y.shape, y.dtype))
        np.subtract(1, slope, out=slope)
        return np.multiply(dy, slope, out=out)


def _softplus_slope(dy: Any, x: Any, b: float, out: Any) -> Any:
    with scratch() as take:
        slope = np.multiply(x, b, out=take(x.shape, x.dtype))
        return np.multiply(dy, sigmoid(slope, out=slope), out=out)


def _silu_slope(dy: Any, x: Any, _: float, out: Any) -> Any:
    with scratch() as take:
        p = sigmoid(x, out=take(x.shape, x.dtype))
        slope = np.subtract(1, p, out=take(x.shape, x.dtype))
        slope *= x
        slope += 1
        slope *= p
        return np.multiply(dy, slope, out=out)


def _gelu_slope(dy: Any, x: Any, _: float, out: Any) -> Any:
    with scratch() as take:
        density = np.multiply(x, x, out=take(x.shape, x.dtype))
        density *= -0.5
        np.exp(density, out=density)
        density *= 1 / math.sqrt(2 * math.pi)
        density *= x
        density += _normal_distribution(x, take(x.shape, x.dtype))
        return np.multiply(dy, density, out=out)


def _gelu_tanh_slope(dy: Any, x: Any, _: float, out: Any) -> Any:
    with scratch() as take:
        square, th, inner = (take(x.shape, x.dtype) for _ in range(3))
        np.multiply(x, x, out=square)
        np.multiply(square, 0.044715 * _ROOT, out=th)
        th += _ROOT
        th *= x
        np.tanh(th, out=th)
        np.multiply(square, 3 * 0.044715 * _ROOT, out=inner)  # x times the derivative of the argument of tanh
        inner += _ROOT
        inner *= x
        inner *= np.subtract(1, np.multiply(th, th, out=square), out=square)
        inner += th
        inner += 1
        inner *= 0.5
        return np.multiply(dy, inner, out=out)


_BACKWARD: dict[str, Callable[..., Any]] = {
    "relu": _relu_slope,
    "leaky_relu": _leaky_relu_slope,
    "elu": _elu_slope,
    "sigmoid": _sigmoid_slope,
    "tanh": _tanh_slope,
    "softplus": _softplus_slope,
    "gelu": _gelu_slope,
    "gelu_tanh": _gelu_tanh_slope,
    "silu": _silu_slope,
}
