"""How a convolution by sliding windows is divided among blocks of threads, by its shape alone; see its kernel text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from .conv_plan import MOST_SHARED_BYTES, WARP, Convolution, is_small, ranked_plans
from .family import ceil_div, prod
from .gemm import MULTIPROCESSORS, NODE, second_pass

KERNELS = (3, 5)
"""Sizes of kernels that there are texts for."""
LEAST_OUTPUTS = 3
"""In a group, of which a thread computes 8."""
LONGER = 1.2
"""So many times as long as an implicit product it may take by the cycles here, which are rough: those of
`gpunn profile` are about 0.9 of them, and 1.2 of those of implicit products."""
OUTPUTS = 8
PAIR, QUAD = 2, 4
"""Outputs, rows and columns that a thread computes."""
THREADS, GRADIENT_THREADS = 256, 128
"""The most of a block of `kernels/conv_sliding.cu`."""
RESIDENT_THREADS = {4: 512, 8: 256}
"""Of a multiprocessor, by the bytes of an element: that many registers they take."""
RESIDENT_GRADIENT_THREADS = {4: 384, 8: 256}
RESIDENT_BYTES = 220 << 10
"""Shared memory of a multiprocessor of an H100 that blocks can have together, without what each takes besides."""
SHARED_BYTES = 40 << 10
"""Shared memory that a block takes if it can choose."""
INSTRUCTIONS = 30
"""Of a row of the kernel, beside its multiplications; counted in the machine code for sm_90, as the following are,"""
INSTRUCTIONS_OF_QUAD = 60
"""and those of four positions of the weight gradient;"""
BRING = 10
"""those that bring an element into shared memory,"""
WAIT = 90
"""and cycles of a row that a thread waits for shared memory, if no other one works in the meantime."""
START = 3000
"""Those from the start of a block to its first multiplication, and from the last one to its end;"""
WRITE = 3500
"""those in which a block of the weight gradient writes what it found,"""
SLICE = 1500
"""and those in which the sums of one more slice are added."""
MOST_COUNTED_SUMS = 1536
"""That the last blocks add up by themselves."""
LEAST_CHANNELS, LEAST_THREADS, MOST_ROWS, MOST_QUADS = 4, 48, 32, 16
"""Bounds of tiles of the weight gradient that are thought of: others are slower, and to think takes time too."""
BLOCKS = (132, 264, 396, 528, 792)
"""So many may share the positions of a weight gradient: one for each multiprocessor, or several."""
CHUNK = 250
"""Cycles between two chunks: two barriers, and what has been asked for has yet to come. Estimated."""


class Tile(NamedTuple):
    """What a block of the convolution works on.

    Attributes:
        images: whose positions it has.
        pairs: of rows of positions.
        quads: of columns of positions.
        pitch: words from row to row in shared memory.
        plane: and from channel to channel, or image to image.
        output_threads: threads of the same positions, 8 outputs each.
        slices: threads of the same positions and outputs, which share the channels.
        channels: of the input at a time.
        part_channels: of the input in all.
        grid: the tiles, and the parts that sums are cut into.
        threads: of the block.
        shared: bytes of shared memory.
    """

    images: int
    pairs: int
    quads: int
    pitch: int
    plane: int
    output_threads: int
    slices: int
    channels: int
    part_channels: int
    grid: tuple[int, int]
    threads: int
    shared: int

    @property
    def args(self) -> tuple[int, ...]:
        """What the kernel is told of it."""
        return self[:9]


def slides(f: Convolution) -> bool:
    """Whether there is a text for such a convolution."""
    return (
        f.kernel[0] == f.kernel[1] in KERNELS
        and f.stride == f.dilation == (1, 1)
        and f.images * f.inner * f.outer * prod(f.positions) > 0
    )


@lru_cache(maxsize=4096)
def slides_faster(f: Convolution, itemsize: int, weight: bool) -> bool:
    """Whether a convolution, or its weight gradient, is predicted to take less time so than as an implicit product.

    That has no tiles that are wider than small images, and more of its blocks share the sums of few positions. With one
    or two outputs in a group most of what a thread computes here would be in vain.
    """
    found = sliding_weight_tile(f, itemsize) if weight else sliding_tile(f, itemsize)
    if found is None or f.outer < LEAST_OUTPUTS:
        return False
    if is_small(f):  # the direct convolution, which is the other way then, waits more
        return True
    implicit = "conv2d_weight_grad_implicit" if weight else "conv2d_implicit"
    return found[0] <= LONGER * min(cycles for cycles, _ in ranked_plans(implicit, f))


@lru_cache(maxsize=4096)
def sliding_tile(f: Convolution, itemsize: int) -> tuple[int, Tile] | None:
    """The cycles, predicted, and the tile of a convolution in elements of `itemsize` bytes; None if none fits."""
    found = [(_cycles(f, tile, itemsize), tile) for tile in _tiles(f, itemsize)]
    return min(found, default=None)


def _tiles(f: Convolution, itemsize: int) -> Iterator[Tile]:
    if not slides(f):
        return
    kernel, outputs = f.kernel[0], ceil_div(f.outer, OUTPUTS)
    for pairs, quads in product(_evenly(ceil_div(f.positions[0], PAIR)), _evenly(ceil_div(f.positions[1], QUAD))):
        whole = pairs * PAIR >= f.positions[0] and quads * QUAD >= f.positions[1]
        rows = PAIR * pairs + kernel - 1
        pitch = _pitch(pairs, quads)
        plane = rows * pitch
        for images, output_threads, slices in product((1, 2, 4, 8) if whole else (1,), _evenly(outputs), (1, 2, 4)):
            spots = images * pairs * quads
            threads = ceil_div(spots * output_threads * slices, WARP) * WARP
            if threads > THREADS or images > f.images or slices > f.inner:
                continue
            of_channel = (images * plane + f.taps * (OUTPUTS * output_threads + 4)) * itemsize
            tiles = ceil_div(f.images, images) * ceil_div(f.positions[0], PAIR * pairs)
            tiles *= ceil_div(f.positions[1], QUAD * quads) * f.groups * ceil_div(outputs, output_threads)
            for part_channels in _evenly(f.inner) if tiles < 2 * MULTIPROCESSORS else (f.inner,):
                channels = max(1, min(SHARED_BYTES // (2 * of_channel), part_channels))
                channels = ceil_div(ceil_div(part_channels, ceil_div(part_channels, channels)), slices) * slices
                buffers = 1 if channels == part_channels else 2
                words = PAIR * QUAD * OUTPUTS // 2 * threads
                shared = max(buffers * channels * of_channel, words * itemsize)
                if shared <= MOST_SHARED_BYTES:
                    grid = tiles, ceil_div(f.inner, part_channels)
                    yield Tile(
                        images,
                        pairs,
                        quads,
                        pitch,
                        plane,
                        output_threads,
                        slices,
                        channels,
                        part_channels,
                        grid,
                        threads,
                        shared,
                    )


def _cycles(f: Convolution, tile: Tile, itemsize: int) -> int:
    """Those of a multiprocessor with its share of the blocks, as predicted."""
    kernel = f.kernel[0]
    chunks = ceil_div(tile.part_channels, tile.channels)
    rows = chunks * tile.channels // tile.slices * kernel
    area = (PAIR * tile.pairs + kernel - 1) * (QUAD * tile.quads + kernel - 1)
    weights = ceil_div(tile.channels * f.taps, tile.threads // QUAD) * tile.output_threads * OUTPUTS // QUAD
    brought = tile.part_channels * tile.images * ceil_div(area, tile.threads) + chunks * weights
    of_row = PAIR * QUAD * OUTPUTS * kernel * (itemsize // 4) + INSTRUCTIONS
    of_warp = rows * of_row + brought * BRING
    alone = of_warp + rows * WAIT + chunks * CHUNK + (tile.slices - 1) * SLICE
    resident = max(1, min(RESIDENT_THREADS[itemsize] // tile.threads, RESIDENT_BYTES // tile.shared))
    blocks, warps = ceil_div(prod(tile.grid), MULTIPROCESSORS), tile.threads // WARP

    def of(at_once: int) -> int:
        return max(ceil_div(at_once * warps, 4) * of_warp, alone) + START if at_once else 0

    cycles = blocks // resident * of(resident) + of(blocks % resident)
    parts = tile.grid[1]
    elements = f.images * f.groups * f.outer * prod(f.positions)
    return cycles + (second_pass(parts, elements) + NODE if parts > 1 else 0)


@lru_cache(maxsize=4096)
def _evenly(total: int, least: int = 1, most: int = 1 << 31) -> tuple[int, ...]:
    """The sizes within bounds that a total is cut into parts of that are about equal, the largest first."""
    sizes = {ceil_div(total, n) for n in range(ceil_div(total, most), total + 1)}
    return tuple(sorted((size for size in sizes if size >= min(least, total)), reverse=True))


def _pitch(pairs: int, quads: int) -> int:
    """Words from row to row such that the first 8 threads, which read together, read from as many banks as can be.

    Rows begin at a multiple of four words, and have room for the quads and one more.
    """

    def banks(pitch: int) -> int:
        return len({(PAIR * pitch * (lane // quads % pairs) + QUAD * (lane % quads)) % WARP for lane in range(8)})

    least = QUAD * quads + QUAD
    return max(range(least, least + WARP, QUAD), key=lambda pitch: (banks(pitch), -pitch))


class WeightTile(NamedTuple):
    """What a block of the weight gradient works on.

    Attributes:
        rows: of positions.
        quads: of columns of positions.
        pitch: words from row to row of the image in shared memory.
        plane: and from channel to channel.
        gradient_pitch: and from row to row of dz.
        gradient_plane: and from output to output.
        output_threads: threads of the same channel and row of the kernel, 8 outputs each.
        channels: of the input.
        row_parts: threads that share the rows of a tile.
        tiles_per_block: tiles, one after the other.
        grid: the blocks that share the tiles, and those that share outputs and channels.
        threads: of the block.
        shared: bytes of shared memory.
        counted: whether the last blocks add up the parts; else another launch does.
    """

    rows: int
    quads: int
    pitch: int
    plane: int
    gradient_pitch: int
    gradient_plane: int
    output_threads: int
    channels: int
    row_parts: int
    tiles_per_block: int
    grid: tuple[int, int]
    threads: int
    shared: int
    counted: bool

    @property
    def args(self) -> tuple[int, ...]:
        """What the kernel is told of it."""
        return self[:10]


def rows_of_thread(kernel: int, itemsize: int) -> int:
    """Rows of the kernel that a thread of the weight gradient has."""
    return 3 if kernel == 3 and itemsize == 4 else 1


@lru_cache(maxsize=4096)
def sliding_weight_tile(f: Convolution, itemsize: int) -> tuple[int, WeightTile] | None:
    """The cycles, predicted, and the tile of the weight gradient; None if none fits."""
    found = [(_weight_cycles(f, tile, itemsize), tile) for tile in _weight_tiles(f, itemsize)]
    return min(found, default=None)


def _weight_tiles(f: Convolution, itemsize: int) -> Iterator[WeightTile]:
    if not slides(f):
        return
    kernel, outputs = f.kernel[0], ceil_div(f.outer, OUTPUTS)
    of_channel = kernel // rows_of_thread(kernel, itemsize)
    for channels, output_threads in product(_evenly(f.inner, LEAST_CHANNELS), _evenly(outputs)):
        lanes = channels * of_channel * output_threads
        if lanes > GRADIENT_THREADS or output_threads * OUTPUTS > GRADIENT_THREADS:
            continue
        combinations = f.groups * ceil_div(f.inner, channels) * ceil_div(outputs, output_threads)
        sizes = _evenly(f.positions[0], 1, MOST_ROWS), _evenly(ceil_div(f.positions[1], QUAD), 1, MOST_QUADS)
        for rows, quads in product(*sizes):
            tiles = f.images * ceil_div(f.positions[0], rows) * ceil_div(f.positions[1], QUAD * quads)
            parts = _evenly(min(rows, GRADIENT_THREADS // lanes))
            for row_parts in [p for p in parts if p * lanes >= LEAST_THREADS] or parts[:1]:
                # Threads that share the rows read from different ones at once.
                pitch, gradient_pitch = QUAD * quads + QUAD, QUAD * quads
                if row_parts > 1:
                    pitch, gradient_pitch = _odd_quads(pitch), _odd_quads(gradient_pitch)
                plane, gradient_plane = _odd_quads((rows + kernel - 1) * pitch), _odd_quads(rows * gradient_pitch)
                buffer = channels * plane + output_threads * OUTPUTS * gradient_plane
                if 2 * buffer * itemsize > SHARED_BYTES:
                    continue
                threads = ceil_div(max(lanes * row_parts, output_threads * OUTPUTS), WARP) * WARP
                shared = max(2 * buffer, row_parts * output_threads * channels * f.taps, threads) * itemsize
                sums = output_threads * OUTPUTS * channels * f.taps
                for blocks in BLOCKS:
                    tiles_per_block = ceil_div(tiles, max(1, blocks // combinations))
                    shares = ceil_div(tiles, tiles_per_block)
                    if shared <= MOST_SHARED_BYTES:
                        yield WeightTile(
                            rows, quads, pitch, plane, gradient_pitch, gradient_plane, output_threads, channels,
                            row_parts, tiles_per_block, (shares, combinations), threads, shared,
                            sums <= MOST_COUNTED_SUMS,
                        )  # fmt: skip


def _weight_cycles(f: Convolution, tile: WeightTile, itemsize: int) -> int:
    """As `_cycles`, until the parts are added up."""
    kernel = f.kernel[0]
    own = rows_of_thread(kernel, itemsize) * kernel * OUTPUTS
    quads = ceil_div(tile.rows, tile.row_parts) * min(tile.quads, ceil_div(f.positions[1], QUAD))
    width = min(QUAD * tile.quads, f.positions[1])
    terms = ceil_div(tile.rows, tile.row_parts) * width * own * (itemsize // 4)
    area = (tile.rows + kernel - 1) * (QUAD * tile.quads + kernel - 1)
    brought = tile.channels * ceil_div(area, tile.threads)
    brought += tile.output_threads * OUTPUTS * ceil_div(tile.rows * QUAD * tile.quads, tile.threads)
    of_warp = terms + quads * INSTRUCTIONS_OF_QUAD + brought * BRING
    alone = of_warp + quads * WAIT + CHUNK
    resident = max(1, min(RESIDENT_GRADIENT_THREADS[itemsize] // tile.threads, RESIDENT_BYTES // tile.shared))
    blocks, warps = ceil_div(prod(tile.grid), MULTIPROCESSORS), tile.threads // WARP

    def of(at_once: int) -> int:
        if not at_once:
            return 0
        return max(ceil_div(at_once * warps, 4) * of_warp, alone) * tile.tiles_per_block + START + WRITE

    cycles, shares = blocks // resident * of(resident) + of(blocks % resident), tile.grid[0]
    return cycles + (second_pass(shares, f.groups * f.outer * f.depth) if shares > 1 else 0)


def _odd_quads(words: int) -> int:
    """The next odd multiple of four: neighbouring threads begin in other banks."""
    return ceil_div(words, QUAD) * QUAD + (0 if ceil_div(words, QUAD) % 2 else QUAD)
