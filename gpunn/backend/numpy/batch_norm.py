"""Normalisation of channels over the batch, in blocks of it. `out` is row-major.

The mean is taken before the deviations from it are squared: E[x^2] - E[x]^2 would cancel. Half precision is computed in
float32, which is then the type of the statistics. What is added up over the blocks is added in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .activation import activation, activation_backward
from .blocks import _BLOCK, _block_length, _blocks
from .softmax import _working_type
from .workspace import Take, declares, scratch, taken

_FLOAT64 = np.dtype(np.float64)


def batch_norm_forward(
    x: Any, weight: Any, bias: Any, eps: float, relu: bool = False, running: Any = None, out: Any = None
) -> tuple[Any, ...]:
    """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...), with the mean and variance of each channel.

    With `relu`, 0 where that is negative. Returns the result, the means, the variances (the mean square of the
    deviations), and with `running`, what `move_statistics` takes beside these, what that returns.
    """
    work, c = _working_type(x.dtype), x.shape[1]
    y, mean, var, *moved = (np.empty(x.shape, x.dtype), np.empty(c, work), np.empty(c, work)) if out is None else out
    x3 = _channels(x)
    with scratch() as take:
        _statistics(x3, mean, var, take)
        _normalise(x3, mean, _scale(var, eps, weight, take), bias, _channels(y), take)
    if relu:
        activation(y, "relu", 0.0, out=y)
    if running is not None:
        run_mean, run_var, batches, keep, mean_share, var_share = running
        given = run_mean, mean, run_var, var, batches, keep, mean_share, var_share
        return y, mean, var, *move_statistics(*given, out=moved or None)
    return y, mean, var


def move_statistics(
    mean: Any,
    batch_mean: Any,
    var: Any,
    batch_var: Any,
    batches: Any,
    keep: float,
    mean_share: float,
    var_share: float,
    out: Any = None,
) -> tuple[Any, ...]:
    """(keep mean + mean_share batch_mean, the like of var, and batches + 1 if given); `out` may be the old ones."""
    old = (mean, var) if batches is None else (mean, var, batches)
    new: tuple[Any, ...] = tuple([np.empty_like(a) for a in old]) if out is None else out
    with scratch() as take:
        for kept, value, share, y in zip(old, (batch_mean, batch_var), (mean_share, var_share), new):
            moved = np.multiply(value, share, out=take(value.shape, value.dtype))
            left = y if value.dtype == y.dtype else take(value.shape, value.dtype)
            np.add(np.multiply(kept, keep, out=left, dtype=left.dtype), moved, out=y, casting="same_kind")
    if batches is not None:
        np.add(batches, 1, out=new[2])
    return new


def batch_norm_inference(
    x: Any,
    mean: Any,
    var: Any,
    weight: Any,
    bias: Any,
    eps: float,
    relu: bool = False,
    added: Any = None,
    relu_of_sum: bool = False,
    out: Any = None,
) -> Any:
    """(x - mean) / sqrt(var + eps) weight + bias for x (n, c, ...) and given statistics (c,).

    With `relu`, 0 where that is negative; with `added` (n, c, ...) the sum of both, with `relu_of_sum` 0 where this is
    negative.
    """
    work = _working_type(x.dtype)
    y = np.empty(x.shape, x.dtype) if out is None else out
    mean, var = (s.astype(work, copy=False) for s in (mean, var))
    with scratch() as take:
        _normalise(_channels(x), mean, _scale(var, eps, weight, take), bias, _channels(y), take)
    if relu:
        activation(y, "relu", 0.0, out=y)
    if added is not None:
        np.add(y, added, out=y)
    if relu_of_sum:
        activation(y, "relu", 0.0, out=y)
    return y


def batch_norm_backward(
    dy: Any,
    x: Any,
    weight: Any,
    mean: Any,
    var: Any,
    eps: float,
    wanted: tuple[bool, bool, bool],
    bias: Any = None,
    relu: bool = False,
    out: Any = None,
) -> tuple[Any, ...]:
    """The wanted ones of the gradients in x, weight and bias of `batch_norm_forward`.

    With `relu` it is asked again, by x and `bias`, which elements the ReLU let through. With a = weight rstd,
    dx = a (dy - mean of dy - (x - mean) rstd^2 mean of dy (x - mean)).
    """
    if relu:
        y = batch_norm_inference(x, mean, var, weight, bias, eps)
        dy = activation_backward(dy, y, "relu", 0.0, from_output=True)
    dy3, x3, work = _channels(dy), _channels(x), mean.dtype
    n, c, m = x3.shape
    outs = iter(out if out is not None else (None, None, None))
    results = []
    with scratch() as take:
        mean_s = _spread(mean, x3.shape, take)
        space = take((_block_length(n, c * m), c, m), work)
        db, dot, part = (take((c,), _FLOAT64) for _ in range(3))
        db.fill(0)
        dot.fill(0)
        for block in _blocks(n, c * m):
            g = dy3[block].astype(work, copy=False)
            t = np.subtract(x3[block], mean_s, out=space[: len(g)], dtype=work)
            with scratch():
                np.copyto(part, _channel_sum(g, take))
                db += part
                np.copyto(part, _channel_sum(np.multiply(t, g, out=t), take))
                dot += part
        if wanted[0]:
            dx = next(outs)
            dx = np.empty(x.shape, x.dtype) if dx is None else dx
            dx3 = _channels(dx)
            scale = _scale(var, eps, weight, take)
            slope, offset = take((c,), work), take((c,), work)
            np.copyto(part, scale)
            share = np.divide(part, max(n * m, 1), out=part)
            wide = take((c,), _FLOAT64)
            np.copyto(offset, np.multiply(share, db, out=wide), casting="same_kind")
            np.copyto(wide, var)
            wide += eps
            np.copyto(slope, np.divide(np.multiply(share, dot, out=share), wide, out=wide), casting="same_kind")
            scale_s, slope_s, offset_s = (_spread(v, x3.shape, take) for v in (scale, slope, offset))
            for block in _blocks(n, c * m):
                t = np.subtract(x3[block], mean_s, out=space[: len(dx3[block])], dtype=work)
                t *= slope_s
                t += offset_s
                target = np.multiply(dy3[block], scale_s, out=dx3[block] if dx.dtype == work else None, dtype=work)
                np.subtract(target, t, out=dx3[block], casting="unsafe")
            results.append(dx)
        if wanted[1]:
            if n * m:  # else the sum is of nothing: 0, though there is no variance
                np.copyto(part, _scale(var, eps, None, take))
                np.multiply(dot, part, out=dot)
            results.append(_stored(dot, work, next(outs)))
        if wanted[2]:
            results.append(_stored(db, work, next(outs)))
    return tuple(results)


@declares("batch_norm_forward")
def _batch_norm_forward_needs(
    x: Any, weight: Any, bias: Any, eps: float, relu: bool = False, running: Any = None, out: Any = None
) -> int:
    work, (n, c, m) = _working_type(x.dtype), _channels(x).shape
    length = _block_length(n, c * m)
    many, one = -(-n // length), taken(_FLOAT64, (c,))
    statistics = taken(work, (length, c, m), (c, m)) + 2 * taken(_FLOAT64, (many, c)) + 2 * one
    statistics += 3 * taken(work, (c * m,), (c,))
    return max(
        statistics if n * m else 0, taken(work, (c,)) + _spread_needs(work, (n, c, m)) * (2 + (bias is not None))
    )


@declares("batch_norm_backward")
def _batch_norm_backward_needs(
    dy: Any,
    x: Any,
    weight: Any,
    mean: Any,
    var: Any,
    eps: float,
    wanted: tuple[bool, bool, bool],
    bias: Any = None,
    relu: bool = False,
    out: Any = None,
) -> int:
    work, (n, c, m) = mean.dtype, _channels(x).shape
    spread = _spread_needs(work, (n, c, m))
    kept = spread + taken(work, (_block_length(n, c * m), c, m)) + 3 * taken(_FLOAT64, (c,))
    rest = (3 * taken(work, (c,)) + taken(_FLOAT64, (c,)) + 3 * spread) * wanted[0] + taken(work, (c,)) * wanted[1]
    again = (taken(work, (c,)) + spread * (2 + (bias is not None))) * relu
    return max(again, kept + max(2 * taken(work, (c * m,), (c,)) if n else 0, rest))


def _spread_needs(dtype: Any, shape: tuple[int, int, int]) -> int:
    return taken(dtype, shape[1:]) if _is_spread(shape) else 0


def _channels(x: Any) -> Any:
    """(n, c, ...) as (n, c, m)."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _channel_sum(x: Any, take: Take = np.empty) -> Any:
    """The sum over all but the middle axis: first over the first, which NumPy does fastest."""
    _, c, m = x.shape
    rows = np.add.reduce(x.reshape(len(x), c * m), axis=0, out=take((c * m,), x.dtype))
    return np.add.reduce(rows.reshape(c, m), axis=1, out=take((c,), x.dtype))


def _statistics(x: Any, mean: Any, var: Any, take: Take) -> None:
    """Mean and variance of each channel of x (n, c, m), reading x once.

    In each block the deviations from its mean are taken; their sum, which would be 0 but for rounding, corrects mean
    and squares. A block as a whole lies off the mean of all, so the squares add up as
    sum of squares + sum of count (mean of block - mean)^2. (Chan, Golub, LeVeque 1983, equations 1.7 and 2.1)
    """
    n, c, m = x.shape
    work, length = mean.dtype, _block_length(n, c * m)
    if not n * m:
        mean.fill(np.nan)
        var.fill(np.nan)
        return
    with scratch():
        space = take((length, c, m), work)
        spread = take((c, m), work)
        many = -(-n // length)
        means, squares = take((many, c), _FLOAT64), take((many, c), _FLOAT64)
        total, rest = take((c,), _FLOAT64), take((c,), _FLOAT64)
        for k, block in enumerate(_blocks(n, c * m)):
            chunk = x[block].astype(work, copy=False)
            count = len(chunk) * m
            with scratch():
                average = _channel_sum(chunk, take)
                np.divide(average, count, out=average)
                np.copyto(spread, average[:, None])
                t = np.subtract(chunk, spread, out=space[: len(chunk)])
                np.copyto(rest, _channel_sum(t, take))
                np.copyto(squares[k], _channel_sum(np.multiply(t, t, out=t), take))
                np.divide(rest, count, out=means[k])
                np.multiply(rest, means[k], out=rest)
                np.subtract(squares[k], rest, out=squares[k])
                np.copyto(rest, average)
                np.add(means[k], rest, out=means[k])
        if many == 1:
            np.copyto(total, means[0])
        else:
            total.fill(0)
            for k, block in enumerate(_blocks(n, c * m)):
                total += np.multiply(means[k], len(x[block]) / n, out=rest)
            for k, block in enumerate(_blocks(n, c * m)):
                np.subtract(means[k], total, out=rest)
                np.multiply(rest, rest, out=rest)
                np.multiply(rest, len(x[block]) * m, out=rest)
                np.add(squares[k], rest, out=squares[k])
        np.add.reduce(squares, axis=0, out=rest)
        np.copyto(mean, total, casting="same_kind")
        np.divide(rest, n * m, out=rest)
        np.copyto(var, rest, casting="same_kind")


def _spread(values: Any, shape: tuple[int, int, int], take: Take) -> Any:
    """One value a channel, to broadcast against (n, c, m).

    Repeated m times where that is small: NumPy goes through one long vector faster than through many short ones.
    """
    _, c, m = shape
    if not _is_spread(shape):
        return values[:, None]
    repeated = take((c, m), values.dtype)
    np.copyto(repeated, values[:, None])
    return repeated


def _is_spread(shape: tuple[int, int, int]) -> bool:
    _, c, m = shape
    return m != 1 and c * m <= _BLOCK


def _scale(var: Any, eps: float, weight: Any, take: Take) -> Any:
    scale = np.add(var, eps, out=take(var.shape, var.dtype))
    np.divide(1, np.sqrt(scale, out=scale), out=scale)
    return scale if weight is None else np.multiply(scale, weight, out=scale, casting="same_kind")


def _normalise(x: Any, mean: Any, scale: Any, bias: Any, y: Any, take: Take) -> None:
    """y = (x - mean) scale + bias for x, y (n, c, m) and the rest (c,)."""
    work = mean.dtype
    mean, scale = _spread(mean, x.shape, take), _spread(scale, x.shape, take)
    bias = None if bias is None else _spread(bias.astype(work, copy=False), x.shape, take)
    for block in _blocks(len(x), x.shape[1] * x.shape[2]):
        t = np.subtract(x[block], mean, out=y[block] if y.dtype == work else None, dtype=work)
        t *= scale
        if bias is not None:
            t += bias
        if y.dtype != work:
            y[block] = t


def _stored(value: Any, dtype: Any, out: Any) -> Any:
    if out is None:
        return value.astype(dtype)
    np.copyto(out, value, casting="unsafe")
    return out
