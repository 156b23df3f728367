"""Losses on class labels, and the logarithms of binary cross entropy. `out` is row-major."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from .blocks import _BLOCK, _block_length
from .softmax import _around, _fold, _parts, _working_type
from .workspace import declares, scratch, taken

_INDEX, _INT64 = np.dtype(np.intp), np.dtype(np.int64)
_FEW = 128


def softmax_cross_entropy(
    x: Any, target: Any, weight: Any, reduction: str, ignore_index: int, label_smoothing: float, out: Any = None
) -> tuple[Any, Any, Any]:
    """The loss of logits x (n, classes, ...) for labels (n, ...), with m = max x and s = sum of e^(x - m) per label.

    The loss of a label y is ln s - (x_y - m): the largest exponent is 0, so nothing overflows, and the probability is
    never rounded before its logarithm is taken.

    Raises:
        IndexError: a label is no class.
    """
    if _is_small_mean(x, target, weight, reduction, ignore_index, label_smoothing):
        return _small_mean(
            x, target, *((np.empty((), x.dtype), *np.empty((2, len(x)), x.dtype)) if out is None else out)
        )
    axis, classes = _class_axis(x)
    source, work = _fold(x, axis), _working_type(x.dtype)
    shape = source.shape[0], source.shape[2]
    weight = None if weight is None else weight.astype(work)
    loss_out, m, s = (None, np.empty(target.shape, work), np.empty(target.shape, work)) if out is None else out
    with scratch() as take:
        labels, valid = _labels(target, classes, ignore_index, shape, "cross_entropy")
        top, total = m.reshape(shape), s.reshape(shape)
        loss, smooth = take(shape, work), take(shape, work) if label_smoothing else None
        for part, rows in _parts(source.shape):
            with scratch():
                v = source[part]
                z = take(v.shape, work)
                np.copyto(z, v)
                np.maximum.reduce(z, axis=1, out=top[rows])
                np.subtract(z, top[rows][:, None], out=z)
                z.take(_positions(labels[rows], classes, take), out=loss[rows], mode="clip")
                if smooth is not None:
                    np.add.reduce(z if weight is None else z * weight[:, None], axis=1, out=smooth[rows])
                np.add.reduce(np.exp(z, out=z), axis=1, out=total[rows])
        log_s = np.log(total, out=take(shape, work))
        np.subtract(log_s, loss, out=loss)
        weights = _label_weights(labels, valid, weight)
        if weights is not None:
            loss *= weights
        if smooth is not None:
            loss *= 1 - label_smoothing
            loss += (label_smoothing / classes) * (_total(weight, classes) * log_s - smooth)
        return _reduced(loss, valid, weights, reduction, x.dtype, target.shape, loss_out), m, s


def softmax_cross_entropy_backward(
    dy: Any,
    x: Any,
    target: Any,
    weight: Any,
    m: Any,
    s: Any,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    out: Any = None,
) -> Any:
    """The gradient of `softmax_cross_entropy` in x; (S - I_y) dy / n for a plain mean, S = e^(x - m) / s."""
    axis, classes = _class_axis(x)
    dx = np.empty(x.shape, x.dtype) if out is None else out
    if _is_small_mean(x, target, weight, reduction, ignore_index, label_smoothing):
        return _small_mean_backward(dy, x, target, m, s, dx)
    source, result, work = _fold(x, axis), _fold(dx, axis), m.dtype
    shape = source.shape[0], source.shape[2]
    weight = None if weight is None else weight.astype(work)
    with scratch() as take:
        labels, valid = _labels(target, classes, ignore_index, shape, "cross_entropy")
        weights = _label_weights(labels, valid, weight)
        g = hard = _per_label(dy, valid, weights, reduction, work, shape)
        if weights is not None:
            hard = hard * weights
        if label_smoothing:
            hard = hard * (1 - label_smoothing)
            soft = np.broadcast_to(g * (label_smoothing / classes), shape)
            factor = (hard + soft * _total(weight, classes)) / s.reshape(shape)
        else:
            factor = np.divide(hard, s.reshape(shape), out=take(shape, work))
        hard = np.broadcast_to(hard, shape)
        m = m.reshape(shape)
        for part, rows in _parts(source.shape):
            with scratch():
                v = source[part]
                p = take(v.shape, work)
                np.copyto(p, v)
                np.subtract(p, m[rows][:, None], out=p)
                np.exp(p, out=p)
                np.multiply(p, factor[rows][:, None], out=p)
                flat, places = p.reshape(-1), _positions(labels[rows], classes, take)
                picked = flat.take(places, out=take(places.shape, work), mode="clip")
                flat[places] = np.subtract(picked, hard[rows], out=picked)
                if label_smoothing:
                    p -= soft[rows][:, None] if weight is None else soft[rows][:, None] * weight[:, None]
                np.copyto(result[part], p, casting="unsafe")
    return dx


def softmax_cross_entropy_gradient(
    dy: Any,
    x: Any,
    target: Any,
    weight: Any,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    out: Any = None,
) -> tuple[Any, Any]:
    """The sum or mean of `softmax_cross_entropy`, and its gradient in x for the gradient dy in it."""
    how = reduction, ignore_index, label_smoothing
    loss, dx = out or (np.empty((), x.dtype), None)
    with scratch() as take:
        statistics = [take(target.shape, _working_type(x.dtype)) for _ in range(2)]
        loss, m, s = softmax_cross_entropy(x, target, weight, *how, out=(loss, *statistics))
        return loss, softmax_cross_entropy_backward(dy, x, target, weight, m, s, *how, out=dx)


def _is_small_mean(x: Any, target: Any, weight: Any, reduction: str, ignore_index: int, smoothing: float) -> bool:
    """Whether it is a plain mean over few samples (n, classes), as in most training steps.

    Then it takes half of the time if nothing is looked for, folded and cut into blocks; with more samples it is faster
    to add up columns than rows.
    """
    if weight is not None or smoothing or reduction != "mean" or x.ndim != 2:
        return False
    small = 0 < len(x) <= _FEW and 0 < x.size <= _BLOCK
    plain = small and x.dtype.itemsize > 2 and target.dtype is _INT64 and ignore_index < 0
    return plain and bool(np.maximum.reduce(target.view(np.uintp)) < x.shape[1])


def _small_mean(x: Any, labels: Any, loss: Any, m: Any, s: Any) -> tuple[Any, Any, Any]:
    n, classes = x.shape
    with scratch() as take:
        z, picked = take(x.shape, x.dtype), take((n,), x.dtype)
        np.maximum.reduce(x, axis=1, out=m)
        np.subtract(x, m[:, None], out=z)
        z.take(_places(labels, classes, take), out=picked, mode="clip")
        np.add.reduce(np.exp(z, out=z), axis=1, out=s)
        logarithms = np.log(s, out=z.reshape(-1)[:n])
        np.subtract(logarithms, picked, out=logarithms)
        np.divide(np.add.reduce(logarithms), n, out=loss)
    return loss, m, s


def _small_mean_backward(dy: Any, x: Any, labels: Any, m: Any, s: Any, dx: Any) -> Any:
    n, classes = x.shape
    with scratch() as take:
        g = np.divide(dy, n, dtype=x.dtype)
        p, picked = take(x.shape, x.dtype), take((n,), x.dtype)
        factor = np.divide(g, s, out=take((n,), x.dtype))
        np.subtract(x, m[:, None], out=p)
        np.multiply(np.exp(p, out=p), factor[:, None], out=p)
        flat, places = p.reshape(-1), _places(labels, classes, take)
        flat[places] = np.subtract(flat.take(places, out=picked, mode="clip"), g, out=picked)
        np.copyto(dx, p)
    return dx


def _places(labels: Any, classes: int, take: Any) -> Any:
    """Where [a, label] lies in a row-major array (n, classes)."""
    return np.add(labels, _first(len(labels), 1, classes)[:, 0], out=take(labels.shape, labels.dtype))


@declares("softmax_cross_entropy")
def _softmax_cross_entropy_needs(
    x: Any, target: Any, weight: Any, reduction: str, ignore_index: int, label_smoothing: float, out: Any = None
) -> int:
    work, (outer, inner, block) = _working_type(x.dtype), _folded_block(x)
    labels = (outer, inner)
    kept = taken(work, *[labels] * (2 if label_smoothing else 1))
    return kept + max(taken(work, block) + taken(_INDEX, (block[0], block[2])), taken(work, labels))


@declares("softmax_cross_entropy_backward")
def _softmax_cross_entropy_backward_needs(
    dy: Any,
    x: Any,
    target: Any,
    weight: Any,
    m: Any,
    s: Any,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
    out: Any = None,
) -> int:
    work, (outer, inner, block) = m.dtype, _folded_block(x)
    rows = (block[0], block[2])
    kept = 0 if label_smoothing else taken(work, (outer, inner))
    return kept + taken(work, block, rows) + taken(_INDEX, rows)


def _folded_block(x: Any) -> tuple[int, int, tuple[int, int, int]]:
    """The labels of logits x as (outer, inner), and the shape of the largest block of logits."""
    outer, classes, inner = _fold(x, _class_axis(x)[0]).shape
    if outer == 1:
        return outer, inner, (1, classes, _block_length(inner, classes))
    return outer, inner, (_block_length(outer, classes * inner), classes, inner)


def nll_loss(x: Any, target: Any, weight: Any, reduction: str, ignore_index: int, out: Any = None) -> Any:
    """-x_y for each label y of logarithms x (n, classes, ...), weighted and reduced.

    Raises:
        IndexError: a label is no class.
    """
    axis, classes = _class_axis(x)
    v, work = _around(x, axis), _working_type(x.dtype)
    labels, valid = _labels(target, classes, ignore_index, (v.shape[0], v.shape[2]), "nll_loss")
    weights = _label_weights(labels, valid, weight)
    with scratch() as take:
        picked = v.take(_positions(labels, classes, take), out=take(labels.shape, x.dtype), mode="clip")
        loss = take(labels.shape, work)
        np.copyto(loss, picked)
        np.negative(loss, out=loss)
        if weights is not None:
            loss *= weights
        return _reduced(loss, valid, weights, reduction, x.dtype, target.shape, out)


def nll_loss_backward(
    dy: Any, target: Any, weight: Any, classes: int, reduction: str, ignore_index: int, out: Any = None
) -> Any:
    """The gradient of `nll_loss` in x: at the labels -dy times weight, over the sum of the weights for a mean."""
    axis = min(target.ndim, 1)
    dx = np.empty((*target.shape[:axis], classes, *target.shape[axis:]), dy.dtype) if out is None else out
    dx.fill(0)
    v = _around(dx, axis)
    shape = v.shape[0], v.shape[2]
    labels, valid = _labels(target, classes, ignore_index, shape, "nll_loss")
    weights = _label_weights(labels, valid, weight)
    g = _per_label(dy, valid, weights, reduction, _working_type(dy.dtype), shape)
    with scratch() as take:
        places = _positions(labels, classes, take)
        v.reshape(-1)[places] = np.broadcast_to(-g if weights is None else -g * weights, shape)
    return dx


def binary_cross_entropy(x: Any, target: Any, out: Any = None) -> Any:
    """-(t ln x + (1 - t) ln(1 - x)), logarithms not below -100, for probabilities x.

    Raises:
        RuntimeError: an x is not in [0, 1].
    """
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        place = tuple(int(i) for i in np.argwhere(~((x >= 0) & (x <= 1)))[0])
        raise RuntimeError(
            "binary_cross_entropy: all elements of input should be between 0 and 1, "
            f"got {x[place]} at {list(place)}; for logits use binary_cross_entropy_with_logits"
        )
    work = _working_type(x.dtype)
    p, t = x.astype(work, copy=False), target.astype(work, copy=False)
    loss = (t - 1) * np.maximum(np.log1p(-p), -100)
    loss -= t * np.maximum(np.log(p), -100)
    return _stored(loss, x.dtype, x.shape, out)


def binary_cross_entropy_with_logits(x: Any, target: Any, pos_weight: Any, out: Any = None) -> Any:
    """p t ln(1 + e^-x) + (1 - t) ln(1 + e^x), broadcast.

    As ((1 - t) x + q max(-x, 0)) + q ln(1 + e^-|x|), q = 1 + (p - 1) t: nothing overflows, and for t = 0 or 1 what is
    in brackets is exactly 0 where the loss is small.
    """
    work = _working_type(x.dtype)
    z, t = x.astype(work, copy=False), target.astype(work, copy=False)
    tail = np.log1p(np.exp(-np.abs(z)))
    linear = np.maximum(-z, 0)
    if pos_weight is not None:
        q = 1 + (pos_weight.astype(work, copy=False) - 1) * t
        tail, linear = tail * q, linear * q
    loss = (1 - t) * z + linear + tail
    return _stored(loss, x.dtype, loss.shape, out)


def _class_axis(x: Any) -> tuple[int, int]:
    axis = min(x.ndim - 1, 1)
    return axis, x.shape[axis]


def _positions(labels: Any, classes: int, take: Any = None) -> Any:
    """Where [a, label, b] lies in a row-major array (outer, classes, inner); in scratch memory, if there is some."""
    first = _first(*labels.shape, classes)
    places = np.multiply(labels, labels.shape[1], out=None if take is None else take(labels.shape, labels.dtype))
    return np.add(places, first, out=places)


@lru_cache(maxsize=16)
def _first(outer: int, inner: int, classes: int) -> Any:
    """Where [a, 0, b] lies in a row-major array (outer, classes, inner)."""
    first = np.arange(outer)[:, None] * (classes * inner) + np.arange(inner)
    first.flags.writeable = False
    return first


def _labels(target: Any, classes: int, ignore_index: int, shape: tuple[int, int], name: str) -> tuple[Any, Any]:
    """The labels in the folded shape, ignored ones as 0, and which are not ignored (None: none is)."""
    labels = target.astype(np.intp, copy=False).reshape(shape)
    # Seen as unsigned, negative labels are large too: one pass finds both kinds.
    inside = not labels.size or int(np.maximum.reduce(labels.view(np.uintp), axis=None)) < classes
    if inside and not 0 <= ignore_index < classes:
        return labels, None
    valid = labels != ignore_index
    if not inside:
        wrong = valid & ((labels < 0) | (labels >= classes))
        if wrong.any():
            place = np.unravel_index(int(wrong.reshape(-1).argmax()), target.shape)
            where = int(place[0]) if len(place) == 1 else [int(i) for i in place]
            raise IndexError(
                f"{name}: Target {target[place]} is out of bounds: position {where} of the target, with {classes} "
                f"classes (0 to {classes - 1}) and ignore_index={ignore_index}"
            )
    return np.where(valid, labels, 0), valid


def _label_weights(labels: Any, valid: Any, weight: Any) -> Any:
    """The weight of each label, 0 for ignored ones; None if all are 1."""
    if weight is None:
        return valid
    return weight.take(labels) if valid is None else weight.take(labels) * valid


def _total(weight: Any, classes: int) -> Any:
    """The sum of the class weights."""
    return classes if weight is None else np.add.reduce(weight)


def _divisor(weights: Any, shape: tuple[int, int], dtype: Any) -> Any:
    """The sum of the labels' weights."""
    if weights is None:
        return shape[0] * shape[1]
    return np.add.reduce(weights, axis=None, dtype=dtype)


def _reduced(loss: Any, valid: Any, weights: Any, reduction: str, dtype: Any, shape: Any, out: Any) -> Any:
    """The losses, or their sum, or their weighted mean (NaN where there is none)."""
    if valid is not None:
        loss[~valid] = 0  # not by the weight 0: the loss may be infinite
    if reduction == "none":
        return _stored(loss, dtype, shape, np.empty(shape, dtype) if out is None else out)
    total = np.add.reduce(loss, axis=None)
    if reduction == "mean":
        total = np.divide(total, _divisor(weights, loss.shape, loss.dtype))
    return _stored(total, dtype, (), out)


def _per_label(dy: Any, valid: Any, weights: Any, reduction: str, dtype: Any, shape: Any) -> Any:
    """What to multiply the gradient of each unweighted loss with: dy over the divisor, and 0 where ignored."""
    g = dy.astype(dtype).reshape(shape if reduction == "none" else (1, 1))
    if reduction == "mean":
        g = np.divide(g, _divisor(weights, shape, dtype), dtype=dtype)
    return g if valid is None else np.where(valid, g, dtype.type(0))


def _stored(value: Any, dtype: Any, shape: tuple[int, ...], out: Any) -> Any:
    if out is None:
        return np.asarray(value, dtype=dtype).reshape(shape)
    np.copyto(out, np.reshape(value, shape), casting="unsafe")
    return out
