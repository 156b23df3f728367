"""How the weight gradient of a convolution by sliding windows is divided among blocks; see its kernel text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from .conv_plan import MOST_SHARED_BYTES, WARP, Convolution
from .counting import SIXTEEN
from .family import ceil_div, prod
from .gemm import LAST_BLOCK, MULTIPROCESSORS, NODE, second_pass
from .sliding_plan import OUTPUTS, QUAD, RESIDENT_BYTES, START, WAIT, evenly, slides

GRADIENT_THREADS = 128
"""The most of a block of `kernels/conv_sliding_weight.cu`."""
RESIDENT_GRADIENT_THREADS = {4: 384, 8: 256}
"""Of a multiprocessor, by the bytes of an element: that many registers they take."""
QUAD_OF_ROW, ROW_OF_TILE, TILE = 24, 22, 90
"""Instructions of a warp beside its multiplications, as `gpunn profile` has them for sm_90: of four positions, of a
row, and of a tile;"""
COPY, ROW_OF_COPIES = 9, 25
"""of a copy to shared memory, and of those of a row;"""
BLOCK, SUM = 900, 12
"""of a block, and of each sum of it for a thread to write."""
TILE_WAIT = 700
"""Cycles of a tile that a warp waits for copies and barriers, if no other one works in the meantime."""
SUM_OF_SHARES = 420
"""Cycles in which the last block of some reads and adds up what up to 16 of them have found of a sum."""
LEAST_CHANNELS, LEAST_THREADS, MOST_ROWS, MOST_QUADS = 4, 48, 32, 16
"""Bounds of tiles of the weight gradient that are thought of: others are slower, and to think takes time too."""
MOST_CORNER = 1 << 15
"""The padding that a thread of the weight gradient can count with."""
BLOCKS = (132, 264, 396, 528, 792)
"""So many may share the positions of a weight gradient: one for each multiprocessor, or several."""


class WeightTile(NamedTuple):
    """What a block of the weight gradient works on.

    Attributes:
        rows: of positions.
        quads: of columns of positions.
        pitch: words from row to row of the image in shared memory.
        plane: and from channel to channel.
        quad: words of the gradients at four positions, to the next four.
        gradient_pitch: and from row to row of them.
        output_threads: threads of the same channel and row of the kernel, 8 outputs each.
        channels: of the input.
        row_parts: threads that share the rows of a tile.
        grid: the blocks that share the tiles, evenly, and those that share outputs and channels.
        threads: of the block.
        shared: bytes of shared memory.
        counted: whether the last blocks add up the parts; else another launch does.
    """

    rows: int
    quads: int
    pitch: int
    plane: int
    quad: int
    gradient_pitch: int
    output_threads: int
    channels: int
    row_parts: int
    grid: tuple[int, int]
    threads: int
    shared: int
    counted: bool

    @property
    def args(self) -> tuple[int, ...]:
        """What the kernel is told of it."""
        return self[:9]

    def sharing(self, kernel: int, image_unit: int, gradient_unit: int) -> tuple[int, ...]:
        """How threads share the copies of x and of dz, so many neighbours at once; as the kernel is told of it."""
        margin = QUAD - kernel // 2
        of_image = ceil_div(QUAD * self.quads + kernel - 1 + margin % image_unit, image_unit)
        of_gradient = ceil_div(QUAD * self.quads, gradient_unit)
        found: tuple[int, ...] = ()
        for unit, units, rows in (
            (image_unit, of_image, self.rows + kernel - 1),
            (gradient_unit, of_gradient, self.rows),
        ):
            row_threads = min(rows, self.threads // units)
            found += (unit, row_threads, self.threads // (units * row_threads))
        return found


def rows_of_thread(kernel: int, itemsize: int) -> int:
    """Rows of the kernel that a thread of the weight gradient has."""
    return 3 if kernel == 3 and itemsize == 4 else 1


@lru_cache(maxsize=4096)
def sliding_weight_tile(f: Convolution, itemsize: int) -> tuple[int, WeightTile] | None:
    """The cycles, predicted, and the tile of the weight gradient; None if none fits."""
    found = [(_weight_cycles(f, tile, itemsize), tile) for tile in _weight_tiles(f, itemsize)]
    if not found:
        return None
    cycles, tile = min(found)
    return cycles, _spread(f, tile, itemsize)


def ranked_weight_tiles(f: Convolution, itemsize: int, most: int) -> list[tuple[int, WeightTile]]:
    """So many, the one that is predicted to take the fewest cycles first; of each shape that with the best grid."""
    best: dict[tuple[int, ...], tuple[int, WeightTile]] = {}
    for tile in _weight_tiles(f, itemsize):
        found = _weight_cycles(f, tile, itemsize), tile
        best[tile.args] = min(found, best.get(tile.args, found))
    return [(cycles, _spread(f, tile, itemsize)) for cycles, tile in sorted(best.values())[:most]]


def _weight_tiles(f: Convolution, itemsize: int) -> Iterator[WeightTile]:
    if not slides(f) or max(f.corner) >= MOST_CORNER:
        return
    kernel, outputs = f.kernel[0], ceil_div(f.outer, OUTPUTS)
    of_channel = kernel // rows_of_thread(kernel, itemsize)
    for channels, output_threads in product(evenly(f.inner, LEAST_CHANNELS), evenly(outputs)):
        lanes = channels * of_channel * output_threads
        if lanes > GRADIENT_THREADS or output_threads * OUTPUTS > GRADIENT_THREADS:
            continue
        combinations = f.groups * ceil_div(f.inner, channels) * ceil_div(outputs, output_threads)
        sizes = evenly(f.positions[0], 1, MOST_ROWS), evenly(ceil_div(f.positions[1], QUAD), 1, MOST_QUADS)
        for rows, quads in product(*sizes):
            tiles = f.images * ceil_div(f.positions[0], rows) * ceil_div(f.positions[1], QUAD * quads)
            pitch, quad = QUAD * (quads + 2), _odd_quads(output_threads * QUAD * (OUTPUTS + 1))
            plane, gradient_pitch = _odd_quads((rows + kernel - 1) * pitch), quads * quad
            buffers = 2 * (channels * plane + rows * gradient_pitch)
            if buffers * itemsize > MOST_SHARED_BYTES:
                continue
            parts = evenly(min(rows, GRADIENT_THREADS // lanes))
            for row_parts in [p for p in parts if p * lanes >= LEAST_THREADS] or parts[:1]:
                threads = ceil_div(max(lanes * row_parts, output_threads * OUTPUTS, 4 * quads + 4), WARP) * WARP
                shared = max(buffers, row_parts * output_threads * OUTPUTS * channels * f.taps) * itemsize
                if shared > MOST_SHARED_BYTES or threads > GRADIENT_THREADS:
                    continue
                for blocks in BLOCKS:
                    grid = min(tiles, max(1, blocks // combinations)), combinations
                    tile = WeightTile(
                        rows, quads, pitch, plane, quad, gradient_pitch, output_threads, channels, row_parts, grid,
                        threads, shared, True,
                    )  # fmt: skip
                    launches = _in_launch(tile) < _in_block(f, tile)
                    yield tile._replace(counted=False) if launches else tile


def _in_block(f: Convolution, tile: WeightTile) -> int:
    """The cycles until the last blocks have added up the parts."""
    if tile.grid[0] == 1:
        return 0
    sums, stages = tile.output_threads * OUTPUTS * tile.channels * f.taps, 1 if tile.grid[0] <= SIXTEEN else 2
    return LAST_BLOCK + ceil_div(sums, tile.threads) * stages * SUM_OF_SHARES


def _in_launch(tile: WeightTile) -> int:
    """Those until another launch has."""
    return second_pass(tile.grid[0], 0) + NODE


def _weight_cycles(f: Convolution, tile: WeightTile, itemsize: int) -> int:
    """As `_cycles`, until the parts are added up."""
    kernel, shares = f.kernel[0], tile.grid[0]
    own = rows_of_thread(kernel, itemsize) * kernel * OUTPUTS
    rows, width = ceil_div(tile.rows, tile.row_parts), min(QUAD * tile.quads, f.positions[1])
    quads = rows * ceil_div(width, QUAD)
    of_tile = rows * (width * own * (itemsize // 4) + ROW_OF_TILE) + quads * QUAD_OF_ROW + TILE
    units = _units(f)
    planes = tile.channels, tile.output_threads * OUTPUTS
    for n, (high, count) in enumerate(zip((tile.rows + kernel - 1, tile.rows), planes)):
        _, row_threads, sharers = tile.sharing(kernel, *units)[3 * n : 3 * n + 3]
        of_tile += ceil_div(high, row_threads) * (ROW_OF_COPIES + ceil_div(count, sharers) * COPY)
    tiles = f.images * ceil_div(f.positions[0], tile.rows) * ceil_div(f.positions[1], QUAD * tile.quads)
    sums = tile.output_threads * OUTPUTS * tile.channels * f.taps
    of_block = BLOCK + ceil_div(sums, tile.threads) * (SUM + 4 * tile.row_parts)
    issued = tiles / shares * of_tile + of_block
    alone = ceil_div(tiles, shares) * (of_tile + quads * WAIT + TILE_WAIT) + of_block
    resident = max(1, min(RESIDENT_GRADIENT_THREADS[itemsize] // tile.threads, RESIDENT_BYTES // tile.shared))
    blocks, warps = ceil_div(prod(tile.grid), MULTIPROCESSORS), tile.threads // WARP

    def of(at_once: int) -> float:
        return max(at_once * warps / 4 * issued, alone) + START if at_once else 0

    cycles = int(blocks // resident * of(resident) + of(blocks % resident))
    if shares == 1:
        return cycles
    moved = second_pass(shares, f.groups * f.outer * f.depth) - second_pass(shares, 0)
    return cycles + moved + (_in_block(f, tile) if tile.counted else _in_launch(tile))


def _units(f: Convolution) -> tuple[int, int]:
    """So many neighbours of x and of dz can be moved at once, 4, 2 or 1, if both begin at a multiple of 4."""
    margin = QUAD - f.kernel[1] // 2 + f.corner[1]
    return unit_of(margin, f.size[1]), unit_of(f.positions[1])


def unit_of(*counts: int) -> int:
    """The largest of 4, 2 and 1 that these numbers are multiples of."""
    return next(unit for unit in (4, 2, 1) if not any(count % unit for count in counts))


def _spread(f: Convolution, tile: WeightTile, itemsize: int) -> WeightTile:
    """The tile with pitches such that lanes that read together read from as many banks as can be, where that fits."""
    kernel, of_thread = f.kernel[0], rows_of_thread(f.kernel[0], itemsize)
    lanes = tile.channels * (kernel // of_thread)
    places = [
        (
            n % lanes % tile.channels,
            n % lanes // tile.channels * of_thread + row_part,
            rest % tile.output_threads,
            row_part,
        )
        for n in range(WARP)
        for rest in [n // lanes]
        for row_part in [rest // tile.output_threads]
    ]  # channels, rows, outputs and parts of the rows of the lanes of a warp

    def passes(*steps: int) -> int:
        """The cycles in which they read four words each, so many quads apart for each of these."""
        of = [sum(n * step for n, step in zip(place, steps)) for place in places]
        quarters = [set(of[first : first + 8]) for first in range(0, WARP, 8)]
        return sum(max(sum(q % 8 == bank for q in quarter) for bank in range(8)) for quarter in quarters)

    high, pitch, gradient_pitch = tile.rows + kernel - 1, tile.pitch // QUAD, tile.gradient_pitch // QUAD
    found = [
        (passes(plane, row, 0, 0), plane, row)
        for row in range(pitch, pitch + 8)
        for plane in range(high * row, high * row + 8)
    ]
    of_gradient = [(passes(0, 0, OUTPUTS + 1, row), row) for row in range(gradient_pitch, gradient_pitch + 8)]
    (_, plane, pitch), (_, gradient_pitch) = min(found), min(of_gradient)
    shared = max(2 * QUAD * (tile.channels * plane + tile.rows * gradient_pitch) * itemsize, tile.shared)
    if shared > MOST_SHARED_BYTES:
        return tile
    return tile._replace(pitch=QUAD * pitch, plane=QUAD * plane, gradient_pitch=QUAD * gradient_pitch, shared=shared)


def _odd_quads(words: int) -> int:
    """The next odd multiple of four: neighbouring threads begin in other banks."""
    return ceil_div(words, QUAD) * QUAD + (0 if ceil_div(words, QUAD) % 2 else QUAD)
