"""Optimizer updates on flat arrays.

The parameters p, their gradient g and their moments are arrays (n,) of one type, row-major. An update is up to a dozen
elementwise operations, done chunk by chunk (`gpunn.backend.numpy.walk`).

The results are new arrays (p, moments...), None where a moment is, or are written to `out`, a tuple of the same order.
Each of `out` may be the input of its place, which makes the update in place; it may overlap no other input.

The formulas, with their sources, stand at the classes of `gpunn.optim`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .blas import add_product, add_scaled
from .factors import rounds as _rounds
from .linear import _sliced_product
from .memory import address as _address
from .walk import CHUNK as _CHUNK
from .walk import constants as _constants
from .walk import descent as _descent
from .walk import walk as _walk
from .workers import in_parts, product_parts
from .workspace import scratch, taken

_PRODUCT_CHUNK, _PRODUCT_ROWS = 1 << 17, 256


def sgd_step(
    p: Any,
    g: Any,
    buf: Any,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    first: bool,
    out: Any = None,
) -> tuple[Any, Any]:
    """(p, buf) after a step of `gpunn.optim.SGD`. `buf` is None without momentum, and not read where `first`."""
    rate, mu, share, decay = _constants(p, lr, momentum, 1 - dampening, weight_decay or None)

    def update(p: Any, buf: Any, g: Any, s: Any, t: Any) -> None:
        d = _descent(p, g, decay, maximize, s)
        if buf is not None:
            if first:
                np.copyto(buf, d)
            else:
                np.multiply(buf, mu, out=buf)
                np.add(buf, np.multiply(d, share, out=t) if dampening else d, out=buf)
            if nesterov:
                np.multiply(buf, mu, out=t)
                d = np.add(d, t, out=t)
            else:
                d = buf
        np.multiply(d, rate, out=s)
        np.subtract(p, s, out=p)

    return _walk(update, (p, buf), g, out)


@_rounds(2, 3)
def sgd_product_step(
    p: Any,
    buf: Any,
    a: Any,
    b: Any,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    maximize: bool,
    first: bool,
) -> None:
    """`sgd_step` in place for the gradient a^T b, with matrices p and buf. Needs `blas.available`.

    The update is linear in the gradient, so the product is added to p, or to buf, and the gradient lies nowhere: of the
    five times that a step goes through memory of that size, two are left. Results differ from `sgd_step` by rounding.
    """
    sign = -1.0 if maximize else 1.0
    share = 1.0 if first else 1.0 - dampening

    def part(rows: slice, _: int) -> None:
        factor = a[:, rows].T
        if buf is None:
            add_product(p[rows], factor, b, -sign * lr, 1 - lr * weight_decay)
            return
        add_product(buf[rows], factor, b, sign * share, 0.0 if first else momentum)
        if weight_decay:
            add_scaled(buf[rows], p[rows], share * weight_decay)
        add_scaled(p[rows], buf[rows], -lr)

    in_parts(part, product_parts(len(p), len(b), *p.shape), len(p))


@_rounds(3, 4)
def walk_product(update: Callable[[Any, Any, list[Any]], None], p: Any, moments: list[Any], a: Any, b: Any) -> None:
    """Call ``update(p, g, moments)`` on flat pieces of matrices, with some rows of the gradient g = a^T b at a time."""
    rows, columns = _product_rows(*p.shape), p.shape[1]
    with scratch() as take:
        memory = take((rows, columns), p.dtype)
        for start in range(0, len(p), rows):
            some = slice(start, min(start + rows, len(p)))
            g = _sliced_product(a[:, some].T, b, memory[: some.stop - start])
            update(p[some].reshape(-1), g.reshape(-1), [m[some].reshape(-1) for m in moments])


def walk_product_needs(p: Any, a: Any, scratches: int) -> int:
    """What `walk_product` takes with an update inside that computes in so many arrays, by the shapes of p and a."""
    rows = _product_rows(*p.shape)
    return taken(a.dtype, (rows, p.shape[1])) + scratches * taken(a.dtype, (min(_CHUNK, rows * p.shape[1]),))


def _product_rows(rows: int, columns: int) -> int:
    """Rows of a gradient that stay in a cache, but not few: the product goes through b once for all of them."""
    return min(rows, max(_PRODUCT_CHUNK // max(columns, 1), _PRODUCT_ROWS))


def adagrad_step(
    p: Any,
    g: Any,
    total: Any,
    step: float,
    lr: float,
    lr_decay: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any]:
    """(p, total) after step number `step`, counted from 1, of `gpunn.optim.Adagrad`; `total` is the sum of g^2."""
    rate, epsilon, decay = _constants(p, lr / (1 + (step - 1) * lr_decay), eps, weight_decay or None)

    def update(p: Any, total: Any, g: Any, s: Any, t: Any) -> None:
        d = _descent(p, g, decay, maximize, s)
        np.multiply(d, d, out=t)
        np.add(total, t, out=total)
        np.sqrt(total, out=t)
        np.add(t, epsilon, out=t)
        np.divide(d, t, out=t)
        np.multiply(t, rate, out=t)
        np.subtract(p, t, out=p)

    return _walk(update, (p, total), g, out)


def rmsprop_step(
    p: Any,
    g: Any,
    v: Any,
    average: Any,
    buf: Any,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any, Any, Any]:
    """(p, v, average, buf) after a step of `gpunn.optim.RMSprop`.

    `average`, of the gradient, is None where v is not centered; `buf` is None without momentum.
    """
    rate, keep, share, epsilon, mu, zero = _constants(p, lr, alpha, 1 - alpha, eps, momentum, 0)
    (decay,) = _constants(p, weight_decay or None)

    def update(p: Any, v: Any, average: Any, buf: Any, g: Any, s: Any, t: Any) -> None:
        d = _descent(p, g, decay, maximize, s)
        np.multiply(d, d, out=t)
        np.multiply(t, share, out=t)
        np.multiply(v, keep, out=v)
        np.add(v, t, out=v)
        if average is None:
            np.sqrt(v, out=t)
        else:
            np.subtract(d, average, out=t)
            np.multiply(t, share, out=t)
            np.add(average, t, out=average)
            np.multiply(average, average, out=t)
            np.subtract(v, t, out=t)
            np.maximum(t, zero, out=t)  # a variance; rounding makes it negative where gradients hardly change
            np.sqrt(t, out=t)
        np.add(t, epsilon, out=t)
        np.divide(d, t, out=t)
        if buf is not None:
            np.multiply(buf, mu, out=buf)
            np.add(buf, t, out=buf)
            np.multiply(buf, rate, out=t)
        else:
            np.multiply(t, rate, out=t)
        np.subtract(p, t, out=p)

    return _walk(update, (p, v, average, buf), g, out)


def adam_step(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    v_max: Any,
    step: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any, Any, Any]:
    """(p, m, v, v_max) after step number `step`, counted from 1, of `gpunn.optim.Adam`, or `AdamW` if `decoupled`.

    `v_max` is None without AMSGrad.
    """
    # lr m^ / (sqrt(v^) + eps) with m^ = m / c1 and v^ = v / c2 is (lr sqrt(c2) / c1) m / (sqrt(v) + eps sqrt(c2)):
    # one pass less.
    root = (1 - beta2**step) ** 0.5
    rate, epsilon = lr * root / (1 - beta1**step), eps * root
    rate, epsilon, share1, keep2, share2 = _constants(p, rate, epsilon, 1 - beta1, beta2, 1 - beta2)
    l2 = weight_decay if weight_decay and not decoupled else None
    shrink = 1 - lr * weight_decay if weight_decay and decoupled else None
    l2, shrink = _constants(p, l2, shrink)

    def update(p: Any, m: Any, v: Any, v_max: Any, g: Any, s: Any, t: Any) -> None:
        if shrink is not None:
            np.multiply(p, shrink, out=p)
        d = _descent(p, g, l2, maximize, s)
        np.subtract(d, m, out=t)
        np.multiply(t, share1, out=t)
        np.add(m, t, out=m)
        np.multiply(d, d, out=t)
        np.multiply(t, share2, out=t)
        np.multiply(v, keep2, out=v)
        np.add(v, t, out=v)
        if v_max is not None:
            np.maximum(v_max, v, out=v_max)
        np.sqrt(v if v_max is None else v_max, out=t)
        np.add(t, epsilon, out=t)
        np.divide(m, t, out=t)
        np.multiply(t, rate, out=t)
        np.subtract(p, t, out=p)

    return _walk(update, (p, m, v, v_max), g, out)


def distance(a: Any, b: Any) -> int | None:
    """How many elements after `a` does `b` start, where both are row-major pieces of one flat array; else None.

    The flat array may be of another type, as the arena of a plan is.
    """
    base = a.base
    if base is None or b.base is not base or not isinstance(base, np.ndarray) or base.ndim != 1:
        return None
    if not (a.dtype == b.dtype and a.flags.c_contiguous and b.flags.c_contiguous and base.flags.c_contiguous):
        return None
    elements, rest = divmod(_address(b) - _address(a), a.itemsize)
    return None if rest else elements


def extend(a: Any, n: int) -> Any:
    """The `n` elements of the flat array that `a` is a row-major piece of, from where `a` starts."""
    start = _address(a) - _address(a.base)
    return a.base.view(np.uint8)[start : start + n * a.itemsize].view(a.dtype)
