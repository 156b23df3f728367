"""Convolution by windows that slide over rows in registers, and what all convolutions share."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from . import offers
from .activation import KINDS
from .conv_plan import Convolution, is_small, ranked_plans
from .family import Array, accumulator, prod
from .gemm import Gemm
from .sliding_plan import LEAST_OUTPUTS, sliding_tile
from .sliding_weight_plan import sliding_weight_tile, unit_of
from .tuning import Trial, random_array

KERNEL_NAMES = {3: "three", 5: "five"}
"""By the elements of a row of the kernel."""
LONGER, AS_LONG = 1.2, 1.05
"""So many times as long as an implicit product a convolution, and a weight gradient, may take by the cycles here, of
which those of `gpunn profile` are about 0.95, and 1.0 of those of implicit products. Of convolutions a pooling or the
statistics of a batch behind them are then found on the way."""
_NO_STATISTICS = (*[None] * 10, 0.0, 0.0, 0.0)
"""What a kernel is told of the statistics of its result where they are not wanted."""


class Sliding(Gemm):
    """Launches of `kernels/conv_sliding.cu` and `kernels/conv_sliding_weight.cu`."""

    def _conv2d_sliding(
        self,
        f: Convolution,
        x: Array,
        w: Array,
        b: Array | None,
        y: Array,
        w_steps: Any,
        kind: int,
        parameter: float,
        which: Array | None = None,
        statistics: tuple[Any, ...] | None = None,
    ) -> None:
        itemsize = accumulator(y.dtype).itemsize
        found = sliding_tile(f, itemsize)
        assert found is not None
        _, tile = found
        if which is None and statistics is None:  # else it must not be in parts
            tile = self.picked(
                "conv2d_sliding",
                f,
                y.dtype.name,
                tile,
                lambda: offers.sliding_tiles(f, itemsize),
                lambda backend: trial_of(backend, f, y.dtype, False, "_sliding"),
            )
        parts = self.empty((tile.grid[1], y.size), accumulator(y.dtype)) if tile.grid[1] > 1 else None
        vector = f.positions[1] % 4 == 0 and bool(self.vectors((y if parts is None else parts,)))
        arrays = x, w, b, y, which, parts, *(statistics or _NO_STATISTICS)
        args = (*arrays, *f.args, *w_steps, *tile.args, kind, parameter, vector)
        name, block = f"conv2d_sliding_{KERNEL_NAMES[f.kernel[0]]}", (tile.threads,)
        self.launch("conv_sliding.cu", name, tile.grid, block, args, tile.shared, scalar_t=y.dtype)
        if parts is not None:
            self._conv2d_add_parts(f, parts, b, y, kind, parameter)

    def _conv2d_weight_grad_sliding(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        itemsize = accumulator(x.dtype).itemsize
        found = sliding_weight_tile(f, itemsize)
        assert found is not None
        tile = self.picked(
            "conv2d_weight_grad_sliding",
            f,
            x.dtype.name,
            found[1],
            lambda: offers.sliding_weight_tiles(f, itemsize),
            lambda backend: trial_of(backend, f, x.dtype, True, "_sliding"),
        )
        parts = self._conv2d_weight_parts(tile.grid[0], dw, db)
        counters = self.share_counters(tile.grid[1], tile.grid[0]) if tile.counted else None
        target = (dw, db) if tile.counted else (None, None)
        margin = 4 - f.kernel[1] // 2 + f.corner[1]
        units = self._unit(x, margin, f.size[1]), self._unit(dz, f.positions[1])
        args = (x, dz, parts, counters, *target, *f.args, db is not None, tile.counted, *tile.args)
        args = (*args, *tile.sharing(f.kernel[0], *units))
        name, block = f"conv2d_weight_grad_sliding_{KERNEL_NAMES[f.kernel[0]]}", (tile.threads,)
        self.launch("conv_sliding_weight.cu", name, tile.grid, block, args, tile.shared, scalar_t=x.dtype)
        if not tile.counted:
            self.add_parts(parts, dw, rest=db)

    def _unit(self, x: Array, *counts: int) -> int:
        """So many neighbours can be moved at once, 4, 2 or 1, where these numbers are multiples of it."""
        return min(unit_of(*counts), 4 if self.quads(x) else 2 if self.twos(x) else 1)

    def _conv2d_weight_parts(self, count: int, dw: Array, db: Array | None) -> Array:
        return self.empty((count, dw.size + (0 if db is None else db.size)), accumulator(dw.dtype))

    def _conv2d_add_parts(
        self, f: Convolution, parts: Array, b: Array | None, y: Array, kind: int, parameter: float
    ) -> None:
        args = (parts, b, y, len(parts), y.size, f.groups * f.outer, prod(f.positions), kind, parameter)
        self.launch_elements("conv.cu", "conv2d_add_parts", y.size, args, scalar_t=y.dtype)


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
    return found[0] <= (AS_LONG if weight else LONGER) * min(cycles for cycles, _ in ranked_plans(implicit, f))


def trial_of(backend: Any, f: Convolution, dtype: Any, weight: bool, way: str) -> Trial:
    """A convolution or its weight gradient, by the method of that name."""
    shapes = (
        (f.images, f.groups * f.inner, *f.size),
        (f.groups * f.outer, f.inner, *f.kernel),
        (f.images, f.groups * f.outer, *f.positions),
    )
    x, w, y = (random_array(backend, shape, dtype, i) for i, shape in enumerate(shapes))
    name = f"_conv2d_weight_grad{way}" if weight else f"_conv2d{way}"
    run, naive = getattr(backend, name), backend._conv2d_weight_grad_naive if weight else backend._conv2d_naive
    if weight:
        return Trial(lambda: run(f, x, y, w, None), lambda: naive(f, x, y, w, None), (w,))
    kind = KINDS["none"], 0.0
    how: dict[str, tuple[Any, ...]] = {"_any": (False,), "_tensor": ()}
    given = f, x, w, None, y, *how.get(way, ((f.depth, f.taps, False),)), *kind
    return Trial(lambda: run(*given), lambda: naive(f, x, w, None, y, *kind), (y,))
