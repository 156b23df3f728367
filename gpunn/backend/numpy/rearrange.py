"""Triangles, diagonals, and elements in another order or several times."""

from __future__ import annotations

from typing import Any

import numpy as np

Axes = tuple[int, ...]


def tril(x: Any, k: int, out: Any = None) -> Any:
    """The lower triangles of matrices up to diagonal k."""
    return _into(np.tril(x, k), out)


def triu(x: Any, k: int, out: Any = None) -> Any:
    """The upper triangles of matrices from diagonal k on."""
    return _into(np.triu(x, k), out)


def diagonal(x: Any, offset: int, axis1: int, axis2: int) -> Any:
    """A diagonal of two axes as the last axis; a view, that can be written to where x can."""
    y = np.diagonal(x, offset, axis1, axis2)
    if x.flags.writeable:
        y.flags.writeable = True
    return y


def diagonal_place(x: Any, offset: int, axis1: int, axis2: int, size: tuple[int, ...], out: Any = None) -> Any:
    """Zeros of the given size with x as that diagonal."""
    if out is None:
        out = np.zeros(size, x.dtype)
    else:
        out.fill(0)
    diagonal(out, offset, axis1, axis2)[...] = x
    return out


def flip(x: Any, axes: Axes, out: Any = None) -> Any:
    """The elements in reverse order along the axes, as a copy."""
    y = np.flip(x, axes)
    return _into(y.copy() if out is None else y, out)


def roll(x: Any, shifts: tuple[int, ...], axes: Axes, out: Any = None) -> Any:
    """The elements moved along the axes, round and round."""
    return _into(np.roll(x, shifts, axes), out)


def tile(x: Any, repeats: tuple[int, ...], out: Any = None) -> Any:
    """The array so many times along each axis."""
    return _into(np.tile(x, repeats), out)


def _into(y: Any, out: Any) -> Any:
    if out is None:
        return y
    np.copyto(out, y)
    return out
