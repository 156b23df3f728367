"""How elementwise kernels walk over operands with strides, or broadcast: the host's half of `elementwise.cuh`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .family import MAX_RANK, Array, Family, ceil_div, collapse, element_strides, layout, prod

_THREADS = 256
_MOST_Y = 65535


@dataclass(frozen=True)
class Rows:
    """The elements of a result as rows and columns.

    Attributes:
        rows: how many rows.
        columns: how many elements each has.
        operands: for each operand four arguments of a kernel: memory, the place of the first element, the `Layout` of
            the rows, and the step from one column to the next.
        vector: whether four neighbours may be read and written as one, wherever the step is 1.
    """

    rows: int
    columns: int
    operands: tuple[tuple[Any, ...], ...]
    vector: bool

    @property
    def block(self) -> tuple[int, int]:
        """Threads along the columns, each with four of them, and along the rows."""
        along = min(_THREADS, 1 << (ceil_div(self.columns, 4) - 1).bit_length())
        return along, _THREADS // along

    @property
    def grid(self) -> tuple[int, int]:
        """Blocks along the columns and along the rows."""
        along, rows = self.block
        return ceil_div(self.columns, 4 * along), min(ceil_div(self.rows, rows), _MOST_Y)


class Walk(Family):
    """Elementwise walks over arrays."""

    address: Callable[[Array], int]

    def aligned(self, *arrays: Array | None) -> bool:
        """Whether the first four elements of each array, and so any four after them, may be read as one."""
        return all(self.address(a) % min(16, 4 * a.dtype.itemsize) == 0 for a in arrays if a is not None)

    def as_rows(self, shape: tuple[int, ...], operands: Sequence[Array | None], *results: Array) -> Rows:
        """Operands that broadcast to `shape`, and the row-major arrays for the results, as rows.

        None stands for an operand that is a number. The results must not be empty.
        """
        steps = [(0,) * len(shape) if x is None else broadcast_strides(x, shape) for x in operands]
        # The results, without gaps, merge wherever the operands do: their columns are neighbours in memory.
        sizes, walks = _merged(shape, *steps)
        if len(sizes) > MAX_RANK + 1:
            copies = [None if x is None else self.copy(self.xp.broadcast_to(x, shape)) for x in operands]
            return self.as_rows(shape, copies, *results)
        columns = sizes[-1] if sizes else 1
        vector = columns % 4 == 0 and self.aligned(*results)
        described = []
        for x, walk in zip(operands, walks):
            memory, start = (None, 0) if x is None else self.span(x)
            step = walk[-1] if walk else 0
            if step == 1:
                vector = vector and self.aligned(memory) and all(s % 4 == 0 for s in (start, *walk[:-1]))
            described.append((memory, start, layout(sizes[:-1], walk[:-1]), step))
        return Rows(prod(sizes[:-1]), columns, tuple(described), vector)


_merged = lru_cache(maxsize=4096)(collapse)


def broadcast_strides(x: Array, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The steps of `x` in memory along the axes of `shape`, to which it is broadcast."""
    missing = len(shape) - x.ndim
    own = [0 if n == 1 else s for n, s in zip(x.shape, element_strides(x))]
    return (0,) * missing + tuple(own)
