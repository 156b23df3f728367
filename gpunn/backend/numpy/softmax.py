"""Softmax and its logarithm along one axis. `out` is row-major. Half precision is computed in float32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .blocks import _blocks

_FEW = 32
"""Below this length NumPy reduces along the last axis slower than it transposes and reduces along the first."""


def softmax(x: Any, axis: int, out: Any = None) -> Any:
    """e^(x - m) / sum of e^(x - m), m = max x: the largest exponent is 0, so nothing overflows."""
    y = np.empty(x.shape, x.dtype) if out is None else out
    source, target = _fold(x, axis), _fold(y, axis)
    for part, _ in _parts(source.shape):
        v = _block(source[part])
        e = v - np.maximum.reduce(v, axis=1, keepdims=True)
        np.exp(e, out=e)
        np.divide(e, np.add.reduce(e, axis=1, keepdims=True), out=target[part], casting="unsafe")
    return y


def softmax_backward(dy: Any, y: Any, axis: int, out: Any = None) -> Any:
    """y (dy - sum of dy y)."""
    dx = np.empty(y.shape, y.dtype) if out is None else out
    first, second, target = (_fold(a, axis) for a in (dy, y, dx))
    for part, _ in _parts(target.shape):
        g, s = _block(first[part]), _block(second[part])
        t = g * s
        np.subtract(g, np.add.reduce(t, axis=1, keepdims=True), out=t)
        np.multiply(t, s, out=target[part], casting="unsafe")
    return dx


def log_softmax(x: Any, axis: int, out: Any = None) -> Any:
    """(x - m) - ln sum of e^(x - m), m = max x: no overflow, and no logarithm of a rounded 0."""
    y = np.empty(x.shape, x.dtype) if out is None else out
    source, target = _fold(x, axis), _fold(y, axis)
    for part, _ in _parts(source.shape):
        v = _block(source[part])
        z = v - np.maximum.reduce(v, axis=1, keepdims=True)
        log_s = np.log(np.add.reduce(np.exp(z), axis=1, keepdims=True))
        np.subtract(z, log_s, out=target[part], casting="unsafe")
    return y


def log_softmax_backward(dy: Any, y: Any, axis: int, out: Any = None) -> Any:
    """dy - e^y sum of dy."""
    dx = np.empty(y.shape, y.dtype) if out is None else out
    first, second, target = (_fold(a, axis) for a in (dy, y, dx))
    for part, _ in _parts(target.shape):
        g = _block(first[part])
        t = np.exp(_block(second[part]))
        t *= np.add.reduce(g, axis=1, keepdims=True)
        np.subtract(g, t, out=target[part], casting="unsafe")
    return dx


def _around(x: Any, axis: int) -> Any:
    """x as (outer, classes, inner) around the axis."""
    return x.reshape(math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))


def _fold(x: Any, axis: int) -> Any:
    """`_around`, but where that is (outer, few classes, 1) the classes come first: (1, classes, outer)."""
    folded = _around(x, axis)
    if folded.shape[2] == 1 and folded.shape[1] < _FEW:
        return folded.transpose(2, 1, 0)
    return folded


def _parts(shape: tuple[int, int, int]) -> Iterator[tuple[Any, Any]]:
    """A folded array in blocks that hold all classes: an index into it, and one into (outer, inner)."""
    outer, classes, inner = shape
    everything = slice(None)
    if classes == 0:
        return
    if outer == 1:
        for block in _blocks(inner, classes):
            yield (everything, everything, block), (everything, block)
    else:
        for block in _blocks(outer, classes * inner):
            yield (block,), (block,)


def _block(x: Any) -> Any:
    """x in row-major memory, in the working type; not to be written to."""
    return np.ascontiguousarray(x, dtype=_working_type(x.dtype))


def _working_type(dtype: Any) -> Any:
    """The type to compute in: float32 for half precision, else the type itself."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype
