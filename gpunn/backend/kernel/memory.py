"""Making, moving and viewing arrays."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from gpunn.backend.dtypes import DTYPES
from gpunn.backend.numpy.memory import reinterpret

from .family import MAX_RANK, Array, Family, bits, bits_type, ceil_div, collapse, element_strides, layout, prod
from .ladder import Ladder

COPY = Ladder("copy", ("naive", "tiled"))
_KIND = {d.numpy: kind for kind, d in enumerate(DTYPES)}
"""What `cast.cu` calls each type."""
_TILED_FROM = 8
"""Elements along both axes from which on a transposed copy goes through tiles; below, too many threads would idle."""


class _Walk(NamedTuple):
    """How to walk over an array: its memory, where in it the first element is, and the steps along each axis."""

    memory: Array
    start: int
    steps: tuple[int, ...]

    def at(self, place: tuple[int, ...]) -> _Walk:
        """The walk over what lies at a place along the first axes."""
        start = self.start + sum(i * step for i, step in zip(place, self.steps))
        return _Walk(self.memory, start, self.steps[len(place) :])


class Memory(Family):
    """Making, moving and viewing arrays.

    How arrays come from the host and go there, where they lie, and how to wait for the device differ between the array
    modules: a subclass brings `from_numpy`, `to_numpy`, `address` and `synchronize`.
    """

    from_numpy: Callable[[Any], Array]
    to_numpy: Callable[[Array], Any]
    address: Callable[[Array], int]

    def asarray(self, x: Any) -> Array:
        """`x` itself, or a scalar as an array without dimensions."""
        return x if isinstance(x, self.xp.ndarray) else self.from_numpy(np.asarray(x))

    def cache_lines(self, count: int, dtype: Any, cleared: bool = False) -> Array:
        """So many elements; all memory that is allocated begins a cache line."""
        return self.full((count,), 0, dtype) if cleared else self.empty((count,), dtype)

    def full(self, shape: tuple[int, ...], value: Any, dtype: Any, out: Array | None = None) -> Array:
        """An array of one value."""
        y = self.result(out, shape, dtype)
        args = (bits(y), bits_of(value, dtype), y.size)
        self.launch_elements("fill.cu", "fill", y.size, args, element_t=bits_type(dtype))
        return y

    def arange(self, start: float, step: float, count: int, dtype: Any, out: Array | None = None) -> Array:
        """start + i step for i < count, computed in float64 or int64."""
        computed = np.result_type(np.asarray(start), np.asarray(step), np.int64)
        y = self.result(out if dtype == computed else None, (count,), computed)
        self.launch_elements("arange.cu", "arange", count, (y, start, step, count), scalar_t=computed)
        return y if dtype == computed else self.cast(y, dtype, out)

    def eye(self, n: int, m: int, dtype: Any, out: Array | None = None) -> Array:
        """Ones on the diagonal."""
        y = self.result(out, (n, m), dtype)
        args = (bits(y), bits_of(1, dtype), m, n * m)
        self.launch_elements("fill.cu", "eye", n * m, args, element_t=bits_type(dtype))
        return y

    # Copies -----------------------------------------------------------------------------------------------------------

    def copy(self, x: Array, out: Array | None = None) -> Array:
        """The elements in new row-major memory, or, broadcast, in `out`, which here may have any strides.

        Raises:
            RuntimeError: some elements of `out` share their memory.
        """
        if out is None:
            y = self.empty(x.shape, x.dtype)
        else:
            if out.size and any(s == 0 and n > 1 for s, n in zip(out.strides, out.shape)):
                raise RuntimeError(
                    "the memory can't be written to: it is read-only, or expanded; clone() the tensor before"
                )
            y = out
            x = self.broadcast_to(self.apart(x, y), y.shape)
        if x.dtype != y.dtype:
            x = self.cast(x, y.dtype)
        self.move(x, y)
        return y

    def cast(self, x: Array, dtype: Any, out: Array | None = None) -> Array:
        """The elements in another type; floats become integers towards 0."""
        x = self.contiguous(x)
        y = self.result(out, x.shape, dtype)
        args = (x, y.reshape(-1).view(np.uint8), _KIND[y.dtype], x.size)
        self.launch_elements("cast.cu", "cast", x.size, args, source_t=x.dtype)
        return y

    def apart(self, x: Array, out: Array) -> Array:
        """`x`, or a copy of it if it shares memory with `out`, which is about to be written."""
        return self.copy(x) if self.xp.may_share_memory(x, out) else x

    def move(self, x: Array, y: Array) -> None:
        """Copy the elements of x to y, which has the same shape, any strides, and no memory in common with x."""
        x, y = bits(x), bits(y)
        if not x.size:
            return
        if x.flags.c_contiguous and y.flags.c_contiguous and (self.address(x) | self.address(y)) % 16 == 0:
            vectors = ceil_div(x.size * x.dtype.itemsize, 16)
            self.launch_elements("copy.cu", "copy_vectors", vectors, (x, y, x.size), element_t=x.dtype)
            return
        # Walk in the order in which y lies in memory.
        order = sorted(range(y.ndim), key=lambda axis: -abs(y.strides[axis]))
        x, y = x.transpose(order), y.transpose(order)
        sizes, (x_steps, y_steps) = collapse(y.shape, element_strides(x), element_strides(y))
        source, target = _Walk(*self.span(x), x_steps), _Walk(*self.span(y), y_steps)
        # What has more axes than a Layout goes piece by piece along the first ones.
        outer = max(0, len(sizes) - MAX_RANK)
        for place in product(*map(range, sizes[:outer])):
            self._move_piece(source.at(place), target.at(place), sizes[outer:])

    def _move_piece(self, x: _Walk, y: _Walk, sizes: tuple[int, ...]) -> None:
        last = len(sizes) - 1
        rows = x.steps.index(1) if 1 in x.steps else last
        transposed = rows < last and y.steps[last] == 1 and min(sizes[rows], sizes[last]) >= _TILED_FROM
        if transposed and COPY.pick() == "tiled":
            self._move_tiles(x, y, sizes, rows)
            return
        count = prod(sizes)
        args = (x.memory, x.start, layout(sizes, x.steps), y.memory, y.start, layout(sizes, y.steps), count)
        self.launch_elements("copy.cu", "copy_strided", count, args, element_t=x.memory.dtype)

    def _move_tiles(self, x: _Walk, y: _Walk, sizes: tuple[int, ...], rows: int) -> None:
        """Copy where neighbours along the last axis are neighbours in y, but those along `rows` are in x."""
        outer = [axis for axis in range(len(sizes) - 1) if axis != rows]
        shape, (x_outer, y_outer) = collapse(*([a[axis] for axis in outer] for a in (sizes, x.steps, y.steps)))
        grid = ceil_div(sizes[rows], 32) * ceil_div(sizes[-1], 32) * prod(shape)
        args = (
            *(x.memory, x.start, layout(shape, x_outer), x.steps[-1]),
            *(y.memory, y.start, layout(shape, y_outer), y.steps[rows]),
            *(sizes[rows], sizes[-1]),
        )
        self.launch("copy.cu", "copy_tiled", (grid,), (32, 8), args, element_t=x.memory.dtype)

    # What the array module knows --------------------------------------------------------------------------------------

    def is_view(self, source: Array, result: Array) -> bool:
        """Whether `result` lies in the memory of `source`."""
        return result.size == 0 or bool(self.xp.may_share_memory(source, result))

    def is_contiguous(self, x: Array) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return bool(x.flags.c_contiguous)

    def strides(self, x: Array) -> tuple[int, ...]:
        """The steps in memory along each axis, in elements."""
        return element_strides(x)

    # Views ------------------------------------------------------------------------------------------------------------

    def reshape(self, x: Array, shape: tuple[int, ...]) -> Array:
        """The elements, in their order, in another shape; a view of x wherever its strides allow it."""
        return (x if has_view(x, shape) else self.copy(x)).reshape(shape)

    def transpose(self, x: Array, axes: tuple[int, ...]) -> Array:
        """The axes in another order."""
        return x.transpose(axes)

    def reinterpret(self, x: Array, dtype: Any) -> Array:
        """The bytes as elements of another type, along the last axis."""
        return reinterpret(x, dtype)

    def broadcast_to(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Axes of size 1 repeated."""
        return x if x.shape == shape else self.xp.broadcast_to(x, shape)


def bits_of(value: Any, dtype: Any) -> int:
    """A number in the given type, as the bits that `family.bits` makes of an element.

    Raises:
        OverflowError: an integer does not fit.
    """
    return int(bits(np.full(1, value, dtype))[0])


def has_view(x: Array, shape: tuple[int, ...]) -> bool:
    """Whether the elements of x lie such that an array of another shape can be a view of them.

    That is so if each run of axes that lie in memory as one is cut into whole axes of the new shape.
    """
    if x.flags.c_contiguous:
        return True
    left = list(collapse(x.shape, element_strides(x))[0])
    for n in reversed(shape):
        if n != 1:
            if left[-1] % n:
                return False
            left[-1] //= n
            if left[-1] == 1:
                left.pop()
    return True
