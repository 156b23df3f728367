"""Recurrent layers, all steps of one direction: one product a step, and the gates in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import sigmoid
from .workspace import declares, scratch, taken


def recurrent_forward(
    mode: str, x: Any, weight: Any, bias: Any, h: Any, c: Any, reverse: bool, out: Any = None
) -> tuple[Any, ...]:
    """The states after each step from x, the input's part of the gates, and the first states h and c.

    x (length, batch, gates size), weight (gates size, size), bias (gates size,) or None, h and c (batch, size).
    Returns (h,) of a "tanh" or "relu" layer, (h, c, kept) of an "lstm", (h, kept) of a "gru"; states are
    (length, batch, size), kept (length, batch, 4 size) has the gates (i, f, g, o), or (r, z, n, W_n h + b_n).
    """
    (length, batch, _), size = x.shape, weight.shape[1]
    if out is None:
        widths = {"lstm": (size, size, 4 * size), "gru": (size, 4 * size)}.get(mode, (size,))
        out = tuple([np.empty((length, batch, n), x.dtype) for n in widths])
    with scratch() as take:
        p, t = take((batch, x.shape[2]), x.dtype), take((batch, size), x.dtype)
        for at in range(length)[:: -1 if reverse else 1]:
            np.matmul(h, weight.T, out=p)
            if bias is not None:
                p += bias
            after = tuple([states[at] for states in out])
            if mode == "lstm":
                _lstm_step(x[at], p, c, t, *after)
                c = after[1]
            elif mode == "gru":
                _gru_step(x[at], p, h, t, *after)
            else:
                np.add(x[at], p, out=after[0])
                _ = np.tanh(after[0], out=after[0]) if mode == "tanh" else np.maximum(after[0], 0, out=after[0])
            h = after[0]
    return tuple(out)


def _lstm_step(x: Any, p: Any, cell: Any, t: Any, h: Any, c: Any, kept: Any) -> None:
    i, f, g, o = _gates(kept)
    size = h.shape[1]
    np.add(x, p, out=kept)
    sigmoid(kept[:, : 2 * size], out=kept[:, : 2 * size])
    np.tanh(g, out=g)
    sigmoid(o, out=o)
    np.multiply(f, cell, out=c)
    c += np.multiply(i, g, out=t)
    np.multiply(o, np.tanh(c, out=t), out=h)


def _gru_step(x: Any, p: Any, before: Any, t: Any, h: Any, kept: Any) -> None:
    n, size = _gates(kept)[2], h.shape[1]
    rz = kept[:, : 2 * size]
    np.add(x[:, : 2 * size], p[:, : 2 * size], out=rz)
    sigmoid(rz, out=rz)
    kept[:, 3 * size :] = p[:, 2 * size :]
    np.multiply(kept[:, :size], p[:, 2 * size :], out=n)
    n += x[:, 2 * size :]
    np.tanh(n, out=n)
    np.subtract(before, n, out=t)
    t *= kept[:, size : 2 * size]
    np.add(n, t, out=h)


def recurrent_backward(
    mode: str,
    dh: Any,
    dc: Any,
    dkept: Any,
    h: Any,
    c: Any,
    kept: Any,
    weight: Any,
    h0: Any,
    c0: Any,
    reverse: bool,
    out: Any = None,
) -> tuple[Any, ...]:
    """The gradients of x, of a "gru" that of W h + b too, of h0, and of an "lstm" of c0.

    From those of all that `recurrent_forward` returned, None for zeros, and what it took and returned.
    """
    (length, batch, size), width = h.shape, weight.shape[0]
    if out is None:
        steps, state = (length, batch, width), (batch, size)
        shapes = {"lstm": (steps, state, state), "gru": (steps, steps, state)}.get(mode, (steps, state))
        out = tuple([np.empty(shape, h.dtype) for shape in shapes])
    out = tuple(out)
    dx, dp = out[0], out[1 if mode == "gru" else 0]
    dcell = out[2] if mode == "lstm" else None
    d = out[2] if mode == "gru" else out[1]  # of the state
    d[...] = 0
    if dcell is not None:
        dcell[...] = 0
    with scratch() as take:
        t, u = take((batch, size), h.dtype), take((batch, size), h.dtype)
        order = range(length)[:: 1 if reverse else -1]
        for at, first in zip(order, [*order[1:], None]):
            before = h0 if first is None else h[first]
            if dh is not None:
                d += dh[at]
            extra = None if dkept is None else dkept[at]
            if mode == "lstm":
                cell = c0 if first is None else c[first]
                if dc is not None:
                    dcell += dc[at]
                _lstm_step_backward(d, dcell, extra, c[at], cell, kept[at], dx[at], t)
                np.matmul(dp[at], weight, out=d)
            elif mode == "gru":
                _gru_step_backward(d, extra, before, kept[at], dx[at], dp[at], t)
                np.matmul(dp[at], weight, out=u)
                d *= _gates(kept[at])[1]
                d += u
            else:
                if mode == "tanh":
                    np.subtract(1, np.multiply(h[at], h[at], out=t), out=t)
                    np.multiply(d, t, out=dx[at])
                else:
                    dx[at] = d
                    np.copyto(dx[at], 0, where=h[at] <= 0)
                np.matmul(dp[at], weight, out=d)
    return out


def _lstm_step_backward(d: Any, dcell: Any, dkept: Any, c: Any, cell: Any, kept: Any, dp: Any, t: Any) -> None:
    """dp from d, the gradient of h, and dcell, that of c, which becomes that of the cell before."""
    i, f, g, o = _gates(kept)
    di, df, dg, do = _gates(dp)
    y = np.tanh(c, out=t)
    np.multiply(d, y, out=do)
    np.multiply(y, y, out=t)
    np.subtract(1, t, out=t)
    t *= o
    t *= d
    dcell += t
    np.multiply(dcell, g, out=di)
    np.multiply(dcell, cell, out=df)
    np.multiply(dcell, i, out=dg)
    if dkept is not None:
        dp += dkept
    for da, a in ((di, i), (df, f), (do, o)):
        _times_sigmoid_slope(da, a, t)
    _times_tanh_slope(dg, g, t)
    dcell *= f


def _gru_step_backward(d: Any, dkept: Any, before: Any, kept: Any, dx: Any, dp: Any, t: Any) -> None:
    """dx and dp from d, the gradient of h."""
    r, z, n, p = _gates(kept)
    size = d.shape[1]
    dr, dz, dn = dx[:, :size], dx[:, size : 2 * size], dx[:, 2 * size :]
    np.subtract(1, z, out=t)
    np.multiply(d, t, out=dn)
    np.subtract(before, n, out=t)
    np.multiply(d, t, out=dz)
    if dkept is not None:
        dn += dkept[:, 2 * size : 3 * size]
        dz += dkept[:, size : 2 * size]
    _times_tanh_slope(dn, n, t)
    np.multiply(dn, p, out=dr)
    if dkept is not None:
        dr += dkept[:, :size]
    _times_sigmoid_slope(dr, r, t)
    _times_sigmoid_slope(dz, z, t)
    dp[:, : 2 * size] = dx[:, : 2 * size]
    np.multiply(dn, r, out=dp[:, 2 * size :])
    if dkept is not None:
        dp[:, 2 * size :] += dkept[:, 3 * size :]


def _gates(a: Any) -> tuple[Any, ...]:
    """The four parts of each row."""
    size = a.shape[1] // 4
    return tuple([a[:, k * size : (k + 1) * size] for k in range(4)])


def _times_sigmoid_slope(d: Any, y: Any, t: Any) -> None:
    np.subtract(1, y, out=t)
    t *= y
    d *= t


def _times_tanh_slope(d: Any, y: Any, t: Any) -> None:
    np.subtract(1, np.multiply(y, y, out=t), out=t)
    d *= t


@declares("recurrent_forward")
def _recurrent_forward_needs(
    mode: str, x: Any, weight: Any, bias: Any, h: Any, c: Any, reverse: bool, out: Any = None
) -> int:
    return taken(x.dtype, (x.shape[1], x.shape[2]), (x.shape[1], weight.shape[1]))


@declares("recurrent_backward")
def _recurrent_backward_needs(mode: str, dh: Any, dc: Any, dkept: Any, h: Any, *others: Any, out: Any = None) -> int:
    return taken(h.dtype, *((h.shape[1], h.shape[2]),) * 2)
