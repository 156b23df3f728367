"""How a convolution is divided among blocks of threads, by its shape alone; no bound here is measured on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from .family import ceil_div, prod
from .gemm import ranked
from .tiles import Tile as GemmTile
from .windows import Geometry, Pair, geometry

WARP = 32
FORWARD_THREADS, GRADIENT_THREADS = 128, 256
"""The most threads of a block of `kernels/conv_direct.cu`."""
PIXELS = 4
"""Positions that one of them computes."""
ELEMENTS = 2
"""Elements of the kernels that one of them has for the weight gradient."""
ENOUGH_THREADS = 128
"""Up to so many threads of a block share the positions of the weight gradient; each of them is a sum more to add up."""
POSITIONS_WITH_GRADIENTS = 512
"""The most positions of a tile of the weight gradient, which has to hold their gradients."""
SHARED_BYTES = 24 << 10
"""Shared memory that such a block takes if it can choose: little enough for several blocks at a time on any GPU."""
MOST_SHARED_BYTES = (48 << 10) - 64
"""What a block can have on any GPU without asking, beside the few bytes that kernels declare."""
WIDEST = 64
"""The most columns of a tile of positions."""
BUSY = 528
"""So many blocks keep a GPU busy: four for each multiprocessor of an H100. On other GPUs it stays the same, so that the
order of sums does not depend on the GPU."""
FEW_INPUTS, FEW_OUTPUTS = 16, 32
"""Up to so many channels a convolution is direct; with more, a matrix product makes more of each element."""
NEARLY = 4
"""Where kernels are picked by measurement, up to so many times as many are tried both ways."""
IMPLICIT_TILES = {
    "large": GemmTile(128, 128, 256, resident=2, cycles=157, alone=162),
    "medium": GemmTile(64, 128, 128, resident=4, cycles=81, alone=112),
    "flat": GemmTile(32, 128, 128, resident=5, cycles=48, alone=74),
}
"""Those of `kernels/conv_implicit.cu`, as `tiles.TILES`."""
WEIGHT_TILES = {
    "large": GemmTile(128, 128, 256, resident=2, cycles=155, alone=160),
    "medium": GemmTile(64, 64, 64, resident=8, cycles=41, alone=121),
    "flat": GemmTile(32, 128, 128, resident=5, cycles=52, alone=80),
}
"""And of its weight gradient."""
TENSOR_TILES = {
    "large": GemmTile(128, 64, 256, resident=2, cycles=19, alone=40),
    "square": GemmTile(64, 64, 256, resident=2, cycles=18, alone=38),
    "flat": GemmTile(32, 64, 128, resident=4, cycles=12, alone=34),
}
"""Those of `kernels/conv_tensor.cu` in half precision. Its instructions take the most, to find elements of the image,
and as many whatever the height of a tile is: counted in the machine code for sm_90, four a cycle."""
TF32_TILES = {
    "large": TENSOR_TILES["large"]._replace(cycles=35, alone=70),
    "square": TENSOR_TILES["square"]._replace(cycles=32, alone=66),
    "flat": TENSOR_TILES["flat"]._replace(cycles=22, alone=60),
}
"""And of floats in TF32, a step of which has half as many terms."""
WEIGHT_TENSOR_TILES = {"square": TENSOR_TILES["square"]._replace(cycles=25, alone=45)}
WEIGHT_TF32_TILES = {"square": TF32_TILES["square"]._replace(cycles=37, alone=75)}
"""And of the weight gradient."""
MOST_LINES = 31
"""Rows and columns of the kernels of an implicit product together, which have a bit each in `kernels/spots.cuh`."""
MOST_PIXELS = (1 << 31) - 128
"""Of all images together, which a kernel on tensor cores counts in 32 bits."""
COLUMNS_BYTES = 64 << 20
"""What columns of patches may take at a time."""


class Convolution(NamedTuple):
    """The shapes of a convolution.

    Attributes:
        images: their number.
        groups: of channels, each convolved by itself.
        inner: channels of a group of the input.
        outer: channels of a group of the result.
        size: of an image.
        positions: of the kernel, down and across.
        kernel: its size.
        stride: steps between positions.
        corner: the padding above and to the left.
        dilation: steps between elements of the kernel.
    """

    images: int
    groups: int
    inner: int
    outer: int
    size: Pair
    positions: Pair
    kernel: Pair
    stride: Pair
    corner: Pair
    dilation: Pair

    @property
    def taps(self) -> int:
        """Elements of the kernel of one channel."""
        return prod(self.kernel)

    @property
    def depth(self) -> int:
        """Terms of the sum that an element of the result is."""
        return self.inner * self.taps

    @property
    def args(self) -> Geometry:
        """What kernels are told of it."""
        windows = geometry(self.size, self.positions, self.kernel, self.stride, self.corner, self.dilation)
        return (*self[:4], *windows)

    @property
    def text(self) -> str:
        """The shapes, such as "8x16x32x32 to 8x64x32x32 by 3x3, padded by 1x1"."""
        more = (
            (self.stride, (1, 1), "stride "),
            (self.corner, (0, 0), "padded by "),
            (self.dilation, (1, 1), "dilated "),
        )
        given, made, kernel = (
            "x".join(map(str, sizes))
            for sizes in (
                (self.images, self.groups * self.inner, *self.size),
                (self.images, self.groups * self.outer, *self.positions),
                self.kernel,
            )
        )
        own = [f"{name}{pair[0]}x{pair[1]}" for pair, usual, name in more if pair != usual]
        own += [f"{self.groups} groups"] * (self.groups > 1)
        return ", ".join((f"{given} to {made} by {kernel}", *own))

    def turned(self) -> Convolution:
        """With a stride of 1, the convolution of dz, with the kernel turned around, that gives dx."""
        corner = tuple((k - 1) * d - c for k, d, c in zip(self.kernel, self.dilation, self.corner))
        return self._replace(
            inner=self.outer,
            outer=self.inner,
            size=self.positions,
            positions=self.size,
            corner=(corner[0], corner[1]),
        )


class Tile(NamedTuple):
    """What a block of the direct convolution works on.

    Attributes:
        outputs: channels of the result that a thread computes, 8 or 1.
        rows: of positions.
        columns: of positions.
        chunk: channels of the input at a time.
        threads: of the block.
        shared: bytes of shared memory.
    """

    outputs: int
    rows: int
    columns: int
    chunk: int
    threads: int
    shared: int

    def count(self, f: Convolution) -> int:
        """How many tiles there are in all images."""
        return f.images * ceil_div(f.positions[0], self.rows) * ceil_div(f.positions[1], self.columns)

    def blocks_of_outputs(self, f: Convolution) -> int:
        """How many blocks share the channels of the result at one tile."""
        return f.groups * ceil_div(f.outer, self.outputs)


@lru_cache(maxsize=4096)
def forward_tile(f: Convolution, itemsize: int) -> Tile | None:
    """The tile of the direct convolution, computed in elements of `itemsize` bytes; None if none fits.

    The piece of the image and the weights of as many channels as fit lie in shared memory together. Tiles are about as
    large as one another, so that the last ones are not nearly empty.
    """
    outputs = _outputs(f)
    rows, columns = _tile_of_positions(f, PIXELS * FORWARD_THREADS)
    while True:
        of_channel = (prod(_piece(f, rows, columns)) + f.taps * outputs) * itemsize
        if of_channel <= SHARED_BYTES or (rows, columns) == (1, 1):
            break
        rows, columns = (ceil_div(rows, 2), columns) if rows > 1 else (1, ceil_div(columns, 2))
    if of_channel > MOST_SHARED_BYTES:
        return None
    chunk = _even(f.inner, max(1, SHARED_BYTES // of_channel))
    threads = ceil_div(rows * columns, PIXELS * WARP) * WARP
    shared = max(chunk * of_channel, threads * outputs * itemsize)
    return Tile(outputs, rows, columns, chunk, threads, shared)


@lru_cache(maxsize=4096)
def weight_tile(f: Convolution, itemsize: int) -> Tile | None:
    """The tile of the direct weight gradient; None if none fits.

    The piece of the image and the gradients at the tile's positions lie in shared memory together. Every element of the
    kernels of the chunk has a thread, and so has the bias.
    """
    outputs = _outputs(f)
    most_channels = (ELEMENTS * GRADIENT_THREADS - 1) // f.taps
    if not most_channels:
        return None
    chunk = _even(f.inner, most_channels)
    rows, columns = _tile_of_positions(f, POSITIONS_WITH_GRADIENTS)
    while True:
        words = rows * columns * outputs + chunk * prod(_piece(f, rows, columns)) + 1
        if words * itemsize <= SHARED_BYTES or (rows, columns, chunk) == (1, 1, 1):
            break
        if rows > 1:
            rows = ceil_div(rows, 2)
        elif columns > 1:
            columns = ceil_div(columns, 2)
        else:
            chunk = _even(f.inner, ceil_div(chunk, 2))
    threads = ceil_div(_lanes(f, chunk) * row_parts(f, chunk, rows), WARP) * WARP
    shared = max(words, threads * ELEMENTS * outputs) * itemsize
    return None if shared > MOST_SHARED_BYTES else Tile(outputs, rows, columns, chunk, threads, shared)


class Plan(NamedTuple):
    """How an implicit product is divided.

    Attributes:
        size: of the tiles.
        grid: the tiles, and the parts that sums are cut into.
        block: its threads.
        part_depth: terms of a part.
    """

    size: str
    grid: Pair
    block: tuple[int]
    part_depth: int


TILES = {
    "conv2d_implicit": IMPLICIT_TILES,
    "conv2d_weight_grad_implicit": WEIGHT_TILES,
    "conv2d_tensor": TENSOR_TILES,
    "conv2d_tensor_tf32": TF32_TILES,
    "conv2d_weight_grad_tensor": WEIGHT_TENSOR_TILES,
    "conv2d_weight_grad_tensor_tf32": WEIGHT_TF32_TILES,
}
"""Those of each product, by its name."""


@lru_cache(maxsize=4096)
def plan_of(product: str, f: Convolution) -> Plan:
    """How a product of `TILES` is divided; as in `gemm.schedule`, by what each division takes as predicted.

    It is the result (outer, pixels) of each group, with sums over inner and taps, or the weight gradient
    (outer, inner taps) of each group, with sums over all pixels.
    """
    return min(ranked_plans(product, f), key=lambda found: found[0])[1]


def ranked_plans(product: str, f: Convolution) -> Iterator[tuple[int, Plan]]:
    """All plans of a product, each with the cycles that it takes as predicted."""
    tiles, columns, depth = TILES[product], f.images * prod(f.positions), f.depth
    if "weight_grad" in product:
        columns, depth = depth, columns
    counts = {size: f.groups * ceil_div(f.outer, t.rows) * ceil_div(columns, t.columns) for size, t in tiles.items()}
    for cycles, found in ranked(tiles, counts, depth, f.groups * f.outer * columns):
        yield cycles, Plan(found.size, (found.tiles, found.parts), (tiles[found.size].threads,), found.part_depth)


def row_parts(f: Convolution, chunk: int, rows: int) -> int:
    """How many threads of a block share the rows of a tile for the same elements of the kernels."""
    return max(1, min(rows, ENOUGH_THREADS // _lanes(f, chunk)))


def images_at_a_time(f: Convolution, itemsize: int) -> int:
    """Of how many images columns are made at a time."""
    of_image = f.groups * f.depth * prod(f.positions) * itemsize
    return max(1, min(f.images, COLUMNS_BYTES // max(of_image, 1)))


def is_small(f: Convolution) -> bool:
    """Whether there are so few channels that the direct convolution is taken."""
    return f.inner <= FEW_INPUTS and f.outer <= FEW_OUTPUTS


def is_nearly_small(f: Convolution) -> bool:
    """Whether there are so few that the direct convolution may be the faster one."""
    return f.inner <= NEARLY * FEW_INPUTS and f.outer <= NEARLY * FEW_OUTPUTS


def _lanes(f: Convolution, chunk: int) -> int:
    """Threads that have all elements of the kernels of some channels between them, and one for the bias."""
    return ceil_div(chunk * f.taps + 1, ELEMENTS)


def _outputs(f: Convolution) -> int:
    return 8 if f.outer > 2 else 1


def _tile_of_positions(f: Convolution, most: int) -> Pair:
    columns = _even(f.positions[1], WIDEST)
    return _even(f.positions[0], max(1, most // columns)), columns


def _even(total: int, most: int) -> int:
    """The size, up to `most`, of the parts of a total that are about equal."""
    return ceil_div(total, ceil_div(total, most)) if total else 1


def _piece(f: Convolution, rows: int, columns: int) -> Pair:
    """The piece of an image that a tile of positions needs."""
    height, width = (
        (n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip((rows, columns), f.stride, f.kernel, f.dilation)
    )
    return height, width
