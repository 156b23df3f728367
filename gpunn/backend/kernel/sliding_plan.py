"""How a convolution by sliding windows is divided among blocks of threads, by its shape alone; see its kernel text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from .conv_plan import MOST_SHARED_BYTES, WARP, Convolution
from .family import ceil_div, prod
from .gemm import MULTIPROCESSORS, NODE, second_pass

KERNELS = (3, 5)
"""Sizes of kernels that there are texts for."""
LEAST_OUTPUTS = 3
"""In a group, of which a thread computes 8."""
OUTPUTS = 8
PAIR, QUAD = 2, 4
"""Outputs, rows and columns that a thread computes."""
THREADS = 256
"""The most of a block of `kernels/conv_sliding.cu`."""
RESIDENT_THREADS = {4: 512, 8: 256}
"""Of a multiprocessor, by the bytes of an element: that many registers they take."""
RESIDENT_BYTES = 220 << 10
"""Shared memory of a multiprocessor of an H100 that blocks can have together, without what each takes besides."""
SHARED_BYTES = 40 << 10
"""Shared memory that a block takes if it can choose."""
INSTRUCTIONS = 30
"""Of a row of the kernel, beside its multiplications; counted in the machine code for sm_90, as the following are,"""
BRING = 10
"""those that bring an element into shared memory,"""
WAIT = 90
"""and cycles of a row that a thread waits for shared memory, if no other one works in the meantime."""
START = 3000
"""Those from the start of a block to its first multiplication, and from the last one to its end;"""
SLICE = 1500
"""and those in which the sums of one more slice are added."""
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
def sliding_tile(f: Convolution, itemsize: int) -> tuple[int, Tile] | None:
    """The cycles, predicted, and the tile of a convolution in elements of `itemsize` bytes; None if none fits."""
    found = [(_cycles(f, tile, itemsize), tile) for tile in _tiles(f, itemsize)]
    return min(found, default=None)


def ranked_tiles(f: Convolution, itemsize: int, most: int) -> list[tuple[int, Tile]]:
    """So many, the one that is predicted to take the fewest cycles first."""
    return sorted((_cycles(f, tile, itemsize), tile) for tile in _tiles(f, itemsize))[:most]


def _tiles(f: Convolution, itemsize: int) -> Iterator[Tile]:
    if not slides(f):
        return
    kernel, outputs = f.kernel[0], ceil_div(f.outer, OUTPUTS)
    for pairs, quads in product(evenly(ceil_div(f.positions[0], PAIR)), evenly(ceil_div(f.positions[1], QUAD))):
        whole = pairs * PAIR >= f.positions[0] and quads * QUAD >= f.positions[1]
        rows = PAIR * pairs + kernel - 1
        pitch = _pitch(pairs, quads)
        plane = rows * pitch
        for images, output_threads, slices in product((1, 2, 4, 8) if whole else (1,), evenly(outputs), (1, 2, 4)):
            spots = images * pairs * quads
            threads = ceil_div(spots * output_threads * slices, WARP) * WARP
            if threads > THREADS or images > f.images or slices > f.inner:
                continue
            of_channel = (images * plane + f.taps * (OUTPUTS * output_threads + 4)) * itemsize
            tiles = ceil_div(f.images, images) * ceil_div(f.positions[0], PAIR * pairs)
            tiles *= ceil_div(f.positions[1], QUAD * quads) * f.groups * ceil_div(outputs, output_threads)
            for part_channels in evenly(f.inner) if tiles < 2 * MULTIPROCESSORS else (f.inner,):
                channels = max(1, min(SHARED_BYTES // (2 * of_channel), part_channels))
                channels = ceil_div(ceil_div(part_channels, ceil_div(part_channels, channels)), slices) * slices
                buffers = 1 if channels >= part_channels else 2
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
def evenly(total: int, least: int = 1, most: int = 1 << 31) -> tuple[int, ...]:
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
