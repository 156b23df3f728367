"""How a matrix product is divided among blocks, and how its matrices are given to the kernels of `kernels/gemm.cuh`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from .family import Array, accumulator, ceil_div
from .quad import Quads

MULTIPROCESSORS = 132
"""Of the GPU that products are divided for: an H100 or H200. It is the same on other GPUs, so that the order of sums
does not depend on the GPU."""
STEP = 32
"""Parts of a sum are multiples of it, as it is one of the depth that a block goes at a step, whatever the tile."""
MOST_PARTS = 256
ROOM = 32 << 20
"""Bytes that the parts of a product may take, in float32."""
FEW = 32
"""Up to so many columns, and fewer than rows, the transpose of a product is computed: tiles are wider than high."""


class Tile(NamedTuple):
    """What a block computes, and what that takes: cycles, predicted, of one term of the sums of all of its elements.

    They are predicted from the machine code for sm_90 by NVRTC 12.9: a multiprocessor issues four instructions a cycle,
    reads 128 bytes of shared memory, and about 20 of the second cache. `benchmarks/gpu_report/schedules.py` measures
    what schedules take.

    Attributes:
        rows: of the tile.
        columns: of the tile.
        threads: of the block.
        resident: so many such blocks a multiprocessor runs at once.
        cycles: of a multiprocessor with enough blocks, by what it is short of.
        alone: of a block that is alone there, and waits for memory and barriers.
    """

    rows: int
    columns: int
    threads: int
    resident: int
    cycles: int
    alone: int


TILES = {
    "large": Tile(128, 128, 256, resident=2, cycles=165, alone=190),
    "medium": Tile(64, 64, 256, resident=2, cycles=45, alone=55),
    "small": Tile(16, 64, 64, resident=6, cycles=16, alone=48),
}
"""Those of `matmul_*` and `linear_*`."""
TENSOR_TILES = {
    "large": Tile(128, 128, 256, resident=2, cycles=13, alone=26),
    "small": Tile(64, 64, 128, resident=4, cycles=5, alone=18),
}
"""Those of `matmul_tensor_*`, in half precision. Their cycles are those of shared memory, of which a warp reads its
fragments of A and of B once for 16 terms; mma.sync, at 63 % of what wgmma reaches, takes as many."""
ROUND = 1500
"""Cycles from the start of a block to its first multiplication, and from the last one to its end."""
SECOND_PASS = 3400
"""Cycles that the launch of `add_parts` takes: of 1.7 microseconds, measured on an H200,"""
PART = 60
"""those that it takes for each part, one after the other,"""
BYTES = 2000
"""and the bytes of parts that all multiprocessors write, or read, in a cycle: 4 TB/s at 1.98 GHz."""


class Division(NamedTuple):
    """Into what a product is divided.

    Attributes:
        size: of the tiles.
        tiles: how many of them.
        parts: into how many parts the sum of an element is cut, for as many blocks.
        part_depth: the terms of a part.
    """

    size: str
    tiles: int
    parts: int
    part_depth: int


def divide(tiles: dict[str, Tile], counts: dict[str, int], depth: int, elements: int) -> Division:
    """The division that takes the fewest cycles, as predicted; of equals the first tile, and the fewest parts.

    Args:
        tiles: to choose from.
        counts: how many of each size there are in the product.
        depth: the terms of a sum.
        elements: of the product, each of them a sum.
    """

    def predicted(division: Division) -> int:
        tile, blocks = tiles[division.size], division.tiles * division.parts
        cycles = _rounds(tile, ceil_div(blocks, MULTIPROCESSORS), division.part_depth)
        if division.parts > 1:
            written = division.parts * elements * 4
            cycles += SECOND_PASS + division.parts * PART + ceil_div(2 * written, BYTES)
        return cycles

    most_parts = max(1, min(MOST_PARTS, ROOM // (4 * max(elements, 1)), ceil_div(depth, STEP)))
    return min(_divisions(counts, depth, most_parts), key=predicted)


def _rounds(tile: Tile, blocks: int, depth: int) -> int:
    """The cycles that a multiprocessor takes for some blocks: full rounds, and a last one that may not be full."""

    def of(at_once: int) -> int:
        return max(at_once * tile.cycles, tile.alone) * depth + ROUND if at_once else 0

    return blocks // tile.resident * of(tile.resident) + of(blocks % tile.resident)


def _divisions(counts: dict[str, int], depth: int, most_parts: int) -> Iterator[Division]:
    for size, count in counts.items():
        for wanted in range(1, most_parts + 1):
            part_depth = max(1, ceil_div(depth, wanted * STEP)) * STEP
            parts = max(1, ceil_div(depth, part_depth))
            if parts == wanted:
                yield Division(size, count, parts, part_depth)


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
def schedule(
    rows: int, columns: int, depth: int, batch: int = 1, may_transpose: bool = False, tensor: bool = False
) -> Schedule:
    """The schedule of products (rows, depth) (depth, columns), by shape alone; with `tensor` on tensor cores.

    Large tiles read the least for each multiplication, but leave the most in vain at the edges, and there may be too
    few of them for all multiprocessors, or a few more than a round of them. Parts of the sums, divided among blocks,
    make more blocks; they are written, read again and added up in order, by another launch. `divide` weighs that up.
    """
    offered = TENSOR_TILES if tensor else TILES
    transposed = may_transpose and columns < rows and columns <= FEW
    high, wide = (columns, rows) if transposed else (rows, columns)
    counts = {size: batch * ceil_div(high, t.rows) * ceil_div(wide, t.columns) for size, t in offered.items()}
    size, tiles, parts, part_depth = divide(offered, counts, depth, batch * rows * columns)
    return Schedule(size, transposed, (tiles, parts), (offered[size].threads,), parts, part_depth)


class Gemm(Quads):
    """What products of matrices have in common."""

    def vectors(self, *matrices: tuple[Array | int | None, ...]) -> int:
        """Which of A, B and C can be moved in quads, as the kernels have it: the sum of 1, 2 and 4.

        A matrix is given as its arrays, the length of its lines, and the steps between lines and between matrices;
        where lines lie one behind the other, length and step are the same.
        """
        return sum(2**i for i, parts in enumerate(matrices) if self.quads(*parts))

    def chunks(self, *parts: Array | int | None) -> bool:
        """Whether 16 bytes can be copied at once: the arrays and steps given are all at multiples of eight halves."""
        return all(
            part % 8 == 0 if isinstance(part, int) else part is None or self.address(part) % 16 == 0 for part in parts
        )

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
