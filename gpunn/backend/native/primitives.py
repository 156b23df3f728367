"""The primitives that `loops/` has; where it does not, those of the reference."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from gpunn.backend.base_layers import PAIRS
from gpunn.backend.numpy.blas import _place
from gpunn.backend.numpy.factors import exact, rounds
from gpunn.backend.numpy.im2col import Pair

from .library import Library, Reference

__all__ = [
    "activation_backward",
    "conv2d_forward",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "linear_activation",
    "linear_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "sgd_product_step",
    "sgd_step",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
]

library, reference = Library(), Reference()
_FLOAT32, _INT64, _UINT8 = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.uint8)
LEAST_MICROSECONDS = 8.0
"""What a part takes at least: handing one over takes about one."""
_PLAIN = ((1, 1), (1, 1), 1)
"""Kernel, stride, corner and dilation of a pooling of 2 x 2."""


def _fits(*arrays: Any) -> bool:
    """Whether all are float32, row-major and not empty; None is as well."""
    return all(a is None or (a.dtype is _FLOAT32 and a.flags.c_contiguous and a.size) for a in arrays)


def _parts(microseconds: float) -> int:
    """In how many parts work is done that takes so long together."""
    return min(int(microseconds / LEAST_MICROSECONDS), library.threads) if microseconds >= 2 * LEAST_MICROSECONDS else 1


def _at(x: Any) -> Any:
    return None if x is None else _place(x)


@rounds(0, 1)
def linear_activation(x: Any, w: Any, b: Any, kind: str, parameter: float, out: Any = None) -> Any:
    """See `gpunn.backend.numpy.linear_activation`."""
    n = prod(x.shape[:-1])
    y = np.empty((*x.shape[:-1], len(w)), x.dtype) if out is None else out
    if not n or kind not in ("none", "relu") or not _fits(x, w, b, y):
        return reference.linear_activation(x, w, b, kind, parameter, out=out)
    o, i = w.shape
    library.linear(_at(x), _at(w), _at(b), _at(y), n, i, o, kind == "relu", _parts(n * i * o * 20e-6))
    return y


@rounds(0, 1, 2)
def linear_backward(dz: Any, x: Any, w: Any, wanted: tuple[bool, bool, bool], out: Any = None) -> tuple[Any, ...]:
    """See `gpunn.backend.numpy.linear_backward`."""
    n, o = prod(dz.shape[:-1]), dz.shape[-1]
    if not n or not _fits(dz, x if wanted[1] else None, w if wanted[0] else None, *(out or ())):
        return reference.linear_backward(dz, x, w, wanted, out=out)
    i = (x if w is None else w).shape[-1] if any(wanted[:2]) else 0
    outs = iter(out if out is not None else (None, None, None))
    results = []
    parts = _parts(n * i * o * 20e-6)
    if wanted[0]:
        dx = next(outs)
        dx = np.empty((*dz.shape[:-1], i), dz.dtype) if dx is None else dx
        library.linear_input(_at(dz), _at(w), _at(dx), n, i, o, parts)
        results.append(dx)
    if wanted[1]:
        dw = next(outs)
        dw = np.empty((o, i), dz.dtype) if dw is None else dw
        library.linear_weight(_at(dz), _at(x), _at(dw), n, i, o, parts)
        results.append(dw)
    if wanted[2]:
        db = next(outs)
        db = np.empty(o, dz.dtype) if db is None else db
        library.linear_bias(_at(exact(dz)), _at(db), n, o, _parts(n * o * 0.4e-3))
        results.append(db)
    return tuple(results)


def activation_backward(dy: Any, s: Any, kind: str, parameter: float, from_output: bool, out: Any = None) -> Any:
    """See `gpunn.backend.numpy.activation_backward`."""
    dz = np.empty(dy.shape, dy.dtype) if out is None else out
    if kind != "relu" or dy.shape != s.shape or not _fits(dy, s, dz):
        return reference.activation_backward(dy, s, kind, parameter, from_output, out=out)
    library.relu_backward(_at(dy), _at(s), _at(dz), dy.size, _parts(dy.size * 0.3e-3))
    return dz


def softmax_cross_entropy(
    x: Any, target: Any, weight: Any, reduction: str, ignore_index: int, label_smoothing: float, out: Any = None
) -> tuple[Any, Any, Any]:
    """See `gpunn.backend.numpy.softmax_cross_entropy`."""
    args = x, target, weight, reduction, ignore_index, label_smoothing
    if not _is_plain_loss(*args):
        return reference.softmax_cross_entropy(*args, out=out)
    n, classes = x.shape
    loss, m, s = (np.empty((), x.dtype), np.empty(n, x.dtype), np.empty(n, x.dtype)) if out is None else out
    if library.cross_entropy(_at(x), _at(target), n, classes, _at(loss), _at(m), _at(s)) >= 0:
        return reference.softmax_cross_entropy(*args, out=out)  # which knows ignored labels, and says what is wrong
    return loss, m, s


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
    """See `gpunn.backend.numpy.softmax_cross_entropy_backward`."""
    dx, dy = np.empty(x.shape, x.dtype) if out is None else out, np.asarray(dy)
    plain = _is_plain_loss(x, target, weight, reduction, ignore_index, label_smoothing) and _fits(dy, m, s, dx)
    places = _at(x), _at(target), _at(m), _at(s)
    if not plain or library.cross_entropy_backward(_at(dy), *places, *x.shape, _at(dx)) >= 0:
        args = dy, x, target, weight, m, s, reduction, ignore_index, label_smoothing
        return reference.softmax_cross_entropy_backward(*args, out=out)
    return dx


def _is_plain_loss(x: Any, target: Any, weight: Any, reduction: str, ignore_index: int, smoothing: float) -> bool:
    """The mean over labels of which none weighs more than another."""
    plain = weight is None and reduction == "mean" and not smoothing and not 0 <= ignore_index < x.shape[-1]
    return plain and x.ndim == 2 and _fits(x) and target.dtype == _INT64 and target.flags.c_contiguous


def max_pool2d(
    x: Any, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
) -> tuple[Any, Any]:
    """See `gpunn.backend.numpy.max_pool2d`."""
    h, w = x.shape[2:]
    if (kernel, stride, corner, dilation) != PAIRS or positions != (h // 2, w // 2) or not _fits(x):
        return reference.max_pool2d(x, positions, kernel, stride, corner, dilation, out=out)
    shape = (*x.shape[:2], *positions)
    y, which = (np.empty(shape, x.dtype), np.empty(shape, _UINT8)) if out is None else out
    library.max_pool(_at(x), _at(y), _at(which), prod(x.shape[:2]), h, w, _parts(x.size * 0.4e-3))
    return y, which


def max_pool2d_backward(
    dy: Any, which: Any, size: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
) -> Any:
    """See `gpunn.backend.numpy.max_pool2d_backward`."""
    h, w = size
    halves = (kernel, stride, corner, dilation) == PAIRS and dy.shape[2:] == (h // 2, w // 2)
    dx = np.empty((*dy.shape[:2], h, w), dy.dtype) if out is None else out
    if not halves or not _fits(dy, dx) or not which.flags.c_contiguous:
        return reference.max_pool2d_backward(dy, which, size, kernel, stride, corner, dilation, out=out)
    library.max_pool_backward(_at(dy), _at(which), _at(dx), prod(dy.shape[:2]), h, w, _parts(dx.size * 0.3e-3))
    return dx


@rounds(0, 1)
def conv2d_forward(
    x: Any,
    w: Any,
    b: Any,
    positions: Pair,
    stride: Pair,
    corner: Pair,
    dilation: Pair,
    groups: int,
    kind: str = "none",
    parameter: float = 0.0,
    out: Any = None,
) -> Any:
    """See `gpunn.backend.numpy.conv2d_forward`."""
    y = np.empty((len(x), len(w), *positions), x.dtype) if out is None else out
    if (stride, dilation, groups) != _PLAIN or kind not in ("none", "relu") or not _fits(x, w, b, y):
        args = x, w, b, positions, stride, corner, dilation, groups, kind, parameter
        return reference.conv2d_forward(*args, out=out)
    sizes = *x.shape, len(w), *w.shape[2:], *corner, *positions
    parts = _conv_parts(len(x), w, positions)
    if library.conv(_at(x), _at(w), _at(b), _at(y), *sizes, kind == "relu", parts) >= 0:
        args = x, w, b, positions, stride, corner, dilation, groups, kind, parameter
        return reference.conv2d_forward(*args, out=y)
    return y


@rounds(0, 1)
def conv2d_input_grad(
    dz: Any, w: Any, size: Pair, stride: Pair, corner: Pair, dilation: Pair, groups: int, out: Any = None
) -> Any:
    """See `gpunn.backend.numpy.conv2d_input_grad`."""
    dx = np.empty((len(dz), w.shape[1] * groups, *size), dz.dtype) if out is None else out
    if (stride, dilation, groups) != _PLAIN or not _fits(dz, w, dx):
        return reference.conv2d_input_grad(dz, w, size, stride, corner, dilation, groups, out=out)
    sizes = *dx.shape, len(w), *w.shape[2:], *corner, *dz.shape[2:]
    if library.conv_input(_at(dz), _at(w), _at(dx), *sizes, _conv_parts(len(dz), w, dz.shape[2:])) >= 0:
        return reference.conv2d_input_grad(dz, w, size, stride, corner, dilation, groups, out=dx)
    return dx


@rounds(0, 1)
def conv2d_weight_grad(
    x: Any,
    dz: Any,
    kernel: Pair,
    stride: Pair,
    corner: Pair,
    dilation: Pair,
    groups: int,
    bias: bool,
    out: Any = None,
) -> Any:
    """See `gpunn.backend.numpy.conv2d_weight_grad`."""
    shape = (dz.shape[1], x.shape[1] // groups, *kernel)
    dw, db = out if bias and out is not None else (out, None)
    dw = np.empty(shape, dz.dtype) if dw is None else dw
    db = np.empty(shape[0], dz.dtype) if bias and db is None else db
    if (stride, dilation, groups) != _PLAIN or not _fits(x, dz, dw, db) or (bias and exact(dz) is not dz):
        return reference.conv2d_weight_grad(x, dz, kernel, stride, corner, dilation, groups, bias, out=out)
    sizes = *x.shape, shape[0], *kernel, *corner, *dz.shape[2:]
    if library.conv_weight(_at(x), _at(dz), _at(dw), _at(db), *sizes, _conv_parts(len(x), dw, dz.shape[2:])) >= 0:
        return reference.conv2d_weight_grad(
            x, dz, kernel, stride, corner, dilation, groups, bias, out=(dw, db) if bias else dw
        )
    return (dw, db) if bias else dw


def _conv_parts(images: int, w: Any, positions: Pair) -> int:
    return min(_parts(images * prod(positions) * w.size * 20e-6), images)


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
    """See `gpunn.backend.numpy.sgd_step`."""
    in_place = out is not None and out[0] is p and out[1] is buf
    if nesterov or not in_place or not _fits(p, g, buf):
        options = lr, momentum, dampening, weight_decay, nesterov, maximize, first
        return reference.sgd_step(p, g, buf, *options, out=out)
    mu, share = (0.0, 1.0) if first else (momentum, 1.0 - dampening)
    if buf is None:
        share = 1.0
    sign = -1.0 if maximize else 1.0
    library.sgd(_at(p), _at(buf), _at(g), p.size, lr, mu, share, weight_decay, sign, _parts(p.size * 0.4e-3))
    return p, buf


@rounds(2, 3)
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
    """See `gpunn.backend.numpy.optimizer.sgd_product_step`."""
    if maximize or not _fits(p, buf, a, b):
        options = lr, momentum, dampening, weight_decay, maximize, first
        return reference.sgd_product_step(p, buf, a, b, *options)
    mu, share = (0.0, 1.0) if first or buf is None else (momentum, 1.0 - dampening)
    n, (o, i) = len(b), p.shape
    work = n * i * o * 20e-6 + (p.size + n * o) * 0.4e-3
    library.sgd_product(_at(p), _at(buf), _at(a), _at(b), n, i, o, lr, mu, share, weight_decay, _parts(work))
    return None
