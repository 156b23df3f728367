"""Views by slices, and arrays put into slices of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .family import Array
from .memory import Memory


class Slicing(Memory):
    """Slices, joining and splitting. A key has an integer or (start, stop, step) for each axis; None adds one."""

    def slice_view(self, x: Array, key: tuple[Any, ...]) -> Array:
        """x[key], a view."""
        return x[_entries(key)]

    def place(
        self, x: Array, key: tuple[Any, ...], size: tuple[int, ...], value: float, out: Array | None = None
    ) -> Array:
        """An array of the given size with x at key and `value` elsewhere."""
        y = self.full(size, value, x.dtype, out)
        self.copy(x, y[_entries(key)])
        return y

    def slice_scatter(self, x: Array, v: Array, key: tuple[Any, ...], out: Array | None = None) -> Array:
        """A copy of x with v, an array or a number, at key; `out` may be x."""
        y: Array = x if out is x else self.copy(x, out)
        if not isinstance(v, self.xp.ndarray):
            v = self.full((), v, x.dtype)
        self.copy(v, y[_entries(key)])
        return y

    def split(self, x: Array, sizes: Sequence[int], axis: int) -> tuple[Array, ...]:
        """x cut along an axis, as views."""
        pieces = []
        start = 0
        for n in sizes:
            pieces.append(x[_along(axis, slice(start, start + n))])
            start += n
        return tuple(pieces)

    def concatenate(self, arrays: Sequence[Array], axis: int, out: Array | None = None) -> Array:
        """The arrays one after another along an axis."""
        first = arrays[0]
        n = sum(a.shape[axis] for a in arrays)
        y = self.result(out, (*first.shape[:axis], n, *first.shape[axis + 1 :]), first.dtype)
        for a, piece in zip(arrays, self.split(y, [a.shape[axis] for a in arrays], axis)):
            self.move(a, piece)
        return y

    def stack(self, arrays: Sequence[Array], axis: int, out: Array | None = None) -> Array:
        """The arrays along a new axis."""
        first = arrays[0]
        y = self.result(out, (*first.shape[:axis], len(arrays), *first.shape[axis:]), first.dtype)
        for i, a in enumerate(arrays):
            self.move(a, y[_along(axis, i)])
        return y


def _along(axis: int, entry: int | slice) -> tuple[Any, ...]:
    """The key for one axis, not counted from the end; the ellipsis makes it a view also where only integers stand."""
    return (*(slice(None),) * axis, entry, ...)


def _entries(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*(slice(*k) if isinstance(k, tuple) else k for k in key), ...)
