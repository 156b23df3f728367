"""Slices, joining and splitting. A key has an integer or (start, stop, step) for each dimension; None adds one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

concatenate, stack = np.concatenate, np.stack


def slice_view(x: Any, key: tuple[Any, ...]) -> Any:
    """x[key], a view."""
    return x[_entries(key)]


def place(x: Any, key: tuple[Any, ...], size: tuple[int, ...], value: float, out: Any = None) -> Any:
    """An array of the given size with x at key and `value` elsewhere."""
    if out is not None:
        out.fill(value)
    else:
        out = np.zeros(size, x.dtype) if value == 0 else np.full(size, value, x.dtype)
    out[_entries(key)] = x
    return out


def slice_scatter(x: Any, v: Any, key: tuple[Any, ...], out: Any = None) -> Any:
    """A copy of x with v at key; `out` may be x."""
    if out is None:
        out = np.array(x, order="C")
    elif out is not x:
        np.copyto(out, x)
    out[_entries(key)] = v
    return out


def split(x: Any, sizes: Sequence[int], axis: int) -> tuple[Any, ...]:
    """x cut along an axis, as views."""
    before = (slice(None),) * axis
    pieces = []
    start = 0
    for n in sizes:
        pieces.append(x[(*before, slice(start, start + n))])
        start += n
    return tuple(pieces)


def _entries(key: tuple[Any, ...]) -> tuple[Any, ...]:
    # The ellipsis makes NumPy give a view also where only integers stand.
    return (*(slice(*k) if isinstance(k, tuple) else k for k in key), ...)
