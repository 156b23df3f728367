"""Rows of a table by their indices, and one-hot rows. `out` is row-major."""

from __future__ import annotations

from typing import Any

import numpy as np

from .softmax import _working_type


def embedding(indices: Any, weight: Any, out: Any = None) -> Any:
    """The row of weight (rows, d) for each index: (...) -> (..., d).

    Raises:
        IndexError: there is no such row.
    """
    rows = weight.shape[0]
    if (place := _outside(indices, rows)) is not None:
        raise IndexError(
            f"embedding: index out of range in self: {indices[place]} at {list(place)} of the input, "
            f"but the weight has the rows 0 to {rows - 1}"
        )
    # All indices are inside: mode="clip" only spares NumPy a buffer of the whole result.
    return np.take(weight, indices, axis=0, out=out, mode="clip")


def embedding_backward(dy: Any, indices: Any, rows: int, skip: int, by_frequency: bool, out: Any = None) -> Any:
    """dy (..., d) added up in the rows (rows, d) of its indices; over the count of each index if `by_frequency`.

    Elements whose index is `skip` are left out. The terms of a row are added in pairs, in the order of the batch, in
    rounds that halve their number: the same bits on every run, and small rounding errors.
    """
    d = dy.shape[-1]
    dw = np.empty((rows, d), dy.dtype) if out is None else out
    dw.fill(0)
    flat = indices.reshape(-1)
    order = np.argsort(flat, kind="stable")
    if 0 <= skip < rows:
        order = order[flat[order] != skip]
    if not order.size:
        return dw
    found = flat[order]
    terms = dy.reshape(-1, d)[order].astype(_working_type(dy.dtype), copy=False)
    starts = np.flatnonzero(np.concatenate(([True], found[1:] != found[:-1])))
    counts = np.diff(starts, append=order.size)
    place = np.arange(order.size)
    rank = place - np.repeat(starts, counts)  # which of the terms of its row
    while True:
        odd = np.flatnonzero(rank & 1)
        if not odd.size:
            break
        terms[place[odd - 1]] += terms[place[odd]]
        even = np.flatnonzero(rank & 1 == 0)
        place, rank = place[even], rank[even] >> 1
    sums = terms[starts]
    dw[found[starts]] = sums / counts[:, None].astype(sums.dtype) if by_frequency else sums
    return dw


def one_hot(target: Any, classes: int, axis: int, dtype: Any, strict: bool, out: Any = None) -> Any:
    """1 where the place along the new axis is the label, else 0; no 1 for a label below 0, or not below `classes`.

    Raises:
        RuntimeError: there is such a label, and `strict`.
    """
    if strict and (place := _outside(target, classes)) is not None:
        rule = "non-negative" if target[place] < 0 else f"smaller than num_classes={classes}"
        raise RuntimeError(f"one_hot: class values must be {rule}, got {target[place]} at {list(place)}")
    places = np.arange(classes).reshape(-1, *(1,) * (target.ndim - axis))
    y = np.equal(np.expand_dims(target, axis), places)
    if out is None:
        return y.astype(dtype)
    np.copyto(out, y, casting="unsafe")
    return out


def _outside(indices: Any, count: int) -> tuple[int, ...] | None:
    """Where the first index that is not 0 to count - 1 stands, None if there is none."""
    if not indices.size or (indices.min() >= 0 and indices.max() < count):
        return None
    return tuple(int(i) for i in np.argwhere((indices < 0) | (indices >= count))[0])
