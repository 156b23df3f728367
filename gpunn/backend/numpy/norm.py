"""Normalisation by mean and variance, in slices of the batch that stay in the cache. `out` is row-major.

Every mean is taken before the deviations from it are squared: E[x^2] - E[x]^2 would cancel. Half precision is computed
in float32, which is then the type of the statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .softmax import _working_type

_SLICE = 1 << 16
"""Elements of a slice: 256 KiB of float32, so that the passes over a slice but the first find it in the L2 cache."""


def batch_norm_forward(x: Any, weight: Any, bias: Any, eps: float, out: Any = None) -> tuple[Any, Any, Any]:
    """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...), with the mean and variance of each channel.

    Returns the result, the means, and the variances (the mean square of the deviations).
    """
    work = _working_type(x.dtype)
    x3 = _channels(x)
    mean, var = _channel_statistics(x3, work)
    y = np.empty(x.shape, x.dtype) if out is None else out[0]
    _normalise(x3, mean, _scale(var, eps, weight), bias, _channels(y))
    return y, _kept(mean, out, 1), _kept(var, out, 2)


def batch_norm_inference(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float, out: Any = None) -> Any:
    """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...) and given statistics (c,)."""
    work = _working_type(x.dtype)
    y = np.empty(x.shape, x.dtype) if out is None else out
    _normalise(_channels(x), mean.astype(work), _scale(var.astype(work), eps, weight), bias, _channels(y))
    return y


def batch_norm_backward(
    dy: Any, x: Any, weight: Any, mean: Any, var: Any, eps: float, wanted: tuple[bool, bool, bool], out: Any = None
) -> tuple[Any, ...]:
    """The wanted ones of the gradients in x, weight and bias of `batch_norm_forward`."""
    dy3, x3, work = _channels(dy), _channels(x), mean.dtype
    n, c, m = x3.shape
    rstd = 1 / np.sqrt(var + eps)
    mean_s = _spread(mean, x3.shape)
    scratch = np.empty((_step(x3.shape), c, m), work)
    sums = []  # one term a slice; to add them up in float64 costs nothing
    for part in _slices(x3.shape):
        g = dy3[part].astype(work, copy=False)
        t = np.subtract(x3[part], mean_s, out=scratch[: len(g)], dtype=work)
        t *= g
        sums.append((_channel_sum(g), _channel_sum(t)))
    db, dot = np.add.reduce(np.array(sums, np.float64).reshape(len(sums), 2, c), axis=0)
    outs = iter(out if out is not None else (None, None, None))
    results = []
    if wanted[0]:
        # dx = a (dy - mean of dy - (x - mean) rstd^2 mean of dy (x - mean)),  a = weight rstd
        count = max(n * m, 1)
        scale = _scale(var, eps, weight)
        scale_s = _spread(scale, x3.shape)
        slope_s = _spread((scale * rstd * rstd * dot / count).astype(work), x3.shape)
        offset_s = _spread((scale * db / count).astype(work), x3.shape)
        dx = next(outs)
        dx = np.empty(x.shape, x.dtype) if dx is None else dx
        dx3 = _channels(dx)
        for part in _slices(x3.shape):
            g = dy3[part].astype(work, copy=False)
            t = np.subtract(x3[part], mean_s, out=scratch[: len(g)], dtype=work)
            t *= slope_s
            t += offset_s
            if dx.dtype == work:
                target = np.multiply(g, scale_s, out=dx3[part])
                target -= t
            else:
                dx3[part] = g * scale_s - t
        results.append(dx)
    results += [_stored(d, work, next(outs)) for d, needed in ((dot * rstd, wanted[1]), (db, wanted[2])) if needed]
    return tuple(results)


def row_norm_forward(
    x: Any, weight: Any, bias: Any, split: tuple[int, int, int, int], eps: float, out: Any = None
) -> tuple[Any, Any, Any]:
    """Each group of each row of x = (rows, groups, k, m) less its mean, over its standard deviation, then scaled.

    `weight` and `bias` have groups * k elements. Returns the result, and the means and variances (rows, groups).
    """
    rows, groups, k, m = split
    work, x3 = _working_type(x.dtype), x.reshape(rows, groups, k * m)
    y = np.empty(x.shape, x.dtype) if out is None else out[0]
    y3 = y.reshape(x3.shape)
    mean, var = (np.empty((rows, groups), work) if out is None else out[i] for i in (1, 2))
    weight, bias = (_spread_rows(p, split, work) for p in (weight, bias))
    scratch = np.empty((_step(x3.shape), *x3.shape[1:]), work)
    for part in _slices(x3.shape):
        chunk = x3[part].astype(work, copy=False)
        mu, t = _mean(chunk), y3[part] if y.dtype == work else np.empty(chunk.shape, work)
        np.subtract(chunk, mu[..., None], out=t)
        v = _mean(np.multiply(t, t, out=scratch[: len(t)]))
        mean[part], var[part] = mu, v
        t *= (1 / np.sqrt(v + eps))[..., None]
        if weight is not None:
            t *= weight
        if bias is not None:
            t += bias
        if y.dtype != work:
            y3[part] = t
    return y, mean, var


def row_norm_backward(
    dy: Any,
    x: Any,
    weight: Any,
    mean: Any,
    var: Any,
    split: tuple[int, int, int, int],
    affine_shape: tuple[int, ...],
    eps: float,
    wanted: tuple[bool, bool, bool],
    out: Any = None,
) -> tuple[Any, ...]:
    """The wanted ones of the gradients in x, weight and bias of `row_norm_forward`; the last two in their shape."""
    rows, groups, k, m = split
    work, shape = mean.dtype, (rows, groups, k * m)
    x3, dy3 = x.reshape(shape), dy.reshape(shape)
    outs = iter(out if out is not None else (None, None, None))
    if wanted[0]:
        dx = next(outs)
        dx = np.empty(x.shape, x.dtype) if dx is None else dx
        dx3 = dx.reshape(shape)
    weight = _spread_rows(weight, split, work)
    rstd = (1 / np.sqrt(var + eps))[..., None]
    sums = []
    for part in _slices(shape):
        g = dy3[part].astype(work, copy=False)
        xhat = np.subtract(x3[part], mean[part][..., None], dtype=work)
        xhat *= rstd[part]
        t = g * xhat
        if wanted[1] or wanted[2]:
            sums.append([_channel_sum(a.reshape(len(a), groups * k, m)) for a in (t, g)])
        if wanted[0]:
            if weight is not None:
                g, t = g * weight, np.multiply(t, weight, out=t)
            # dx = rstd (g - mean of g - xhat mean of (g xhat)),  g = dy weight
            xhat *= _mean(t)[..., None]
            xhat += _mean(g)[..., None]
            np.subtract(g, xhat, out=t)
            np.multiply(t, rstd[part], out=dx3[part], casting="unsafe")
    results = [dx] if wanted[0] else []
    if wanted[1] or wanted[2]:
        dw, db = np.add.reduce(np.array(sums, np.float64).reshape(len(sums), 2, *affine_shape), axis=0)
        results += [_stored(d, work, next(outs)) for d, needed in ((dw, wanted[1]), (db, wanted[2])) if needed]
    return tuple(results)


def _channels(x: Any) -> Any:
    """(n, c, ...) as (n, c, m)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _step(shape: tuple[int, int, int]) -> int:
    return max(1, min(shape[0], _SLICE // max(1, shape[1] * shape[2])))


def _slices(shape: tuple[int, int, int]) -> Iterator[slice]:
    """The first axis in slices of about `_SLICE` elements. They depend on the shape only, so the bits do not change."""
    step = _step(shape)
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def _channel_sum(x: Any) -> Any:
    """The sum over all but the middle axis: first over the first, which NumPy does fastest."""
    return np.add.reduce(np.add.reduce(x.reshape(len(x), -1), axis=0).reshape(x.shape[1:]), axis=1)


def _channel_statistics(x: Any, work: Any) -> tuple[Any, Any]:
    """Mean and variance of each channel of x (n, c, m), reading x once.

    In each slice the deviations from its mean are taken; their sum, which would be 0 but for rounding, corrects mean
    and squares. A slice as a whole lies off the mean of all, so the squares add up as
    sum of squares + sum of count (mean of slice - mean)^2. (Chan, Golub, LeVeque 1983, equations 1.7 and 2.1)
    """
    n, c, m = x.shape
    scratch = np.empty((_step(x.shape), c, m), work)
    slices = list(_slices(x.shape))
    counts = np.array([(min(s.stop, n) - s.start) * m for s in slices], np.float64)[:, None]
    means, rests, squares = np.empty((3, len(slices), c), np.float64)
    for i, part in enumerate(slices):
        chunk = x[part].astype(work, copy=False)
        mean = _channel_sum(chunk) / work.type(len(chunk) * m)
        t = np.subtract(chunk, _spread(mean, chunk.shape), out=scratch[: len(chunk)])
        means[i], rests[i] = mean, _channel_sum(t)
        squares[i] = _channel_sum(np.multiply(t, t, out=t))
    means += rests / counts
    squares -= rests * rests / counts
    mean = np.add.reduce(counts * means, axis=0) / (n * m)
    squares += counts * (means - mean) ** 2
    return mean.astype(work), (np.add.reduce(squares, axis=0) / (n * m)).astype(work)


def _spread(values: Any, shape: tuple[int, int, int]) -> Any:
    """One value a channel, to broadcast against (n, c, m).

    Repeated m times where that is small: NumPy goes through one long vector faster than through many short ones.
    """
    _, c, m = shape
    return values[:, None] if c * m > _SLICE else np.repeat(values, m).reshape(c, m)


def _spread_rows(values: Any, split: tuple[int, int, int, int], work: Any) -> Any:
    """One value a channel, to broadcast against (rows, groups, k * m)."""
    _, groups, k, m = split
    return None if values is None else np.repeat(values.astype(work, copy=False), m).reshape(groups, k * m)


def _scale(var: Any, eps: float, weight: Any) -> Any:
    rstd = 1 / np.sqrt(var + eps)
    return rstd if weight is None else rstd * weight.astype(var.dtype, copy=False)


def _normalise(x: Any, mean: Any, scale: Any, bias: Any, y: Any) -> None:
    """y = (x - mean) scale + bias for x, y (n, c, m) and the rest (c,)."""
    work = mean.dtype
    mean, scale = _spread(mean, x.shape), _spread(scale, x.shape)
    bias = None if bias is None else _spread(bias.astype(work, copy=False), x.shape)
    for part in _slices(x.shape):
        t = np.subtract(x[part], mean, out=y[part] if y.dtype == work else None, dtype=work)
        t *= scale
        if bias is not None:
            t += bias
        if y.dtype != work:
            y[part] = t


def _mean(x: Any) -> Any:
    return np.add.reduce(x, axis=-1) / x.dtype.type(x.shape[-1])


def _kept(value: Any, out: Any, index: int) -> Any:
    return _stored(value, value.dtype, None if out is None else out[index])


def _stored(value: Any, dtype: Any, out: Any) -> Any:
    if out is None:
        return value.astype(dtype, copy=False)
    np.copyto(out, value, casting="unsafe")
    return out
