"""Reductions over a tuple of axes. Half precision is summed in float32, as PyTorch does."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

Axes = tuple[int, ...]


def _wide(x: Any) -> Any:
    """The type to add up in; None keeps the type of `x`."""
    return np.float32 if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else None


def sum(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:  # noqa: A001
    """The sum over the axes."""
    if _wide(x) is None:
        return np.add.reduce(x, axis=axes, keepdims=keepdims, out=out)
    return _narrow(np.add.reduce(x, axis=axes, keepdims=keepdims, dtype=np.float32), x.dtype, out)


def mean(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """The sum over the axes, divided by the number of elements; NaN for none."""
    n = prod(x.shape[a] for a in axes)
    total = np.asarray(np.add.reduce(x, axis=axes, keepdims=keepdims, dtype=_wide(x)))
    with np.errstate(invalid="ignore"):
        total /= n if n else np.nan
    return _narrow(total, x.dtype, out)


def amax(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """The largest element over the axes; NaN if there is one."""
    return np.maximum.reduce(x, axis=axes, keepdims=keepdims, out=out)


def amin(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """The smallest element over the axes; NaN if there is one."""
    return np.minimum.reduce(x, axis=axes, keepdims=keepdims, out=out)


def logsumexp(x: Any, axes: Axes, keepdims: bool, out: Any = None) -> Any:
    """m + ln sum e^(x - m), m = max x: the largest exponent is 0, so nothing overflows. -inf for no element."""
    if prod(x.shape[a] for a in axes) == 0:
        shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes)
        return _narrow(np.full(shape, -np.inf, x.dtype), x.dtype, out)
    m = np.maximum.reduce(x, axis=axes, keepdims=True)
    m = np.where(np.isfinite(m), m, 0).astype(x.dtype)
    total = np.log(np.add.reduce(np.exp(x - m), axis=axes, keepdims=keepdims, dtype=_wide(x)))
    return _narrow(total + m.reshape(total.shape), x.dtype, out)


def _narrow(y: Any, dtype: Any, out: Any) -> Any:
    if out is None:
        return np.asarray(y, dtype=dtype)
    np.copyto(out, y, casting="same_kind")
    return out
