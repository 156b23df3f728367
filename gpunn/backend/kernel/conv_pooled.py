"""A convolution with the maximum pooling behind it, and its weight gradient from that of what was pooled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backend.base_layers import PAIRS

from .activation import KINDS
from .conv import CONV2D, Conv, convolution_of
from .conv_plan import MOST_SHARED_BYTES, Convolution, forward_tile
from .conv_sliding import KERNEL_NAMES
from .family import Array, accumulator, ceil_div
from .sliding_plan import slides, sliding_tile
from .windows import Pair

OUTPUTS, THREADS = 8, 256
"""Outputs and threads of a block of `kernels/conv_pooled.cu`."""
BUSY = 396
"""So many blocks keep a GPU busy: three for each multiprocessor of an H100, as many as it runs at once."""
TILE_BYTES = 16 << 10
"""What a piece of an image takes at the most, if several rows of windows are in it; there are two of them."""


class ConvPooled(Conv):
    """Convolution and what is behind it in one."""

    # From other families
    max_pool2d: Callable[..., tuple[Array, Array]]
    max_pool2d_activation_backward: Callable[..., Array]

    def conv2d_max_pool(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        positions: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        kind: str,
        parameter: float,
        out: Any = None,
    ) -> tuple[Array, Array]:
        """`max_pool2d` of `conv2d_forward` by windows of 2 x 2 that lie side by side and cover the result."""
        shape = (x.shape[0], w.shape[0], positions[0] // 2, positions[1] // 2)
        p_out, which_out = out or (None, None)
        p, which = self.result(p_out, shape, x.dtype), self.result(which_out, shape, np.uint8)
        f = convolution_of(x.shape, w.shape, positions, stride, corner, dilation, groups)
        x, w, b = self.contiguous(x), self.contiguous(w), None if b is None else self.contiguous(b)
        itemsize = accumulator(x.dtype).itemsize
        found = sliding_tile(f, itemsize)
        rung = self._conv2d_rung(f, forward_tile(f, itemsize), found, x.dtype)
        covered = positions == (2 * shape[2], 2 * shape[3])
        if covered and found is not None and found[1].grid[1] == 1 and rung == "sliding":
            self._conv2d_sliding(f, x, w, b, p, (f.depth, f.taps, False), KINDS[kind], parameter, which)
            return p, which
        y = self.conv2d_forward(x, w, b, positions, stride, corner, dilation, groups, kind, parameter)
        return self.max_pool2d(y, shape[2:], *PAIRS, out=(p, which))

    def conv2d_max_pool_weight_grad(
        self,
        x: Array,
        dp: Array,
        p: Array,
        which: Array,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        bias: bool,
        kind: str,
        parameter: float,
        out: Any = None,
    ) -> Any:
        """`conv2d_weight_grad` of `max_pool2d_activation_backward`, for what `conv2d_max_pool` gave."""
        positions = (2 * dp.shape[2], 2 * dp.shape[3])
        dw_out, db_out = out if bias and out is not None else (out, None)
        dw = self.result(dw_out, (dp.shape[1], x.shape[1] // groups, *kernel), x.dtype)
        db = self.result(db_out, dp.shape[1:2], x.dtype) if bias else None
        f = convolution_of(x.shape, dw.shape, positions, stride, corner, dilation, groups)
        tile_rows, pitch = pooled_tile(f, accumulator(x.dtype).itemsize)
        shared = 2 * (2 * tile_rows + kernel[0] - 1) * pitch * accumulator(x.dtype).itemsize
        if not slides(f) or shared > MOST_SHARED_BYTES or CONV2D.pick("sliding") != "sliding":
            dz = self.max_pool2d_activation_backward(dp, p, which, positions, *PAIRS, kind, parameter)
            results = (dw, db) if bias else dw
            return self.conv2d_weight_grad(x, dz, kernel, stride, corner, dilation, groups, bias, out=results)
        combinations = groups * ceil_div(f.outer, OUTPUTS) * f.inner
        tiles = f.images * ceil_div(dp.shape[2], tile_rows)
        tiles_per_block = ceil_div(tiles, max(1, BUSY // combinations))
        shares = ceil_div(tiles, tiles_per_block)
        parts = self._conv2d_weight_parts(shares, dw, db)
        arrays = (*map(self.contiguous, (x, dp, p, which)), parts, self.share_counters(combinations, shares), dw, db)
        args = (*arrays, *f.args, tile_rows, pitch, tiles_per_block, KINDS[kind], parameter)
        name = f"conv2d_pooled_weight_grad_{KERNEL_NAMES[kernel[0]]}"
        self.launch("conv_pooled.cu", name, (shares, combinations), (THREADS,), args, shared, scalar_t=x.dtype)
        return dw if db is None else (dw, db)


def pooled_tile(f: Convolution, itemsize: int) -> Pair:
    """Rows of windows whose piece of an image a block has in shared memory, and words from row to row there."""
    pitch = f.positions[1] + f.kernel[1] - 1
    rows, high = max(1, (TILE_BYTES // (pitch * itemsize) - f.kernel[0] + 1) // 2), f.positions[0] // 2
    return ceil_div(high, ceil_div(high, rows)), pitch
