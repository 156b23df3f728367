"""Further optimizer updates on flat arrays, under the contract of `gpunn.backend.numpy.optimizer`.

What depends on the step alone comes as a number: the classes of `gpunn.optim` compute it, in Python's float64, and
carry the formulas with their sources.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .walk import constants as _constants
from .walk import descent as _descent
from .walk import walk as _walk


def adadelta_step(
    p: Any,
    g: Any,
    v: Any,
    u: Any,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """(p, v, u) after a step of `gpunn.optim.Adadelta`; v is the mean of d^2, u that of the squared updates."""
    rate, keep, share, epsilon, decay = _constants(p, lr, rho, 1 - rho, eps, weight_decay or None)

    def update(p: Any, v: Any, u: Any, g: Any, s: Any, t: Any, r: Any) -> None:
        d = _descent(p, g, decay, maximize, s)
        np.multiply(d, d, out=t)
        np.multiply(t, share, out=t)
        np.multiply(v, keep, out=v)
        np.add(v, t, out=v)
        np.sqrt(np.add(v, epsilon, out=t), out=t)
        np.sqrt(np.add(u, epsilon, out=r), out=r)
        np.divide(r, t, out=t)
        np.multiply(t, d, out=t)
        np.multiply(t, t, out=r)
        np.multiply(r, share, out=r)
        np.multiply(u, keep, out=u)
        np.add(u, r, out=u)
        np.multiply(t, rate, out=t)
        np.subtract(p, t, out=p)

    return _walk(update, (p, v, u), g, out, scratches=3)


def adamax_step(
    p: Any,
    g: Any,
    m: Any,
    u: Any,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """(p, m, u) after a step of `gpunn.optim.Adamax`, with the rate lr / (1 - beta1^t)."""
    step, share, keep, epsilon, decay = _constants(p, rate, 1 - beta1, beta2, eps, weight_decay or None)

    def update(p: Any, m: Any, u: Any, g: Any, s: Any, t: Any) -> None:
        d = _descent(p, g, decay, maximize, s)
        np.subtract(d, m, out=t)
        np.multiply(t, share, out=t)
        np.add(m, t, out=m)
        np.abs(d, out=t)
        np.add(t, epsilon, out=t)
        np.multiply(u, keep, out=u)
        np.maximum(u, t, out=u)
        np.divide(m, u, out=t)
        np.multiply(t, step, out=t)
        np.subtract(p, t, out=p)

    return _walk(update, (p, m, u), g, out)


def nadam_step(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    gradient_rate: float,
    moment_rate: float,
    beta1: float,
    beta2: float,
    correction: float,
    eps: float,
    shrink: float,
    weight_decay: float,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """(p, m, v) after a step of `gpunn.optim.NAdam`: p shrinks, then goes by both rates over sqrt(v / correction)."""
    by_g, by_m, share1, keep2, share2 = _constants(p, gradient_rate, moment_rate, 1 - beta1, beta2, 1 - beta2)
    corrected, epsilon, factor = _constants(p, 1 / correction, eps, None if shrink == 1 else shrink)
    (decay,) = _constants(p, weight_decay or None)

    def update(p: Any, m: Any, v: Any, g: Any, s: Any, t: Any, r: Any) -> None:
        if factor is not None:
            np.multiply(p, factor, out=p)
        d = _descent(p, g, decay, maximize, s)
        _averages(d, m, v, share1, keep2, share2, t)
        np.sqrt(np.multiply(v, corrected, out=t), out=t)
        np.add(t, epsilon, out=t)
        np.multiply(d, by_g, out=s)
        np.multiply(m, by_m, out=r)
        np.add(s, r, out=s)
        np.divide(s, t, out=s)
        np.subtract(p, s, out=p)

    return _walk(update, (p, m, v), g, out, scratches=3)


def radam_step(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    rectified: float,
    shrink: float,
    weight_decay: float,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """(p, m, v) after a step of `gpunn.optim.RAdam`: m is divided by sqrt(v) + eps where `rectified` is not 0."""
    step, share1, keep2, share2, epsilon = _constants(p, rate, 1 - beta1, beta2, 1 - beta2, eps)
    factor, decay = _constants(p, None if shrink == 1 else shrink, weight_decay or None)

    def update(p: Any, m: Any, v: Any, g: Any, s: Any, t: Any) -> None:
        if factor is not None:
            np.multiply(p, factor, out=p)
        _averages(_descent(p, g, decay, maximize, s), m, v, share1, keep2, share2, t)
        if rectified:
            np.add(np.sqrt(v, out=t), epsilon, out=t)
            np.divide(m, t, out=t)
            np.multiply(t, step, out=t)
        else:
            np.multiply(m, step, out=t)
        np.subtract(p, t, out=p)

    return _walk(update, (p, m, v), g, out)


def asgd_step(
    p: Any,
    g: Any,
    average: Any,
    eta: float,
    shrink: float,
    mu: float,
    weight_decay: float,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any]:
    """(p, average) after a step of `gpunn.optim.ASGD`: p is shrink p - eta d, and moves the average by the share mu."""
    rate, factor, share, decay = _constants(p, eta, shrink, None if mu == 1 else mu, weight_decay or None)

    def update(p: Any, average: Any, g: Any, s: Any, t: Any) -> None:
        d = _descent(p, g, decay, maximize, s)
        np.multiply(d, rate, out=t)
        np.multiply(p, factor, out=p)
        np.subtract(p, t, out=p)
        if share is None:
            np.copyto(average, p)
        else:
            np.subtract(p, average, out=t)
            np.multiply(t, share, out=t)
            np.add(average, t, out=average)

    return _walk(update, (p, average), g, out)


def rprop_step(
    p: Any,
    g: Any,
    before: Any,
    size: Any,
    minus: float,
    plus: float,
    smallest: float,
    largest: float,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any, Any]:
    """(p, before, size) after a step of `gpunn.optim.Rprop`; `before` is the gradient that counted at the last one."""
    down, up, low, high, one, zero = _constants(p, minus, plus, smallest, largest, 1, 0)

    def update(p: Any, before: Any, size: Any, g: Any, s: Any, t: Any, r: Any) -> None:
        d = _descent(p, g, None, maximize, s)
        np.sign(np.multiply(d, before, out=t), out=t)
        # The factor: plus where the sign t is 1, minus where it is -1, 1 where it is 0; not a number where it is none.
        np.multiply(np.maximum(t, zero, out=r), up, out=r)
        np.multiply(size, r, out=before)  # free here: scratch until the gradient goes there
        np.multiply(np.minimum(t, zero, out=r), down, out=r)
        np.multiply(size, r, out=r)
        np.subtract(before, r, out=before)
        np.subtract(one, np.abs(t, out=r), out=r)
        np.multiply(size, r, out=size)
        np.add(size, before, out=size)
        np.minimum(np.maximum(size, low, out=size), high, out=size)
        np.copyto(before, d)
        np.copyto(before, zero, where=np.less(t, zero, out=r.view(np.bool_)[: len(r)]))
        np.sign(before, out=t)
        np.multiply(t, size, out=t)
        np.subtract(p, t, out=p)

    return _walk(update, (p, before, size), g, out, scratches=3)


def lion_step(
    p: Any,
    g: Any,
    m: Any,
    lr: float,
    beta1: float,
    beta2: float,
    shrink: float,
    maximize: bool,
    out: Any = None,
) -> tuple[Any, Any]:
    """(p, m) after a step of `gpunn.optim.Lion`: p is shrink p - lr sign(beta1 m + (1 - beta1) d)."""
    rate, keep1, share1, keep2, share2 = _constants(p, lr, beta1, 1 - beta1, beta2, 1 - beta2)
    (factor,) = _constants(p, None if shrink == 1 else shrink)

    def update(p: Any, m: Any, g: Any, s: Any, t: Any, r: Any) -> None:
        if factor is not None:
            np.multiply(p, factor, out=p)
        d = _descent(p, g, None, maximize, s)
        np.multiply(m, keep1, out=t)
        np.multiply(d, share1, out=r)
        np.sign(np.add(t, r, out=t), out=t)
        np.multiply(t, rate, out=t)
        np.subtract(p, t, out=p)
        np.multiply(m, keep2, out=m)
        np.multiply(d, share2, out=r)
        np.add(m, r, out=m)

    return _walk(update, (p, m), g, out, scratches=3)


def _averages(d: Any, m: Any, v: Any, share1: Any, keep2: Any, share2: Any, t: Any) -> None:
    """Move the mean m towards d, and v towards d^2; `t` is scratch."""
    np.subtract(d, m, out=t)
    np.multiply(t, share1, out=t)
    np.add(m, t, out=m)
    np.multiply(d, d, out=t)
    np.multiply(t, share2, out=t)
    np.multiply(v, keep2, out=v)
    np.add(v, t, out=v)
