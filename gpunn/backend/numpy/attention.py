"""Attention and its gradients, in blocks of rows: the matrix of scores is never there as a whole.

Half precision is computed in float32. Blocks depend on the shapes only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .dropout import keep
from .softmax import _working_type
from .workspace import Take, scratch

_BLOCK = 1 << 17
"""Scores of a block. With fewer of them the products have too few rows for BLAS; two blocks of float64 are all that a
thread has from the beginning. Dropout takes a third one and a half: there a block has half as many."""
_BOOL, _FLOAT32 = np.dtype(np.bool_), np.dtype(np.float32)


def attention_forward(
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    scale: float,
    causal: bool,
    p: float = 0.0,
    seed: int = 0,
    call: int = 0,
    offset: int = 0,
    out: Any = None,
) -> tuple[Any, Any]:
    """softmax(scale Q K^T + M) V (..., L, Ev), and the logarithm of each row's sum (..., L).

    The weights go through `dropout` before V.
    """
    drop = (p, seed, call, offset) if p else None
    work = _working_type(q.dtype)
    o, lse = out or (np.empty((*q.shape[:-1], v.shape[-1]), q.dtype), np.empty(q.shape[:-1], work))
    q3, k3, v3, o3 = map(_matrices, (q, k, v, o))
    lse3 = lse.reshape(*q3.shape[:2], 1)
    for some, rows, keys in _parts(q3.shape[0], q.shape[-2], k.shape[-2], causal, drop):
        with scratch() as take:
            s = _scores(q3, k3, _mask_block(mask, q, k, some, rows, keys), (some, rows, keys), scale, causal, take)
            m = np.maximum.reduce(s, axis=-1, keepdims=True, initial=-math.inf)
            base = _finite(m)
            np.exp(np.subtract(s, base, out=s), out=s)
            total = np.add.reduce(s, axis=-1, keepdims=True)
            nothing = total == 0
            with np.errstate(divide="ignore"):
                lse3[some, rows] = np.log(total) + base
            total[nothing] = 1
            if drop is not None:
                s *= _factors(drop, q3, k3.shape[1], (some, rows, keys), s, take)
            target = o3[some, rows]
            y = np.matmul(s, _wide(v3[some, keys], work), out=target if target.dtype == work else None)
            np.divide(y, total, out=target, casting="unsafe")
    return o, lse


def attention_backward(
    dy: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    o: Any,
    lse: Any,
    scale: float,
    causal: bool,
    wanted: tuple[bool, bool, bool],
    p: float = 0.0,
    seed: int = 0,
    call: int = 0,
    offset: int = 0,
    out: Any = None,
) -> tuple[Any, ...]:
    """The wanted ones of dQ, dK and dV, from dO and what `attention_forward` gave."""
    drop = (p, seed, call, offset) if p else None
    work = lse.dtype
    results = out or tuple(np.empty(x.shape, x.dtype) for x, w in zip((q, k, v), wanted) if w)
    sums = [_matrices(x) if x.dtype == work else np.empty(_matrices(x).shape, work) for x in results]
    dy3, q3, k3, v3, o3 = map(_matrices, (dy, q, k, v, o))
    lse3 = lse.reshape(*q3.shape[:2], 1)
    for x in sums:
        x[...] = 0
    each = iter(sums)
    dq, dk, dv = (next(each) if w else None for w in wanted)
    for some, rows, keys in _parts(q3.shape[0], q.shape[-2], k.shape[-2], causal, drop):
        with scratch() as take:
            part = some, rows, keys
            weights = _scores(q3, k3, _mask_block(mask, q, k, *part), part, scale, causal, take)
            np.exp(np.subtract(weights, _finite(lse3[some, rows]), out=weights), out=weights)
            g = _wide(dy3[some, rows], work)
            d = np.einsum("nle,nle->nl", g, _wide(o3[some, rows], work))[..., None]
            ds = np.matmul(g, _wide(v3[some, keys], work).swapaxes(1, 2), out=take(weights.shape, work))
            used = weights
            if drop is not None:
                factors = _factors(drop, q3, k3.shape[1], part, weights, take)
                ds *= factors
                used = np.multiply(weights, factors, out=factors)
            if dv is not None:
                dv[some, keys] += np.matmul(used.swapaxes(1, 2), g)
            ds -= d
            ds *= weights
            if dq is not None:
                np.matmul(ds, _wide(k3[some, keys], work), out=dq[some, rows])
            if dk is not None:
                dk[some, keys] += np.matmul(ds.swapaxes(1, 2), _wide(q3[some, rows], work))
    for d in (dq, dk):
        if d is not None:
            d *= work.type(scale)
    for result, x in zip(results, sums):
        if result.dtype != work:
            result[...] = x.reshape(result.shape)
    return results


def _matrices(x: Any) -> Any:
    """All dimensions before the last two as one."""
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def _parts(matrices: int, queries: int, keys: int, causal: bool, drop: Any) -> Iterator[tuple[slice, slice, slice]]:
    """Blocks of the scores: which matrices, which of their rows, and the keys that these have."""
    block = _BLOCK if drop is None else _BLOCK // 2
    some, length = (max(1, block // max(1, size)) for size in (queries * keys, keys))
    for first in range(0, matrices, some):
        for row in range(0, queries, length):
            end = min(row + length, queries)
            yield slice(first, first + some), slice(row, end), slice(0, min(keys, end) if causal else keys)


def _scores(q: Any, k: Any, mask: Any, part: Any, scale: float, causal: bool, take: Take) -> Any:
    """scale Q K^T + M of a block, -inf where a query has not this key."""
    some, rows, keys = part
    work = _working_type(q.dtype)
    first = np.multiply(q[some, rows], work.type(scale), dtype=work)
    second = _wide(k[some, keys], work)
    s = np.matmul(first, second.swapaxes(1, 2), out=take((*first.shape[:2], second.shape[1]), work))
    if mask is not None:
        s += mask
    if causal:
        np.copyto(s, -math.inf, where=np.arange(keys.stop) > np.arange(rows.start, rows.stop)[:, None])
    return s


def _factors(drop: Any, q: Any, columns: int, part: Any, s: Any, take: Take) -> Any:
    """What dropout multiplies a block of weights by, whose places in the whole matrices follow one another by rows."""
    p, seed, call, place = drop
    some, rows, keys = part
    factors = take(s.shape, s.dtype)
    if p >= 1:
        factors.fill(0)
        return factors
    shape = (*s.shape[:2], columns)
    numbers, kept = take(shape, _FLOAT32), take(shape, _BOOL)
    keep(p, seed, call, place + (some.start * q.shape[1] + rows.start) * columns, numbers, kept)
    return np.multiply(kept[..., keys], s.dtype.type(1 / (1 - p)), out=factors)


def _mask_block(mask: Any, q: Any, k: Any, some: slice, rows: slice, keys: slice) -> Any:
    """The mask (..., L, S) of a block of scores, in the working type."""
    if mask is None:
        return None
    batch = q.shape[:-2]
    full = np.broadcast_to(mask, (*batch, q.shape[-2], k.shape[-2]))[..., rows, keys]
    if batch:
        which = np.arange(math.prod(batch))[some]
        full = full[np.unravel_index(which, batch)]
    return full.astype(_working_type(mask.dtype), copy=False)


def _finite(m: Any) -> Any:
    """m, and 0 in the place of -inf: what is subtracted from scores, also where there is no key."""
    return np.where(m == -math.inf, m.dtype.type(0), m)


def _wide(x: Any, work: Any) -> Any:
    return x.astype(work, copy=False)
