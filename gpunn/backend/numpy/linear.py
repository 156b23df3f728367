"""Matrix products and the affine map."""

from __future__ import annotations

from contextlib import nullcontext
from math import prod
from typing import Any

import numpy as np

from gpunn.backend.base_layers import PAIRS

from . import blas
from .activation import activation as _activation
from .activation import activation_backward as _activation_backward
from .factors import exact as _exact
from .factors import rounds as _rounds
from .half import _is_half, _narrow, _wide
from .pool import max_pool2d_backward as _max_pool2d_backward
from .reduction import sum as _sum
from .workers import in_parts, product_parts
from .workspace import declares, scratch, taken

FEW_ROWS = 256
"""Up to so many rows a product is computed transposed: 1.2 to 1.7 times as fast on two cores, with the copy, if the
result is not much larger than what is summed over."""


@_rounds(0, 1)
def matmul(x: Any, y: Any, out: Any = None) -> Any:
    """x y on the last two axes."""
    return _product(x, y, out)


def _product(x: Any, y: Any, out: Any = None) -> Any:
    """`matmul` of factors that are rounded.

    Where the inner size is 1 NumPy's matmul passes BLAS by, at ten times the cost of dot; with a single number dot
    calls axpy, which takes 0 times NaN for 0.
    """
    if _is_half(x):
        return _narrow(np.matmul(_wide(x), _wide(y)), x.dtype, out)
    if x.ndim == y.ndim == 2 and x.shape[1] == 1 and min(x.size, y.size) > 1 and x.dtype.kind == "f":
        return np.dot(x, y, out=out)
    return np.matmul(x, y, out=out)


def _sliced_product(a: Any, b: Any, out: Any) -> Any:
    """a b for matrices, written to `out`, in the slices of `blas.slices`."""
    count = blas.slices(len(out), out.shape[1], a.shape[1], out.dtype)
    if count > 1:
        return blas.add_product(out, a, b, beta=0.0)
    with blas.one_thread if count else nullcontext():
        return _product(a, b, out=out)


@_rounds(0, 1)
def linear_activation(x: Any, w: Any, b: Any, kind: str, parameter: float, out: Any = None) -> Any:
    """f(x w^T + b) for x (..., i), w (o, i), b (o,) or None."""
    if _is_half(x):
        return _narrow(linear_activation(_wide(x), _wide(w), _wide(b), kind, parameter), x.dtype, out)
    if x.ndim != 2:  # one product, where matmul would make one for each matrix
        y = linear_activation(_rows(x), w, b, kind, parameter, out=_rows(out))
        return y.reshape(*x.shape[:-1], w.shape[0])
    y = np.empty((len(x), len(w)), x.dtype) if out is None else out
    transposed = _transposed(len(x), *w.T.shape)

    def part(some: slice, _: int) -> None:
        z = _of_batch(x[some], w.T, transposed, y[some])
        if b is not None:
            z += b
        if kind != "none":
            _activation(z, kind, parameter, out=z)

    in_parts(part, product_parts(len(x), len(x), *w.shape), len(x))
    return y


def linear_sum(x: Any, w: Any, b: Any, added: Any, out: Any = None) -> Any:
    """x w^T + b + added for x (..., i), w (o, i), b (o,) or None, added (..., o)."""
    y = linear_activation(x, w, b, "none", 0.0, out=out)
    return np.add(y, added, out=y)


@_rounds(0, 1, 2)
def linear_backward(dz: Any, x: Any, w: Any, wanted: tuple[bool, bool, bool], out: Any = None) -> tuple[Any, ...]:
    """The wanted ones of dx = dz w, dw = dz^T x, db = sum of dz, for dz (..., o), x (..., i), w (o, i).

    x is not read for dx, nor w for dw, and may then be None.
    """
    if _is_half(dz):
        parts = linear_backward(_wide(dz), _wide(x), _wide(w), wanted)
        return tuple(_narrow(part, dz.dtype, o) for part, o in zip(parts, out or (None, None, None)))
    outs = iter(out if out is not None else (None, None, None))
    rows = _rows(dz)
    results = []
    if wanted[0]:
        results.append(_input_grad(rows, w, _rows(next(outs))).reshape(*dz.shape[:-1], w.shape[1]))
    if wanted[1]:
        results.append(_weight_grad(rows, _rows(x), next(outs)))
    if wanted[2]:
        results.append(_sum(_rows(_exact(dz)), (0,), False, out=next(outs)))
    return tuple(results)


def activation_linear_backward(
    dz: Any, x: Any, w: Any, kind: str, parameter: float, wanted: tuple[bool, bool, bool], out: Any = None
) -> tuple[Any, ...]:
    """`linear_backward` with dx f'(v) in the place of dx, where x = f(v) and f' follows from that."""
    if _is_half(dz):
        parts = activation_linear_backward(_wide(dz), _wide(x), _wide(w), kind, parameter, wanted)
        return tuple(_narrow(part, dz.dtype, o) for part, o in zip(parts, out or (None, None, None)))
    results = linear_backward(dz, x if wanted[1] else None, w, wanted, out=out)
    if wanted[0] and kind != "none":
        _activation_backward(results[0], x, kind, parameter, True, out=results[0])
    return results


def pooled_linear_backward(
    dz: Any, x: Any, w: Any, which: Any, kind: str, parameter: float, wanted: tuple[bool, bool, bool], out: Any = None
) -> tuple[Any, ...]:
    """`activation_linear_backward`, whose dx is spread over windows of 2 x 2 elements that lie side by side."""
    dx_out, *rest_out = out or (None,)
    dx, *rest = activation_linear_backward(dz, x, w, kind, parameter, wanted, out=(None, *rest_out) if out else None)
    size = 2 * which.shape[2], 2 * which.shape[3]
    return _max_pool2d_backward(dx.reshape(which.shape), which, size, *PAIRS, out=dx_out), *rest


def _input_grad(dz: Any, w: Any, out: Any) -> Any:
    dx = np.empty((len(dz), w.shape[1]), dz.dtype) if out is None else out
    transposed = _transposed(len(dz), *w.shape)
    pieces = product_parts(len(dz), len(dz), *w.shape)
    in_parts(lambda some, _: _of_batch(dz[some], w, transposed, dx[some]), pieces, len(dz))
    return dx


def _weight_grad(dz: Any, x: Any, out: Any) -> Any:
    dw = np.empty((dz.shape[1], x.shape[1]), dz.dtype) if out is None else out
    pieces = product_parts(len(dw), len(dz), *dw.shape)
    in_parts(lambda some, _: _sliced_product(dz[:, some].T, x, dw[some]), pieces, len(dw))
    return dw


def _of_batch(x: Any, w: Any, transposed: bool, out: Any) -> Any:
    """x w for a batch x (n, i). For small n as (w^T x^T)^T: OpenBLAS then has many rows to divide among its threads."""
    if not transposed:
        return _sliced_product(x, w, out)
    with scratch() as take:
        np.copyto(out, _sliced_product(w.T, x.T, take((w.shape[1], len(x)), x.dtype)).T)
    return out


def _transposed(rows: int, inner: int, columns: int) -> bool:
    return 1 < rows <= FEW_ROWS and columns <= 2 * inner


@declares("linear_activation")
def _linear_activation_needs(x: Any, w: Any, b: Any, kind: str, parameter: float, out: Any = None) -> int:
    return _of_batch_needs(prod(x.shape[:-1]), w.T)


@declares("linear_backward")
def _linear_backward_needs(dz: Any, x: Any, w: Any, wanted: tuple[bool, bool, bool], out: Any = None) -> int:
    return _of_batch_needs(prod(dz.shape[:-1]), w) if wanted[0] else 0


def _of_batch_needs(rows: int, w: Any) -> int:
    return taken(w.dtype, (w.shape[1], rows)) if _transposed(rows, *w.shape) else 0


def _rows(x: Any) -> Any:
    """All but the last axis as one."""
    return x if x is None or x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])
