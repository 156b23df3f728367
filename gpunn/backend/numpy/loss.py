"""Losses on class labels, and the logarithms of binary cross entropy. `out` is row-major."""

from __future__ import annotations

from typing import Any

import numpy as np

from .softmax import _around, _block, _fold, _parts, _working_type


def softmax_cross_entropy(
    x: Any, target: Any, weight: Any, reduction: str, ignore_index: int, label_smoothing: float, out: Any = None
) -> tuple[Any, Any, Any]:
    """The loss of logits x (n, classes, ...) for labels (n, ...), with m = max x and s = sum of e^(x - m) per label.

    The loss of a label y is ln s - (x_y - m): the largest exponent is 0, so nothing overflows, and the probability is
    never rounded before its logarithm is taken.

    Raises:
        IndexError: a label is no class.
    """
    axis, classes = _class_axis(x)
    source, work = _fold(x, axis), _working_type(x.dtype)
    shape = source.shape[0], source.shape[2]
    weight = None if weight is None else weight.astype(work)
    labels, valid = _labels(target, classes, ignore_index, shape, "cross_entropy")
    m, s, picked, smooth = np.empty((4, *shape), work)
    for part, rows in _parts(source.shape):
        v = _block(source[part])
        m[rows] = top = np.maximum.reduce(v, axis=1)
        z = v - top[:, None]
        picked[rows] = z.take(_positions(labels[rows], classes))
        if label_smoothing:
            smooth[rows] = np.add.reduce(z if weight is None else z * weight[:, None], axis=1)
        s[rows] = np.add.reduce(np.exp(z, out=z), axis=1)
    log_s = np.log(s)
    loss = log_s - picked
    weights = _label_weights(labels, valid, weight)
    if weights is not None:
        loss *= weights
    if label_smoothing:
        loss *= 1 - label_smoothing
        loss += (label_smoothing / classes) * (_total(weight, classes) * log_s - smooth)
    return (
        _reduced(loss, valid, weights, reduction, x.dtype, target.shape, None if out is None else out[0]),
        _stored(m, work, target.shape, None if out is None else out[1]),
        _stored(s, work, target.shape, None if out is None else out[2]),
    )


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
    source, result, work = _fold(x, axis), _fold(dx, axis), m.dtype
    shape = source.shape[0], source.shape[2]
    weight = None if weight is None else weight.astype(work)
    labels, valid = _labels(target, classes, ignore_index, shape, "cross_entropy")
    weights = _label_weights(labels, valid, weight)
    g = np.broadcast_to(_per_label(dy, valid, weights, reduction, work, shape), shape)
    hard = g * (1 - label_smoothing) if weights is None else g * weights * (1 - label_smoothing)
    soft = g * (label_smoothing / classes)
    factor = (hard + soft * _total(weight, classes)) / s.reshape(shape)
    m = m.reshape(shape)
    for part, rows in _parts(source.shape):
        p = _block(source[part]) - m[rows][:, None]
        np.exp(p, out=p)
        p *= factor[rows][:, None]
        p.reshape(-1)[_positions(labels[rows], classes)] -= hard[rows]
        if label_smoothing:
            p -= soft[rows][:, None] if weight is None else soft[rows][:, None] * weight[:, None]
        result[part] = p
    return dx


def nll_loss(x: Any, target: Any, weight: Any, reduction: str, ignore_index: int, out: Any = None) -> Any:
    """-x_y for each label y of logarithms x (n, classes, ...), weighted and reduced.

    Raises:
        IndexError: a label is no class.
    """
    axis, classes = _class_axis(x)
    v = _around(x, axis)
    labels, valid = _labels(target, classes, ignore_index, (v.shape[0], v.shape[2]), "nll_loss")
    weights = _label_weights(labels, valid, weight)
    loss = -v.take(_positions(labels, classes)).astype(_working_type(x.dtype), copy=False)
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
    v.reshape(-1)[_positions(labels, classes)] = np.broadcast_to(-g if weights is None else -g * weights, shape)
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


def _positions(labels: Any, classes: int) -> Any:
    """Where [a, label, b] lies in a row-major array (outer, classes, inner)."""
    outer, inner = labels.shape
    return (np.arange(outer)[:, None] * classes + labels) * inner + np.arange(inner)


def _labels(target: Any, classes: int, ignore_index: int, shape: tuple[int, int], name: str) -> tuple[Any, Any]:
    """The labels in the folded shape, ignored ones as 0, and which are not ignored (None: none is)."""
    labels = target.astype(np.intp).reshape(shape)
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
        return _stored(loss, dtype, shape, out)
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
