"""Triangles, diagonals, and elements in another order or several times."""

from __future__ import annotations

from itertools import product

from .family import Array, bits
from .memory import Memory

Axes = tuple[int, ...]


class Rearrange(Memory):
    """Triangles, diagonals, and elements in another order or several times.

    Most of it is copies between views: a part of the argument to its part of the result.
    """

    def tril(self, x: Array, k: int, out: Array | None = None) -> Array:
        """The lower triangles of matrices up to diagonal k."""
        return self._triangle(x, k, False, out)

    def triu(self, x: Array, k: int, out: Array | None = None) -> Array:
        """The upper triangles of matrices from diagonal k on."""
        return self._triangle(x, k, True, out)

    def _triangle(self, x: Array, k: int, upper: bool, out: Array | None) -> Array:
        y = self.result(out, x.shape, x.dtype)
        x = bits(self.contiguous(x))
        rows, columns = x.shape[-2:]
        args = (x, bits(y), rows, columns, k, int(upper), x.size)
        self.launch_elements("triangle.cu", "triangle", x.size, args, element_t=x.dtype)
        return y

    def diagonal(self, x: Array, offset: int, axis1: int, axis2: int) -> Array:
        """A diagonal of two axes as the last axis; a view, that can be written to."""
        others = [axis for axis in range(x.ndim) if axis not in (axis1 % x.ndim, axis2 % x.ndim)]
        x = x.transpose((*others, axis1, axis2))
        corner = x[..., max(0, -offset) :, max(0, offset) :]
        shape = (*corner.shape[:-2], min(corner.shape[-2:]))
        strides = (*corner.strides[:-2], corner.strides[-2] + corner.strides[-1])
        return self.xp.lib.stride_tricks.as_strided(corner, shape, strides)

    def diagonal_place(
        self, x: Array, offset: int, axis1: int, axis2: int, size: tuple[int, ...], out: Array | None = None
    ) -> Array:
        """Zeros of the given size with x as that diagonal."""
        y = self.full(size, 0, x.dtype, out)
        self.move(x, self.diagonal(y, offset, axis1, axis2))
        return y

    def flip(self, x: Array, axes: Axes, out: Array | None = None) -> Array:
        """The elements in reverse order along the axes, as a copy."""
        y = self.result(out, x.shape, x.dtype)
        self.move(x[(*(slice(None, None, -1 if axis in axes else 1) for axis in range(x.ndim)), ...)], y)
        return y

    def roll(self, x: Array, shifts: tuple[int, ...], axes: Axes, out: Array | None = None) -> Array:
        """The elements moved along the axes, round and round."""
        y = self.result(out, x.shape, x.dtype)
        if x.size:
            # Along each axis two parts change places; every choice of parts is one block that moves as a whole.
            parts = []
            for axis, n in enumerate(x.shape):
                shift = sum(s for s, a in zip(shifts, axes) if a % x.ndim == axis) % n
                swapped = [(slice(0, n - shift), slice(shift, n)), (slice(n - shift, n), slice(0, shift))]
                parts.append(swapped[: 2 if shift else 1])
            for block in product(*parts):
                self.move(x[(*(source for source, _ in block), ...)], y[(*(target for _, target in block), ...)])
        return y

    def tile(self, x: Array, repeats: tuple[int, ...], out: Array | None = None) -> Array:
        """The array so many times along each axis."""
        sizes = (1,) * (len(repeats) - x.ndim) + x.shape
        repeats = (1,) * (x.ndim - len(repeats)) + tuple(repeats)
        y = self.result(out, tuple([r * n for r, n in zip(repeats, sizes)]), x.dtype)
        # Each axis of y is two: which repetition, and where in it.
        apart = [m for r, n in zip(repeats, sizes) for m in (r, n)]
        x = x[(*(entry for _ in x.shape for entry in (None, slice(None))), ...)]
        self.move(self.broadcast_to(x, tuple(apart)), y.reshape(apart))
        return y
