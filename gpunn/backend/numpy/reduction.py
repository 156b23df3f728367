"""Reductions over a tuple of axes. Half precision is summed in float32, as PyTorch does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .half import _is_half, _narrow, _wide

Axes = tuple[int, ...]
# NumPy declares reduce once for each value of keepdims, and not for a bool.
_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce
_maximum: Any = np.maximum.reduce
_minimum: Any = np.minimum.reduce


def sum(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """The sum over the axes."""
    if _is_half(x):
        return _narrow(_add(x, axis=axes, keepdims=keepdims, dtype=np.float32), x.dtype, out)
    return _add(x, axis=axes, keepdims=keepdims, dtype=x.dtype, out=out)  # NumPy widens small integers by itself


def mean(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """The sum over the axes, divided by the number of elements; NaN for none."""
    n = math.prod(x.shape[a] for a in axes)
    if n == 0 or _is_half(x):
        total = _add(x, axis=axes, keepdims=keepdims, dtype=np.float32 if _is_half(x) else None)
        return _narrow(total / (n or np.nan), x.dtype, out)
    total = _add(x, axis=axes, keepdims=keepdims, out=out)
    return np.divide(total, n, out=total if isinstance(total, np.ndarray) else None)


def amax(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """The largest element over the axes; NaN if there is one."""
    return _maximum(x, axis=axes, keepdims=keepdims, out=out)


def amin(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """The smallest element over the axes; NaN if there is one."""
    return _minimum(x, axis=axes, keepdims=keepdims, out=out)


def logsumexp(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """m + ln sum e^(x - m), m = max x: the largest exponent is 0, so nothing overflows. -inf for no element."""
    if _is_half(x):
        return _narrow(logsumexp(_wide(x), axes, keepdims), x.dtype, out)
    if math.prod(x.shape[a] for a in axes) == 0:
        shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes)
        return _narrow(np.full(shape, -np.inf, x.dtype), x.dtype, out)
    m = _maximum(x, axis=axes, keepdims=True)
    m = np.where(np.isfinite(m), m, x.dtype.type(0))
    total = np.log(_add(np.exp(x - m), axis=axes, keepdims=keepdims))
    return np.add(total, m.reshape(total.shape), out=out)


def product(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """The product over the axes."""
    if _is_half(x):
        return _narrow(_multiply(_wide(x), axis=axes, keepdims=keepdims), x.dtype, out)
    return _multiply(x, axis=axes, keepdims=keepdims, dtype=x.dtype, out=out)


def all(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """Whether no element over the axes is 0."""
    return np.logical_and.reduce(x, axis=axes, keepdims=keepdims, out=out)


def any(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """Whether an element over the axes is not 0."""
    return np.logical_or.reduce(x, axis=axes, keepdims=keepdims, out=out)


def vector_norm(x: Any, p: float, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """(sum of |x|^p over the axes)^(1/p)."""
    if _is_half(x):
        return _narrow(vector_norm(_wide(x), p, axes, keepdims), x.dtype, out)
    if p == 2:
        return np.sqrt(_add(np.square(x), axis=axes, keepdims=keepdims), out=out)
    return np.power(_add(np.power(np.abs(x), p), axis=axes, keepdims=keepdims), 1 / p, out=out)


def cumsum(x: Any, axis: int, reverse: bool, out: Any = None) -> Any:
    """The sums of the elements up to each, or from each on if `reverse`."""
    if _is_half(x):
        return _narrow(cumsum(_wide(x), axis, reverse), x.dtype, out)
    if not reverse:
        return np.add.accumulate(x, axis=axis, dtype=x.dtype, out=out)
    y = np.empty(x.shape, x.dtype) if out is None else out
    np.add.accumulate(np.flip(x, axis), axis=axis, out=np.flip(y, axis))
    return y
