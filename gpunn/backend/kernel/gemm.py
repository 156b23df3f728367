"""How a matrix product is divided among blocks, and how its matrices are given to the kernels of `kernels/gemm.cuh`."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from .family import Array, accumulator, ceil_div
from .quad import Quads

TILES = {"large": (128, 128, 256), "medium": (64, 64, 256), "small": (16, 64, 64)}
"""Rows and columns that a block computes, and its threads."""
BLOCKS = 132
"""So many blocks of 256 threads keep a GPU busy, one for each multiprocessor of an H100; of smaller blocks more. It is
the same on other GPUs, so that the order of sums does not depend on the GPU."""
FEW = 32
"""Up to so many rows small tiles are taken: less of the work is in vain."""
SHORTEST = 128
"""A sum is not cut into parts shorter than this."""
STEP = 32
"""Parts are multiples of it, as it is one of the depth that a block goes at a step, whatever the tile."""


class Schedule(NamedTuple):
    """How a product is computed.

    Attributes:
        size: of the tiles.
        transposed: whether it is computed as the transpose of the product of the transposed matrices.
        grid: the tiles, and the parts.
        block: its threads.
        parts: into how many parts the sum of an element is cut, for as many blocks.
        part_depth: the terms of a part.
    """

    size: str
    transposed: bool
    grid: tuple[int, int]
    block: tuple[int]
    parts: int
    part_depth: int


@lru_cache(maxsize=4096)
def schedule(rows: int, columns: int, depth: int, batch: int = 1, may_transpose: bool = False) -> Schedule:
    """The schedule of products (rows, depth) (depth, columns), by shape alone.

    Large tiles read the least for each multiplication, so they are taken where there are enough of them for all of a
    GPU. For few rows (or few columns, transposed) small ones are. Where even so the blocks are too few, and the sums
    long, parts of the sums are divided among blocks. The bounds are reasoned, not measured.
    """
    transposed = may_transpose and columns <= FEW < rows
    if transposed:
        rows, columns = columns, rows
    tiles = {size: batch * ceil_div(rows, r) * ceil_div(columns, c) for size, (r, c, _) in TILES.items()}
    size = "small" if rows <= FEW else "large" if tiles["large"] >= BLOCKS else "medium"
    threads = TILES[size][2]
    parts = max(1, min(BLOCKS * 256 // threads // tiles[size], depth // SHORTEST))
    part_depth = max(1, ceil_div(depth, parts * STEP)) * STEP
    parts = max(1, ceil_div(depth, part_depth))
    return Schedule(size, transposed, (tiles[size], parts), (threads,), parts, part_depth)


class Gemm(Quads):
    """What products of matrices have in common."""

    def vectors(self, *matrices: tuple[Array | int | None, ...]) -> int:
        """Which of A, B and C can be moved in quads, as the kernels have it: the sum of 1, 2 and 4.

        A matrix is given as its arrays, the length of its lines, and the steps between lines and between matrices; where
        lines lie one behind the other, length and step are the same.
        """
        return sum(2**i for i, parts in enumerate(matrices) if self.quads(*parts))

    def parts(self, plan: Schedule, count: int, dtype: object) -> Array | None:
        """Room for the parts of `count` sums, None where there is one part only."""
        return None if plan.parts == 1 else self.empty((plan.parts, count), accumulator(dtype))

    def add_parts(
        self,
        parts: Array | None,
        y: Array,
        bias: Array | None = None,
        kind: int = 0,
        parameter: float = 0.0,
        rest: Array | None = None,
    ) -> None:
        """f(the sums of the parts + bias) to y, and further sums to `rest`; nothing where there are no parts."""
        if parts is not None:
            tail, columns = 0 if rest is None else rest.size, 1 if bias is None else bias.size
            args = (parts, bias, y, rest, len(parts), y.size, tail, columns, kind, parameter)
            self.launch_elements("split_k.cu", "add_parts", y.size + tail, args, scalar_t=y.dtype)
