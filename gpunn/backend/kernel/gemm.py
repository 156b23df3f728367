"""How a matrix product is divided among blocks, and how its matrices are given to the kernels of `kernels/gemm.cuh`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gpunn.backend import recording

from .counting import Counting
from .family import Array, accumulator, ceil_div
from .quad import Quads
from .tiles import STEP, TENSOR_TILES, TF32_TILES, TILES, WGMMA_TILES, Tile

if TYPE_CHECKING:
    from .tuning import Trial, Tuner

Way = TypeVar("Way")
MULTIPROCESSORS = 132
"""Of the GPU that products are divided for: an H100 or H200. It is the same on other GPUs, so that the order of sums
does not depend on the GPU."""
MOST_PARTS = 256
ROOM = 32 << 20
"""Bytes that the parts of a product may take, in float32."""
FEW = 32
"""Up to so many columns, and fewer than rows, the transpose of a product is computed: tiles are wider than high."""


ROUND = 1500
"""Cycles from the start of a block to its first multiplication, and from the last one to its end."""
SECOND_PASS = 3400
"""Cycles that the launch of `add_parts` takes: of 1.7 microseconds, measured on an H200,"""
PART = 60
"""those that it takes for each part, one after the other,"""
BYTES = 2000
"""and the bytes of parts that all multiprocessors write, or read, in a cycle: 4 TB/s at 1.98 GHz."""
LAST_BLOCK = 1500
"""Cycles that it takes a block to say that it has come, and one to know that it is the last, estimated;"""
AWAY = 700
"""those until it has what it reads of the second cache;"""
BYTES_OF_ONE = 64
"""and the bytes that a multiprocessor reads from there in a cycle."""
NODE = 2400
"""Cycles that one more launch in a graph takes, of 1.2 microseconds."""
COUNTED = recording.MOST_COUNTERS // 2
"""The most tiles of a product whose blocks are counted."""


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
    return min(ranked(tiles, counts, depth, elements), key=lambda found: found[0])[1]


def ranked(tiles: dict[str, Tile], counts: dict[str, int], depth: int, elements: int) -> Iterator[tuple[int, Division]]:
    """All divisions, each with the cycles that it takes as predicted, where a launch adds up the parts; as `divide`."""
    most_parts = max(1, min(MOST_PARTS, ROOM // (4 * max(elements, 1)), ceil_div(depth, STEP)))
    for division in _divisions(tiles, counts, depth, most_parts):
        tile, blocks = tiles[division.size], division.tiles * division.parts
        cycles = rounds(tile, ceil_div(blocks, MULTIPROCESSORS), division.part_depth)
        yield cycles + (second_pass(division.parts, elements) if division.parts > 1 else 0), division


def rounds(tile: Tile, blocks: int, depth: int) -> int:
    """The cycles that a multiprocessor takes for some blocks: full rounds, and a last one that may not be full."""

    def of(at_once: int) -> int:
        return max(at_once * tile.cycles, tile.alone) * depth + ROUND if at_once else 0

    return blocks // tile.resident * of(tile.resident) + of(blocks % tile.resident)


def second_pass(parts: int, elements: int) -> int:
    """The cycles until another launch has added up all parts."""
    return SECOND_PASS + parts * PART + ceil_div(2 * 4 * parts * elements, BYTES)


def _last_blocks(tile: Tile, tiles: int, parts: int) -> int:
    """The cycles until the last block of each tile has added up its parts."""
    slab = 4 * tile.slab
    of_one = max(ceil_div(parts * slab, BYTES_OF_ONE), math.ceil(parts / tile.ahead) * AWAY)
    return LAST_BLOCK + ceil_div(tiles, MULTIPROCESSORS) * of_one + ceil_div(tiles * parts * slab, BYTES)


def _divisions(tiles: dict[str, Tile], counts: dict[str, int], depth: int, most_parts: int) -> Iterator[Division]:
    for size, count in counts.items():
        step = tiles[size].step
        for wanted in range(1, most_parts + 1):
            part_depth = max(1, ceil_div(depth, wanted * step)) * step
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
        counted: whether the last block of a tile adds up its parts; else, where there are some, another launch does.
    """

    size: str
    transposed: bool
    grid: tuple[int, int]
    block: tuple[int]
    parts: int
    part_depth: int
    counted: bool = False


@lru_cache(maxsize=4096)
def schedule(
    rows: int,
    columns: int,
    depth: int,
    batch: int = 1,
    may_transpose: bool = False,
    tensor: bool = False,
    tf32: bool = False,
    wgmma: bool = False,
) -> Schedule:
    """The schedule of products (rows, depth) (depth, columns), by shape alone; with `tensor` on tensor cores.

    On them factors are halves, or with `tf32` floats; with `wgmma` halves that warpgroups multiply.

    Large tiles read the least for each multiplication, but leave the most in vain at the edges, and there may be too
    few of them for all multiprocessors, or a few more than a round of them. Parts of the sums, divided among blocks,
    make more blocks; they are written, read again and added up in order. `divide` weighs that up, and settles the
    parts. Who adds them up, and by which tiles, changes no bit: a launch of its own, or the last block of each tile,
    where that takes no longer; tensor cores leave it to a launch.
    """
    transposed = may_transpose and columns < rows and columns <= FEW
    high, wide = (columns, rows) if transposed else (rows, columns)
    if tensor:
        offered = TF32_TILES if tf32 else WGMMA_TILES if wgmma else TENSOR_TILES
        size, tiles, parts, part_depth = divide(
            offered, _tiles(offered, high, wide, batch), depth, batch * rows * columns
        )
        return Schedule(size, transposed, (tiles, parts), (offered[size].threads,), parts, part_depth)
    return min(_schedules(high, wide, depth, batch, transposed), key=lambda found: found[0])[1]


def in_smaller_tiles(plan: Schedule, batch: int, rows: int, columns: int, tf32: bool) -> Schedule:
    """A schedule for tensor cores without wide tiles, which are for whole chunks alone; the same parts."""
    if plan.size != "wide":
        return plan
    tile = (TF32_TILES if tf32 else TENSOR_TILES)["large"]
    tiles = batch * ceil_div(rows, tile.rows) * ceil_div(columns, tile.columns)
    return plan._replace(size="large", grid=(tiles, plan.parts), block=(tile.threads,))


class Pair(NamedTuple):
    """How the gradients of an affine map are computed: dX and dW.

    Attributes:
        dx: its schedule.
        dw: likewise.
        joined: whether one launch does both, with tiles of one size.
    """

    dx: Schedule
    dw: Schedule
    joined: bool


@lru_cache(maxsize=4096)
def pair(rows: int, inputs: int, outputs: int) -> Pair:
    """The schedules of dX (rows, inputs), with sums over the outputs, and of dW (outputs, inputs), over the rows.

    Each is cut into the parts that `schedule` cuts it into.
    """
    given = (rows, inputs, outputs), (outputs, inputs, rows)
    (dx_cycles, dx), (dw_cycles, dw) = (min(_schedules(*sizes), key=lambda found: found[0]) for sizes in given)
    best, cycles = Pair(dx, dw, False), dx_cycles + dw_cycles + NODE
    for first_cycles, first in _schedules(*given[0]):
        for second_cycles, second in _schedules(*given[1]):
            if not can_be_joined(first, second):
                continue
            both = joined_cycles(first_cycles, first, second_cycles, second)
            if both < cycles:
                best, cycles = Pair(first, second, True), both
    return best


def can_be_joined(dx: Schedule, dw: Schedule) -> bool:
    """Whether one launch can do both: their tiles are of one size, and nobody else adds up parts."""
    return dx.size == dw.size and not any(p.parts > 1 and not p.counted for p in (dx, dw))


def joined_cycles(dx_cycles: int, dx: Schedule, dw_cycles: int, dw: Schedule) -> int:
    """The cycles of one launch for both, of which each alone takes so many."""
    blocks, terms = 0, 0
    for plan in (dx, dw):
        blocks += plan.grid[0] * plan.parts
        terms += plan.grid[0] * plan.parts * plan.part_depth
    both = rounds(TILES[dx.size], ceil_div(blocks, MULTIPROCESSORS), ceil_div(terms, blocks))
    return both + max(dx_cycles - _alone(dx), dw_cycles - _alone(dw))


def _alone(plan: Schedule) -> int:
    """The cycles of a product without the addition of its parts."""
    return rounds(TILES[plan.size], ceil_div(plan.grid[0] * plan.parts, MULTIPROCESSORS), plan.part_depth)


def _tiles(tiles: dict[str, Tile], rows: int, columns: int, batch: int) -> dict[str, int]:
    return {size: batch * ceil_div(rows, t.rows) * ceil_div(columns, t.columns) for size, t in tiles.items()}


@lru_cache(maxsize=4096)
def _schedules(
    rows: int, columns: int, depth: int, batch: int = 1, transposed: bool = False
) -> tuple[tuple[int, Schedule], ...]:
    """All schedules with the parts that `divide` settles, and the cycles that each takes as predicted."""
    counts, elements = _tiles(TILES, rows, columns, batch), batch * rows * columns
    _, _, parts, part_depth = divide(TILES, counts, depth, elements)
    divisions = (Division(size, count, parts, part_depth) for size, count in counts.items())
    return tuple(found for division in divisions for found in _schedules_of(division, elements, transposed))


def _schedules_of(division: Division, elements: int, transposed: bool) -> Iterator[tuple[int, Schedule]]:
    """The schedules of a division, which differ in who adds up the parts."""
    size, count, parts, part_depth = division
    plan = Schedule(size, transposed, (count, parts), (TILES[size].threads,), parts, part_depth)
    cycles = _alone(plan)
    if parts == 1:
        yield cycles, plan
        return
    yield cycles + second_pass(parts, elements), plan
    if count <= COUNTED and 4 * count * parts * TILES[size].slab <= ROOM:
        yield cycles + _last_blocks(TILES[size], count, parts), plan._replace(counted=True)


def all_schedules(
    rows: int,
    columns: int,
    depth: int,
    batch: int = 1,
    may_transpose: bool = False,
    tensor: bool = False,
    tf32: bool = False,
    wgmma: bool = False,
) -> Iterator[tuple[int, Schedule]]:
    """Every schedule that `schedule` could have taken, with any number of parts, and its cycles as predicted."""
    elements = batch * rows * columns
    if tensor:
        offered = TF32_TILES if tf32 else WGMMA_TILES if wgmma else TENSOR_TILES
        for cycles, (size, count, parts, part_depth) in ranked(
            offered, _tiles(offered, rows, columns, batch), depth, elements
        ):
            threads = (offered[size].threads,)
            yield cycles, Schedule(size, False, (count, parts), threads, parts, part_depth)
        return
    for transposed in (False, True)[: 1 + (may_transpose and columns <= FEW)]:
        high, wide = (columns, rows) if transposed else (rows, columns)
        for _, division in ranked(TILES, _tiles(TILES, high, wide, batch), depth, elements):
            yield from _schedules_of(division, elements, transposed)


class Gemm(Quads, Counting):
    """What products of matrices have in common.

    Attributes:
        tuner: picks by measurement how they are computed; None where predictions do.
    """

    tuner: Tuner | None = None

    def picked(
        self,
        op: str,
        sizes: tuple[Any, ...],
        precision: str,
        predicted: Way,
        offered: Callable[[], Mapping[str, Way]],
        trial: Callable[[Any], Trial],
    ) -> Way:
        """The way to compute a product; see `tuning.Tuner.pick`."""
        return predicted if self.tuner is None else self.tuner.pick(op, sizes, precision, predicted, offered, trial)

    def vectors(self, *matrices: tuple[Array | int | None, ...]) -> int:
        """Which of some matrices can be moved in quads, as the kernels have it: the sum of 1, 2, 4, ... for those.

        A matrix is given as its arrays, the length of its lines, and the steps between lines and between matrices;
        where lines lie one behind the other, length and step are the same.
        """
        return sum(2**i for i, parts in enumerate(matrices) if self.quads(*parts))

    def chunks(self, memory: Array, *steps: int) -> bool:
        """Whether 16 bytes can be copied at once: the array and the steps, in its elements, are multiples of them."""
        size = 16 // memory.dtype.itemsize
        return self.address(memory) % 16 == 0 and all(step % size == 0 for step in steps)

    def parts(self, plan: Schedule, count: int, dtype: object) -> Array | None:
        """Room for the parts of `count` sums, None where there is one part only."""
        if plan.parts == 1:
            return None
        tiles, parts = plan.grid
        shape = (tiles * parts, TILES[plan.size].slab) if plan.counted else (parts, count)
        return self.empty(shape, accumulator(dtype))

    def tile_counters(self, plan: Schedule, begin: int = 0) -> Array | None:
        """A counter for each tile, from the one of number `begin` on; None where blocks are not counted."""
        return self.counters(plan.grid[0], begin) if plan.counted else None

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
