"""Convolution of images whose channels lie last, without a copy of them.

The kernels are in `kernels/conv_channels_last.cu`, and on tensor cores in `kernels/conv_tensor_channels_last.cu`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from gpunn.backend.memory_format import TO_LAST

from .conv_plan import MOST_LINES, MOST_PIXELS, Convolution
from .family import Array, accumulator, ceil_div, prod
from .gemm import Division, Gemm, divide
from .ladder import Ladder
from .tiles import Tile
from .windows import Pair

MOST_SIDE = 1 << 15
"""What rows and columns of an image with its padding are fewer than: a kernel on tensor cores has both in 32 bits."""
CHANNELS_LAST = Ladder("conv2d_channels_last", ("copied", "implicit"))
"""Row-major copies, to and from which all rungs of `conv2d` go; and the product of patches that are never in memory."""
LAST_TILES = {
    "large": Tile(128, 128, 256, resident=2, cycles=155, alone=160),
    "medium": Tile(128, 64, 128, resident=4, cycles=81, alone=112),
    "narrow": Tile(128, 32, 128, resident=5, cycles=48, alone=75),
}
"""Those of `conv2d_channels_last_*`, of pixels and outputs."""
TENSOR_LAST_TILES = {
    "large": Tile(128, 128, 256, resident=2, cycles=15, alone=28),
    "small": Tile(64, 64, 128, resident=4, cycles=6, alone=20),
}
"""Those of `conv2d_channels_last_tensor_*` and of the weight gradient there, in half precision: a little more than
`gemm.TENSOR_TILES`, for the instructions that find elements of the image."""
TF32_LAST_TILES = {
    "large": TENSOR_LAST_TILES["large"]._replace(cycles=28, alone=54),
    "small": TENSOR_LAST_TILES["small"]._replace(cycles=11, alone=38),
}
"""And of floats in TF32."""
WEIGHT_LAST_TILES = {
    "large": Tile(128, 128, 256, resident=2, cycles=150, alone=160),
    "medium": Tile(64, 64, 64, resident=6, cycles=39, alone=118),
}
"""And of the weight gradient, of outputs and terms."""


class Plan(NamedTuple):
    """How such a product is divided.

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


@lru_cache(maxsize=4096)
def last_plan(f: Convolution) -> Plan:
    """For the result (pixels, outer), with sums over taps and inner."""
    return _plan(LAST_TILES, f.images * prod(f.positions), f.outer, f.depth)


@lru_cache(maxsize=4096)
def last_weight_plan(f: Convolution) -> Plan:
    """For the gradient (outer, taps inner), with sums over all pixels."""
    return _plan(WEIGHT_LAST_TILES, f.outer, f.depth, f.images * prod(f.positions))


@lru_cache(maxsize=4096)
def tensor_last_plan(f: Convolution, itemsize: int) -> Plan:
    """`last_plan` on tensor cores, for factors of so many bytes."""
    tiles = TENSOR_LAST_TILES if itemsize == 2 else TF32_LAST_TILES
    return _plan(tiles, f.images * prod(f.positions), f.outer, f.depth)


@lru_cache(maxsize=4096)
def tensor_last_weight_plan(f: Convolution, itemsize: int) -> Plan:
    """`last_weight_plan` on tensor cores, for factors of so many bytes."""
    tiles = TENSOR_LAST_TILES if itemsize == 2 else TF32_LAST_TILES
    return _plan(tiles, f.outer, f.depth, f.images * prod(f.positions))


def _plan(tiles: dict[str, Tile], rows: int, columns: int, depth: int) -> Plan:
    counts = {size: ceil_div(rows, t.rows) * ceil_div(columns, t.columns) for size, t in tiles.items()}
    found: Division = divide(tiles, counts, depth, rows * columns)
    return Plan(found.size, (found.tiles, found.parts), (tiles[found.size].threads,), found.part_depth)


class ConvChannelsLast(Gemm):
    """The products of convolution of images, and weights, whose channels lie last."""

    # From other families
    on_tensor_cores: Callable[[object], bool]
    factor_type: Callable[[Any], Any]
    sum: Callable[..., Array]

    def suits_last(self, f: Convolution, dtype: Any, best: str) -> bool:
        """Whether a convolution goes through these products; `best` is the rung where none was chosen."""
        if sum(f.kernel) > MOST_LINES and not self.on_tensor_cores(dtype):
            return False
        possible = f.groups == 1 and f.inner > 0 and 0 < f.images * prod(f.positions) <= MOST_PIXELS
        possible = possible and all(size + corner < MOST_SIDE for size, corner in zip(f.size, f.corner))
        return possible and CHANNELS_LAST.pick(best) == "implicit"

    def conv2d_last(
        self, f: Convolution, x: Array, w: Array, b: Array | None, y: Array, kind: int, parameter: float
    ) -> None:
        """y = f(x * w + b), for x (n, h, w, c), w (o, kh, kw, c), y (n, oh, ow, o), row-major without gaps."""
        if self.on_tensor_cores(y.dtype):
            self._last_on_tensor_cores(f, x, w, b, y, kind, parameter)
            return
        plan = last_plan(f)
        parts = self.empty((plan.grid[1], y.size), accumulator(y.dtype)) if plan.grid[1] > 1 else None
        vectors = self.vectors((x, f.inner), (w, f.depth), (y if parts is None else parts, f.outer))
        args = (x, w, b, y, parts, *_sizes(f), plan.part_depth, kind, parameter, vectors)
        name = f"conv2d_channels_last_{plan.size}"
        self.launch("conv_channels_last.cu", name, plan.grid, plan.block, args, scalar_t=y.dtype)
        self.add_parts(parts, y, b, kind, parameter)

    def conv2d_last_weight_grad(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        """dw (o, kh, kw, c), and db, for x (n, h, w, c), dz (n, oh, ow, o), row-major without gaps."""
        if self.on_tensor_cores(dw.dtype):
            self._last_weight_grad_on_tensor_cores(f, x, dz, dw)
            if db is not None:
                self.sum(dz, (0, 1, 2), False, out=db)
            return
        plan = last_weight_plan(f)
        sums = dw.size + (0 if db is None else db.size)
        parts = self.empty((plan.grid[1], sums), accumulator(dw.dtype)) if plan.grid[1] > 1 else None
        result = (dw, f.depth) if parts is None else (parts, f.depth, sums)
        vectors = self.vectors((x, f.inner), (dz, f.outer), result)
        args = (x, dz, dw, db, parts, *_sizes(f), plan.part_depth, vectors)
        name = f"conv2d_weight_grad_channels_last_{plan.size}"
        self.launch("conv_channels_last.cu", name, plan.grid, plan.block, args, scalar_t=dw.dtype)
        self.add_parts(parts, dw, rest=db)

    def _last_on_tensor_cores(
        self, f: Convolution, x: Array, w: Array, b: Array | None, y: Array, kind: int, parameter: float
    ) -> None:
        type = self.factor_type(y.dtype)
        x, w = self.converted(x, type), self.converted(w, type)
        plan, alone = tensor_last_plan(f, type.itemsize), type != y.dtype
        complete = plan.grid[1] == 1 and not (alone and (b is not None or kind))
        parts = None if complete else self.empty((plan.grid[1], y.size), accumulator(y.dtype))
        target = y if parts is None else parts
        own = (None, None, target) if alone else (b, y, parts)
        vectors = self._tensor_vectors((x, f.inner), (w, f.depth), target, f.outer)
        args = (x, w, *own, *_sizes(f), plan.part_depth, kind, parameter, vectors)
        name = f"conv2d_channels_last_tensor_{plan.size}"
        self.launch("conv_tensor_channels_last.cu", name, plan.grid, plan.block, args, scalar_t=type)
        self.add_parts(parts, y, b, kind, parameter)

    def _last_weight_grad_on_tensor_cores(self, f: Convolution, x: Array, dz: Array, dw: Array) -> None:
        type = self.factor_type(dw.dtype)
        x, dz = self.converted(x, type), self.converted(dz, type)
        plan, alone = tensor_last_weight_plan(f, type.itemsize), type != dw.dtype
        parts = self.empty((plan.grid[1], dw.size), accumulator(dw.dtype)) if plan.grid[1] > 1 else None
        target = dw if parts is None else parts
        own = (None, target) if alone else (dw, parts)
        vectors = self._tensor_vectors((x, f.inner), (dz, f.outer), target, f.depth)
        args = (x, dz, *own, *_sizes(f), plan.part_depth, vectors)
        name = f"conv2d_weight_grad_channels_last_tensor_{plan.size}"
        self.launch("conv_tensor_channels_last.cu", name, plan.grid, plan.block, args, scalar_t=type)
        self.add_parts(parts, dw)

    def _tensor_vectors(self, first: tuple[Array, int], second: tuple[Array, int], target: Array, columns: int) -> int:
        """What can be moved at once, as the kernels have it."""
        pairs = columns % 2 == 0 and self.twos(target)
        return self.chunks(*first) + 2 * self.chunks(*second) + 4 * pairs

    def last(self, x: Array) -> Array:
        """Images (n, c, h, w), or weights, as a row-major (n, h, w, c): a view where they lie so, else a copy."""
        return self.contiguous(x.transpose(TO_LAST))


def _sizes(f: Convolution) -> tuple[int, ...]:
    return (f.images, f.inner, f.outer, *f.args[4:])
