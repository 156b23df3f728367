"""Making, moving and viewing arrays."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from gpunn.backend.dtypes import DTYPES

from .family import MAX_RANK, Array, Family, bits, ceil_div, collapse, element_strides, layout, prod
from .ladder import Ladder

COPY = Ladder("copy", ("naive", "tiled"))
_KIND = {d.numpy: kind for kind, d in enumerate(DTYPES)}
"""What `cast.cu` calls each type."""
_TILED_FROM = 8
"""Elements along both axes from which on a transposed copy goes through tiles; below, too many threads would idle."""


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

    def full(self, shape: tuple[int, ...], value: Any, dtype: Any, out: Array | None = None) -> Array:
        """An array of one value."""
        y = self.result(out, shape, dtype)
        self.launch_elements(
            "fill.cu", "fill", y.size, (bits(y), bits_of(value, dtype), y.size), element_t=bits(y).dtype
        )
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
        self.launch_elements("fill.cu", "eye", n * m, (bits(y), bits_of(1, dtype), m, n * m), element_t=bits(y).dtype)
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
            if any(s == 0 and n > 1 for s, n in zip(out.strides, out.shape)):
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
        source, target = self.span(x), self.span(y)
        # What has more axes than a Layout goes piece by piece along the first ones.
        outer = max(0, len(sizes) - MAX_RANK)
        for place in product(*map(range, sizes[:outer])):
            x_start = sum(i * s for i, s in zip(place, x_steps))
            y_start = sum(i * s for i, s in zip(place, y_steps))
            self._move_piece(
                (source[0], source[1] + x_start, x_steps[outer:]),
                (target[0], target[1] + y_start, y_steps[outer:]),
                sizes[outer:],
            )

    def _move_piece(
        self,
        source: tuple[Array, int, tuple[int, ...]],
        target: tuple[Array, int, tuple[int, ...]],
        sizes: tuple[int, ...],
    ) -> None:
        """Copy between two arrays of `sizes`, each as its memory, the place of its first element, and its steps."""
        (x, x_start, x_steps), (y, y_start, y_steps) = source, target
        last = len(sizes) - 1
        neighbours = x_steps.index(1) if 1 in x_steps else last
        if (
            COPY.pick() == "tiled"
            and neighbours < last
            and y_steps[last] == 1
            and min(sizes[neighbours], sizes[last]) >= _TILED_FROM
        ):
            outer = [axis for axis in range(last) if axis != neighbours]
            n, (xs, ys) = collapse([sizes[a] for a in outer], [x_steps[a] for a in outer], [y_steps[a] for a in outer])
            rows, columns = sizes[neighbours], sizes[last]
            grid = (ceil_div(rows, 32) * ceil_div(columns, 32) * prod(n),)
            tiles = (
                *(x, x_start, layout(n, xs), x_steps[last]),
                *(y, y_start, layout(n, ys), y_steps[neighbours]),
                *(rows, columns),
            )
            self.launch("copy.cu", "copy_tiled", grid, (32, 8), tiles, element_t=x.dtype)
            return
        count = prod(sizes)
        args = (x, x_start, layout(sizes, x_steps), y, y_start, layout(sizes, y_steps), count)
        self.launch_elements("copy.cu", "copy_strided", count, args, element_t=x.dtype)

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
