"""Softmax and its logarithm along one axis. `out` is row-major. Half precision is computed in float32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_FEW = 32
"""Below this length NumPy reduces along the last axis slower than it transposes and reduces along the first."""


def _working_type(dtype: Any) -> Any:
    """The type to compute in: float32 for half precision, else the type itself."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def _around(x: Any, axis: int) -> Any:
    """x as (outer, classes, inner) around the axis."""
    return x.reshape(math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))


def _fold(x: Any, axis: int) -> Any:
    """`_around`, but where that is (outer, few classes, 1) the classes come first: (1, classes, outer)."""
    folded = _around(x, axis)
    if folded.shape[2] == 1 and folded.shape[1] < _FEW:
        return folded.transpose(2, 1, 0)
    return folded


def _folded(x: Any, axis: int) -> Any:
    """`_fold` in row-major memory, in the working type."""
    return np.ascontiguousarray(_fold(x, axis), dtype=_working_type(x.dtype))


def _places(shape: tuple[int, ...], dtype: Any, axis: int, out: Any) -> tuple[Any, Any, Any]:
    """The result, the same folded, and an array to compute in: the folded result itself where it is fit for that."""
    y = np.empty(shape, dtype) if out is None else out
    target = _fold(y, axis)
    work = _working_type(y.dtype)
    return y, target, target if target.flags.c_contiguous and y.dtype == work else np.empty(target.shape, work)


def softmax(x: Any, axis: int, out: Any = None) -> Any:
    """e^(x - m) / sum of e^(x - m), m = max x: the largest exponent is 0, so nothing overflows."""
    y, target, e = _places(x.shape, x.dtype, axis, out)
    if y.size:
        v = _folded(x, axis)
        np.subtract(v, np.maximum.reduce(v, axis=1, keepdims=True), out=e)
        np.exp(e, out=e)
        np.divide(e, np.add.reduce(e, axis=1, keepdims=True), out=target, casting="unsafe")
    return y


def softmax_backward(dy: Any, y: Any, axis: int, out: Any = None) -> Any:
    """y (dy - sum of dy y)."""
    dx, target, t = _places(y.shape, y.dtype, axis, out)
    dy, y = _folded(dy, axis), _folded(y, axis)
    np.multiply(dy, y, out=t)
    np.subtract(dy, np.add.reduce(t, axis=1, keepdims=True), out=t)
    np.multiply(t, y, out=target, casting="unsafe")
    return dx


def log_softmax(x: Any, axis: int, out: Any = None) -> Any:
    """(x - m) - ln sum of e^(x - m), m = max x: no overflow, and no logarithm of a rounded 0."""
    y, target, z = _places(x.shape, x.dtype, axis, out)
    if y.size:
        v = _folded(x, axis)
        np.subtract(v, np.maximum.reduce(v, axis=1, keepdims=True), out=z)
        np.subtract(z, np.log(np.add.reduce(np.exp(z), axis=1, keepdims=True)), out=target, casting="unsafe")
    return y


def log_softmax_backward(dy: Any, y: Any, axis: int, out: Any = None) -> Any:
    """dy - e^y sum of dy."""
    dx, target, t = _places(y.shape, y.dtype, axis, out)
    dy, y = _folded(dy, axis), _folded(y, axis)
    np.exp(y, out=t)
    t *= np.add.reduce(dy, axis=1, keepdims=True)
    np.subtract(dy, t, out=target, casting="unsafe")
    return dx
