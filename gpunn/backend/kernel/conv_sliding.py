"""Convolution by windows that slide over rows in registers, and what all convolutions share."""

from __future__ import annotations

from typing import Any

from .conv_plan import Convolution
from .family import Array, accumulator, prod
from .gemm import Gemm
from .sliding_plan import sliding_tile, sliding_weight_tile

KERNEL_NAMES = {3: "three", 5: "five"}
"""By the elements of a row of the kernel."""
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
        statistics: Any = _NO_STATISTICS,
    ) -> None:
        found = sliding_tile(f, accumulator(y.dtype).itemsize)
        assert found is not None
        _, tile = found
        parts = self.empty((tile.grid[1], y.size), accumulator(y.dtype)) if tile.grid[1] > 1 else None
        vector = f.positions[1] % 4 == 0 and bool(self.vectors((y if parts is None else parts,)))
        args = (x, w, b, y, which, parts, *statistics, *f.args, *w_steps, *tile.args, kind, parameter, vector)
        name, block = f"conv2d_sliding_{KERNEL_NAMES[f.kernel[0]]}", (tile.threads,)
        self.launch("conv_sliding.cu", name, tile.grid, block, args, tile.shared, scalar_t=y.dtype)
        if parts is not None:
            self._conv2d_add_parts(f, parts, b, y, kind, parameter)

    def _conv2d_weight_grad_sliding(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        found = sliding_weight_tile(f, accumulator(x.dtype).itemsize)
        assert found is not None
        _, tile = found
        parts = self._conv2d_weight_parts(tile.grid[0], dw, db)
        counters = self.share_counters(tile.grid[1], tile.grid[0]) if tile.counted else None
        target = (dw, db) if tile.counted else (None, None)
        args = (x, dz, parts, counters, *target, *f.args, db is not None, tile.counted, *tile.args)
        name, block = f"conv2d_weight_grad_sliding_{KERNEL_NAMES[f.kernel[0]]}", (tile.threads,)
        self.launch("conv_sliding_weight.cu", name, tile.grid, block, args, tile.shared, scalar_t=x.dtype)
        if not tile.counted:
            self.add_parts(parts, dw, rest=db)

    def _conv2d_weight_parts(self, count: int, dw: Array, db: Array | None) -> Array:
        return self.empty((count, dw.size + (0 if db is None else db.size)), accumulator(dw.dtype))

    def _conv2d_add_parts(
        self, f: Convolution, parts: Array, b: Array | None, y: Array, kind: int, parameter: float
    ) -> None:
        args = (parts, b, y, len(parts), y.size, f.groups * f.outer, prod(f.positions), kind, parameter)
        self.launch_elements("conv.cu", "conv2d_add_parts", y.size, args, scalar_t=y.dtype)
