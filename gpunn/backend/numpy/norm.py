"""Normalisation of each row, or of groups of it, in blocks of rows. `out` is row-major.

The mean is taken before the deviations from it are squared: E[x^2] - E[x]^2 would cancel. Half precision is computed in
float32, which is then the type of the statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .batch_norm import _channel_sum, _stored
from .blocks import _blocks
from .softmax import _working_type

Split = tuple[int, int, int, int]


def row_norm_forward(x: Any, weight: Any, bias: Any, split: Split, eps: float, out: Any = None) -> tuple[Any, Any, Any]:
    """Each group of each row of x = (rows, groups, k, m) less its mean, over its standard deviation, then scaled.

    `weight` and `bias` have groups * k elements. Returns the result, and the means and variances (rows, groups).
    """
    rows, groups, k, m = split
    work, shape = _working_type(x.dtype), (rows, groups, k * m)
    if out is None:
        out = np.empty(x.shape, x.dtype), np.empty((rows, groups), work), np.empty((rows, groups), work)
    y, mean, var = out
    x3, y3 = x.reshape(shape), y.reshape(shape)
    weight, bias = (_spread(p, split, work) for p in (weight, bias))
    size = work.type(k * m)
    for block in _blocks(rows, groups * k * m):
        # The sum of add.reduce is slower than that of einsum, but more precise: it is of large numbers.
        mean[block] = mu = np.add.reduce(x3[block], axis=-1, dtype=work) / size
        t = np.subtract(x3[block], mu[..., None], out=y3[block] if y.dtype == work else None, dtype=work)
        var[block] = v = np.einsum("rgi,rgi->rg", t, t) / size
        t *= (1 / np.sqrt(v + eps))[..., None]
        if weight is not None:
            t *= weight
        if bias is not None:
            t += bias
        if y.dtype != work:
            y3[block] = t
    return y, mean, var


def row_norm_backward(
    dy: Any,
    x: Any,
    weight: Any,
    mean: Any,
    var: Any,
    split: Split,
    affine_shape: tuple[int, ...],
    eps: float,
    wanted: tuple[bool, bool, bool],
    out: Any = None,
) -> tuple[Any, ...]:
    """The wanted ones of the gradients in x, weight and bias of `row_norm_forward`; the last two in their shape.

    dx = rstd (g - mean of g - xhat mean of (g xhat)),  g = dy weight
    """
    rows, groups, k, m = split
    work, shape = mean.dtype, (rows, groups, k * m)
    outs = iter(out if out is not None else (None, None, None))
    dx = next(outs) if wanted[0] else None
    dx = np.empty(x.shape, x.dtype) if dx is None else dx
    x3, dy3, dx3 = x.reshape(shape), dy.reshape(shape), dx.reshape(shape)
    weight = _spread(weight, split, work)
    rstd, size = (1 / np.sqrt(var + eps))[..., None], work.type(k * m)
    dw = np.zeros(groups * k)
    db = np.zeros(groups * k)
    for block in _blocks(rows, groups * k * m):
        g = dy3[block].astype(work, copy=False)
        xhat = np.subtract(x3[block], mean[block][..., None], dtype=work)
        xhat *= rstd[block]
        if wanted[1]:
            dw += _channel_sum((g * xhat).reshape(len(g), groups * k, m))
        if wanted[2]:
            db += _channel_sum(g.reshape(len(g), groups * k, m))
        if wanted[0]:
            g = g if weight is None else g * weight
            xhat *= (np.einsum("rgi,rgi->rg", g, xhat) / size)[..., None]
            xhat += (np.einsum("rgi->rg", g) / size)[..., None]
            np.subtract(g, xhat, out=xhat)
            np.multiply(xhat, rstd[block], out=dx3[block], casting="unsafe")
    results = [dx] if wanted[0] else []
    for d, needed in ((dw, wanted[1]), (db, wanted[2])):
        if needed:
            results.append(_stored(d.reshape(affine_shape), work, next(outs)))
    return tuple(results)


def _spread(values: Any, split: Split, work: Any) -> Any:
    """One value a channel, to broadcast against (rows, groups, k * m)."""
    if values is None:
        return None
    _, groups, k, m = split
    values = values.astype(work, copy=False).reshape(-1)
    return (values if m == 1 else np.repeat(values, m)).reshape(groups, k * m)
