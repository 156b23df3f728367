"""Normalisation of channels over the batch, in blocks of it. `out` is row-major.

The mean is taken before the deviations from it are squared: E[x^2] - E[x]^2 would cancel. Half precision is computed in
float32, which is then the type of the statistics. What is added up over the blocks is added in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .blocks import _BLOCK, _block_length, _blocks
from .softmax import _working_type


def batch_norm_forward(x: Any, weight: Any, bias: Any, eps: float, out: Any = None) -> tuple[Any, Any, Any]:
    """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...), with the mean and variance of each channel.

    Returns the result, the means, and the variances (the mean square of the deviations).
    """
    y, mean, var = (np.empty(x.shape, x.dtype), None, None) if out is None else out
    x3 = _channels(x)
    mean, var = (_stored(s, _working_type(x.dtype), o) for s, o in zip(_statistics(x3), (mean, var)))
    _normalise(x3, mean, _scale(var, eps, weight), bias, _channels(y))
    return y, mean, var


def batch_norm_inference(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float, out: Any = None) -> Any:
    """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...) and given statistics (c,)."""
    work = _working_type(x.dtype)
    y = np.empty(x.shape, x.dtype) if out is None else out
    mean, var = (s.astype(work, copy=False) for s in (mean, var))
    _normalise(_channels(x), mean, _scale(var, eps, weight), bias, _channels(y))
    return y


def batch_norm_backward(
    dy: Any, x: Any, weight: Any, mean: Any, var: Any, eps: float, wanted: tuple[bool, bool, bool], out: Any = None
) -> tuple[Any, ...]:
    """The wanted ones of the gradients in x, weight and bias of `batch_norm_forward`.

    With a = weight rstd, dx = a (dy - mean of dy - (x - mean) rstd^2 mean of dy (x - mean)).
    """
    dy3, x3, work = _channels(dy), _channels(x), mean.dtype
    n, c, m = x3.shape
    rstd = 1 / np.sqrt(var + eps)
    mean_s = _spread(mean, x3.shape)
    scratch = np.empty((_block_length(n, c * m), c, m), work)
    db = dot = np.zeros(c)
    for block in _blocks(n, c * m):
        g = dy3[block].astype(work, copy=False)
        t = np.subtract(x3[block], mean_s, out=scratch[: len(g)], dtype=work)
        db = db + _channel_sum(g).astype(np.float64)
        dot = dot + _channel_sum(np.multiply(t, g, out=t)).astype(np.float64)
    outs = iter(out if out is not None else (None, None, None))
    results = []
    if wanted[0]:
        dx = next(outs)
        dx = np.empty(x.shape, x.dtype) if dx is None else dx
        dx3 = _channels(dx)
        scale = _scale(var, eps, weight)
        slope, offset = (scale * v / max(n * m, 1) for v in (rstd * rstd * dot, db))
        scale_s, slope_s, offset_s = (_spread(v.astype(work, copy=False), x3.shape) for v in (scale, slope, offset))
        for block in _blocks(n, c * m):
            t = np.subtract(x3[block], mean_s, out=scratch[: len(dx3[block])], dtype=work)
            t *= slope_s
            t += offset_s
            target = np.multiply(dy3[block], scale_s, out=dx3[block] if dx.dtype == work else None, dtype=work)
            np.subtract(target, t, out=dx3[block], casting="unsafe")
        results.append(dx)
    results += [_stored(d, work, next(outs)) for d, needed in ((dot * rstd, wanted[1]), (db, wanted[2])) if needed]
    return tuple(results)


def _channels(x: Any) -> Any:
    """(n, c, ...) as (n, c, m)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _channel_sum(x: Any) -> Any:
    """The sum over all but the middle axis: first over the first, which NumPy does fastest."""
    return np.add.reduce(np.add.reduce(x.reshape(len(x), -1), axis=0).reshape(x.shape[1:]), axis=1)


def _statistics(x: Any) -> tuple[Any, Any]:
    """Mean and variance of each channel of x (n, c, m) in float64, reading x once.

    In each block the deviations from its mean are taken; their sum, which would be 0 but for rounding, corrects mean
    and squares. A block as a whole lies off the mean of all, so the squares add up as
    sum of squares + sum of count (mean of block - mean)^2. (Chan, Golub, LeVeque 1983, equations 1.7 and 2.1)
    """
    n, c, m = x.shape
    work = _working_type(x.dtype)
    scratch = np.empty((_block_length(n, c * m), c, m), work)
    parts = []
    for block in _blocks(n, c * m):
        chunk = x[block].astype(work, copy=False)
        count = len(chunk) * m
        mean = _channel_sum(chunk) / work.type(count)
        t = np.subtract(chunk, _spread(mean, chunk.shape), out=scratch[: len(chunk)])
        rest = _channel_sum(t).astype(np.float64)
        squares = _channel_sum(np.multiply(t, t, out=t))
        parts.append((np.float64(count), mean + rest / count, squares - rest * rest / count))
    if len(parts) == 1:
        return parts[0][1], parts[0][2] / (n * m)
    if not parts:
        return (np.full(c, np.nan),) * 2
    counts, means, squares = (np.array(p) for p in zip(*parts))
    counts = counts[:, None]
    mean = np.add.reduce(counts * means, axis=0) / (n * m)
    return mean, np.add.reduce(squares + counts * (means - mean) ** 2, axis=0) / (n * m)


def _spread(values: Any, shape: tuple[int, int, int]) -> Any:
    """One value a channel, to broadcast against (n, c, m).

    Repeated m times where that is small: NumPy goes through one long vector faster than through many short ones.
    """
    _, c, m = shape
    return values[:, None] if m == 1 or c * m > _BLOCK else np.repeat(values, m).reshape(c, m)


def _scale(var: Any, eps: float, weight: Any) -> Any:
    rstd = 1 / np.sqrt(var + eps)
    return rstd if weight is None else rstd * weight.astype(var.dtype, copy=False)


def _normalise(x: Any, mean: Any, scale: Any, bias: Any, y: Any) -> None:
    """y = (x - mean) scale + bias for x, y (n, c, m) and the rest (c,)."""
    work = mean.dtype
    mean, scale = _spread(mean, x.shape), _spread(scale, x.shape)
    bias = None if bias is None else _spread(bias.astype(work, copy=False), x.shape)
    for block in _blocks(len(x), x.shape[1] * x.shape[2]):
        t = np.subtract(x[block], mean, out=y[block] if y.dtype == work else None, dtype=work)
        t *= scale
        if bias is not None:
            t += bias
        if y.dtype != work:
            y[block] = t


def _stored(value: Any, dtype: Any, out: Any) -> Any:
    if out is None:
        return value.astype(dtype, copy=False)
    np.copyto(out, value, casting="unsafe")
    return out
