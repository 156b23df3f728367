"""Order along an axis. NaN counts as larger than any number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .half import _wide


def argmax(x: Any, axis: int | None, keepdims: bool, out: Any = None) -> Any:
    """The index of the first largest element along the axis, or among all."""
    return np.argmax(_wide(x), axis=axis, keepdims=keepdims, out=out)


def argmin(x: Any, axis: int | None, keepdims: bool, out: Any = None) -> Any:
    """The index of the first smallest element along the axis, or among all; NaN counts as smaller still."""
    return np.argmin(_wide(x), axis=axis, keepdims=keepdims, out=out)


def sort(x: Any, axis: int, descending: bool, out: Any = None) -> tuple[Any, Any]:
    """The elements in order and the index of each; equal ones stay in their order, also when descending."""
    key = np.flip(_wide(x), axis) if descending else _wide(x)
    indices = np.argsort(key, axis=axis, kind="stable")
    if descending:
        indices = x.shape[axis] - 1 - np.flip(indices, axis)
    values = np.take_along_axis(x, indices, axis)
    if out is None:
        return values, indices
    np.copyto(out[0], values)
    np.copyto(out[1], indices)
    return out[0], out[1]
