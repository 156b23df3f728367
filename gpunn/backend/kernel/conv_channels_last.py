"""Convolution of images whose channels lie last, without a copy of them: `kernels/conv_channels_last.cu`."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from gpunn.backend.memory_format import TO_LAST

from .conv_plan import MOST_PIXELS, Convolution
from .family import Array, accumulator, ceil_div, prod
from .gemm import Division, Gemm, Tile, divide
from .ladder import Ladder
from .windows import Pair

CHANNELS_LAST = Ladder("conv2d_channels_last", ("copied", "implicit"))
"""Row-major copies, to and from which all rungs of `conv2d` go; and the product of patches that are never in memory."""
LAST_TILES = {
    "large": Tile(128, 128, 256, resident=2, cycles=170, alone=195),
    "medium": Tile(64, 64, 256, resident=2, cycles=47, alone=58),
    "narrow": Tile(64, 32, 128, resident=4, cycles=26, alone=56),
}
"""Those of `conv2d_channels_last_*`, of pixels and outputs."""
WEIGHT_LAST_TILES = {name: LAST_TILES[name] for name in ("large", "medium")}
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


def _plan(tiles: dict[str, Tile], rows: int, columns: int, depth: int) -> Plan:
    counts = {size: ceil_div(rows, t.rows) * ceil_div(columns, t.columns) for size, t in tiles.items()}
    found: Division = divide(tiles, counts, depth, rows * columns)
    return Plan(found.size, (found.tiles, found.parts), (tiles[found.size].threads,), found.part_depth)


class ConvChannelsLast(Gemm):
    """The products of convolution of images, and weights, whose channels lie last."""

    def suits_last(self, f: Convolution, best: str) -> bool:
        """Whether a convolution goes through these products; `best` is the rung where none was chosen."""
        possible = f.groups == 1 and f.inner > 0 and 0 < f.images * prod(f.positions) <= MOST_PIXELS
        return possible and CHANNELS_LAST.pick(best) == "implicit"

    def conv2d_last(
        self, f: Convolution, x: Array, w: Array, b: Array | None, y: Array, kind: int, parameter: float
    ) -> None:
        """y = f(x * w + b), for x (n, h, w, c), w (o, kh, kw, c), y (n, oh, ow, o), row-major without gaps."""
        plan = last_plan(f)
        parts = self.empty((plan.grid[1], y.size), accumulator(y.dtype)) if plan.grid[1] > 1 else None
        vectors = self.vectors((x, f.inner), (w, f.depth), (y if parts is None else parts, f.outer))
        args = (x, w, b, y, parts, *_sizes(f), plan.part_depth, kind, parameter, vectors)
        name = f"conv2d_channels_last_{plan.size}"
        self.launch("conv_channels_last.cu", name, plan.grid, plan.block, args, scalar_t=y.dtype)
        self.add_parts(parts, y, b, kind, parameter)

    def conv2d_last_weight_grad(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        """dw (o, kh, kw, c), and db, for x (n, h, w, c), dz (n, oh, ow, o), row-major without gaps."""
        plan = last_weight_plan(f)
        sums = dw.size + (0 if db is None else db.size)
        parts = self.empty((plan.grid[1], sums), accumulator(dw.dtype)) if plan.grid[1] > 1 else None
        result = (dw, f.depth) if parts is None else (parts, f.depth, sums)
        vectors = self.vectors((x, f.inner), (dz, f.outer), result)
        args = (x, dz, dw, db, parts, *_sizes(f), plan.part_depth, vectors)
        name = f"conv2d_weight_grad_channels_last_{plan.size}"
        self.launch("conv_channels_last.cu", name, plan.grid, plan.block, args, scalar_t=dw.dtype)
        self.add_parts(parts, dw, rest=db)

    def last(self, x: Array) -> Array:
        """Images (n, c, h, w), or weights, as a row-major (n, h, w, c): a view where they lie so, else a copy."""
        return self.contiguous(x.transpose(TO_LAST))


def _sizes(f: Convolution) -> tuple[int, ...]:
    return (f.images, f.inner, f.outer, *f.args[4:])
