"""Softmax and its logarithm along one axis. `out` is row-major. Half precision is computed in float32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .blocks import _blocks
from .workspace import Take, scratch

_FEW = 32
"""Below this length NumPy reduces along the last axis slower than it transposes and reduces along the first."""


def softmax(x: Any, axis: int, out: Any = None) -> Any:
    """e^(x - m) / sum of e^(x - m), m = max x: the largest exponent is 0, so nothing overflows."""
    y = np.empty(x.shape, x.dtype) if out is None else out
    source, target = _fold(x, axis), _fold(y, axis)
    for part, _ in _parts(source.shape):
        with scratch() as take:
            e = _less_maximum(source[part], take)
            np.exp(e, out=e)
            np.divide(e, _sum(e, take), out=target[part], casting="unsafe")
    return y


def softmax_backward(dy: Any, y: Any, axis: int, out: Any = None) -> Any:
    """y (dy - sum of dy y)."""
    dx = np.empty(y.shape, y.dtype) if out is None else out
    first, second, target = (_fold(a, axis) for a in (dy, y, dx))
    for part, _ in _parts(target.shape):
        with scratch() as take:
            g, s = _block(first[part], take), _block(second[part], take)
            t = np.multiply(g, s, out=take(g.shape, g.dtype))
            np.subtract(g, _sum(t, take), out=t)
            np.multiply(t, s, out=target[part], casting="unsafe")
    return dx


def log_softmax(x: Any, axis: int, out: Any = None) -> Any:
    """(x - m) - ln sum of e^(x - m), m = max x: no overflow, and no logarithm of a rounded 0."""
    y = np.empty(x.shape, x.dtype) if out is None else out
    source, target = _fold(x, axis), _fold(y, axis)
    for part, _ in _parts(source.shape):
        with scratch() as take:
            z = _less_maximum(source[part], take)
            log_s = _sum(np.exp(z, out=take(z.shape, z.dtype)), take)
            np.log(log_s, out=log_s)
            np.subtract(z, log_s, out=target[part], casting="unsafe")
    return y


def log_softmax_backward(dy: Any, y: Any, axis: int, out: Any = None) -> Any:
    """dy - e^y sum of dy."""
    dx = np.empty(y.shape, y.dtype) if out is None else out
    first, second, target = (_fold(a, axis) for a in (dy, y, dx))
    for part, _ in _parts(target.shape):
        with scratch() as take:
            g, t = _block(first[part], take), _block(second[part], take)
            t = np.exp(t, out=take(t.shape, t.dtype))
            t *= _sum(g, take)
            np.subtract(g, t, out=target[part], casting="unsafe")
    return dx


def _less_maximum(x: Any, take: Take) -> Any:
    """x less its maximum along axis 1, in the working type."""
    v = _block(x, take)
    top = np.maximum.reduce(v, axis=1, keepdims=True, out=take((v.shape[0], 1, v.shape[2]), v.dtype))
    return np.subtract(v, top, out=take(v.shape, v.dtype))


def _sum(x: Any, take: Take) -> Any:
    """The sum along axis 1, which is kept with size 1."""
    return np.add.reduce(x, axis=1, keepdims=True, out=take((x.shape[0], 1, x.shape[2]), x.dtype))


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


def _block(x: Any, take: Take) -> Any:
    """x in row-major memory, in the working type; not to be written to."""
    work = _working_type(x.dtype)
    if x.dtype == work and x.flags.c_contiguous:
        return x
    block = take(x.shape, work)
    np.copyto(block, x)
    return block


def _working_type(dtype: Any) -> Any:
    """The type to compute in: float32 for half precision, else the type itself."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype
