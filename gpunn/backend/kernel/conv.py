"""Convolution and its two gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backend.memory_format import in_memory_order, lies_last

from . import offers
from .activation import KINDS
from .conv_channels_last import ConvChannelsLast
from .conv_columns import Columns
from .conv_plan import (
    BUSY,
    MOST_LINES,
    MOST_PIXELS,
    Convolution,
    Plan,
    Tile,
    forward_tile,
    is_nearly_small,
    is_small,
    plan_of,
    row_parts,
    weight_tile,
)
from .conv_sliding import slides_faster, trial_of
from .family import Array, accumulator, ceil_div, prod
from .ladder import Ladder
from .sliding_plan import sliding_tile
from .sliding_weight_plan import sliding_weight_tile
from .windows import Pair

CONV2D = Ladder("conv2d", ("naive", "im2col", "direct", "implicit", "sliding"))
"""One thread for each element; columns of patches and a matrix product; tiles of images in shared memory, for few
channels; the product of columns that are never in memory, for kernels of up to `MOST_LINES` rows and columns together;
and windows that slide over rows in registers, for kernels of 3 x 3 and 5 x 5 elements. The last three are picked by
shape, and in the place of the last two, where no rung is chosen, tensor cores for what they multiply; see
`Matmul.on_tensor_cores`."""
_KERNELS = {1: "one", 8: "eight"}
"""By the channels of the result that a thread computes."""


class Conv(ConvChannelsLast, Columns):
    """Convolution and its two gradients."""

    convolutions_last = frozenset(("conv2d_forward", "conv2d_input_grad", "conv2d_weight_grad"))
    """Those that write images, or weights, channels last."""

    # From other families
    on_tensor_cores: Callable[[object], bool]
    factor_type: Callable[[Any], Any]

    def conv2d_forward(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        positions: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        kind: str = "none",
        parameter: float = 0.0,
        out: Any = None,
    ) -> Array:
        """f(x * w + b) for x (n, c, h, w), w (o, c / groups, kh, kw), b (o,) or None -> (n, o, *positions).

        `corner` is the padding above and to the left. There are zeros beyond the other edges too.
        """
        y = self.result(out, (x.shape[0], w.shape[0], *positions), x.dtype)
        geometry = (positions, stride, corner, dilation, groups)
        f = convolution_of(x.shape, w.shape, *geometry)
        if lies_last(y):
            if self._conv2d_goes_last(f, x.dtype):
                b = None if b is None else self.contiguous(b)
                self.conv2d_last(f, self.last(x), self.last(w), b, in_memory_order(y), KINDS[kind], parameter)
            else:
                self.copy(self.conv2d_forward(x, w, b, *geometry, kind, parameter), out=y)
            return y
        x, w, b = self.contiguous(x), self.contiguous(w), None if b is None else self.contiguous(b)
        self._conv2d_any(f, x, w, b, y, False, KINDS[kind], parameter)
        return y

    def conv2d_input_grad(
        self, dz: Array, w: Array, size: Pair, stride: Pair, corner: Pair, dilation: Pair, groups: int, out: Any = None
    ) -> Array:
        """dx (n, c, *size) for dz (n, o, oh, ow), w (o, c / groups, kh, kw).

        With a stride of 1 it is a convolution of dz, with the kernel turned around. Else that would multiply mostly
        zeros, and the columns w^T dz are added up at their places.
        """
        dx = self.result(out, (dz.shape[0], w.shape[1] * groups, *size), dz.dtype)
        f = convolution_of(dx.shape, w.shape, dz.shape[2:], stride, corner, dilation, groups)
        if lies_last(dx):
            if stride == (1, 1) and self._conv2d_goes_last(f.turned(), dz.dtype):
                turned = self.contiguous(w[:, :, ::-1, ::-1].transpose(1, 2, 3, 0))
                self.conv2d_last(f.turned(), self.last(dz), turned, None, in_memory_order(dx), KINDS["none"], 0.0)
            else:
                self.copy(self.conv2d_input_grad(dz, w, size, stride, corner, dilation, groups), out=dx)
            return dx
        dz, w = self.contiguous(dz), self.contiguous(w)
        if CONV2D.pick() == "naive":
            args = (dz, w, dx, *f.args)
            self.launch_elements("conv.cu", "conv2d_input_grad_naive", dx.size, args, scalar_t=dx.dtype)
        elif stride != (1, 1) or CONV2D.pick() == "im2col":
            self._conv2d_input_grad_by_columns(f, dz, w, dx)
        else:
            self._conv2d_any(f.turned(), dz, w, None, dx, True, KINDS["none"], 0.0)
        return dx

    def conv2d_weight_grad(
        self,
        x: Array,
        dz: Array,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        bias: bool,
        out: Any = None,
    ) -> Array:
        """dw (o, c / groups, kh, kw); and db (o,), the sum of dz, if `bias`."""
        outputs = dz.shape[1]
        dw_out, db_out = out if bias and out is not None else (out, None)
        dw = self.result(dw_out, (outputs, x.shape[1] // groups, *kernel), x.dtype)
        db = self.result(db_out, (outputs,), x.dtype) if bias else None
        f = convolution_of(x.shape, dw.shape, dz.shape[2:], stride, corner, dilation, groups)
        if lies_last(dw):
            if self._conv2d_goes_last(f, x.dtype):
                self.conv2d_last_weight_grad(f, self.last(x), self.last(dz), in_memory_order(dw), db)
            else:
                alone = None if db is None else (self.empty(dw.shape, dw.dtype), db)
                found = self.conv2d_weight_grad(x, dz, kernel, stride, corner, dilation, groups, bias, out=alone)
                self.copy(found if db is None else found[0], out=dw)
            return dw if db is None else (dw, db)
        x, dz = self.contiguous(x), self.contiguous(dz)
        self._conv2d_weight_grad_any(f, x, dz, dw, db)
        return dw if db is None else (dw, db)

    def _conv2d_goes_last(self, f: Convolution, dtype: Any) -> bool:
        """Whether images whose channels lie last are convolved as they lie; not on a rung of those that do not."""
        return self.suits_last(f, dtype, "implicit" if CONV2D.chosen is None else "copied")

    def _conv2d_any(
        self,
        f: Convolution,
        x: Array,
        w: Array,
        b: Array | None,
        y: Array,
        turned: bool,
        kind: int,
        parameter: float,
    ) -> None:
        """y = f(x * w + b), with the kernel turned around and its outputs and channels exchanged if `turned`."""
        itemsize = accumulator(y.dtype).itemsize
        rung = self._conv2d_rung(f, forward_tile(f, itemsize), sliding_tile(f, itemsize), y.dtype)
        if rung == "naive":
            self._conv2d_naive(f, x, w, b, y, kind, parameter)
        elif rung == "im2col":
            self._conv2d_by_columns(f, x, self._turned(f, w) if turned else w, b, y, kind, parameter)
        elif rung == "tensor":
            self._conv2d_tensor(f, x, self._turned(f, w) if turned else w, b, y, kind, parameter)
        elif y.size:
            # What a turned convolution calls outputs and channels are the channels and outputs of w.
            w_steps = (f.taps, f.outer * f.taps, True) if turned else (f.depth, f.taps, False)
            if rung == "direct":
                self._conv2d_direct(f, x, w, b, y, w_steps, kind, parameter)
            elif rung == "sliding":
                self._conv2d_sliding(f, x, w, b, y, w_steps, kind, parameter)
            else:
                self._conv2d_implicit(f, x, w, b, y, w_steps, kind, parameter)

    def _conv2d_weight_grad_any(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        itemsize = accumulator(x.dtype).itemsize
        rung = self._conv2d_rung(f, weight_tile(f, itemsize), sliding_weight_tile(f, itemsize), x.dtype, weight=True)
        if rung == "naive" or not x.size:
            self._conv2d_weight_grad_naive(f, x, dz, dw, db)
        elif rung == "im2col":
            self._conv2d_weight_grad_by_columns(f, x, dz, dw, db)
        elif rung == "direct":
            self._conv2d_weight_grad_direct(f, x, dz, dw, db)
        elif rung == "sliding":
            self._conv2d_weight_grad_sliding(f, x, dz, dw, db)
        elif rung == "tensor":
            self._conv2d_weight_grad_tensor(f, x, dz, dw, db)
        else:
            self._conv2d_weight_grad_implicit(f, x, dz, dw, db)

    def _turned(self, f: Convolution, w: Array) -> Array:
        """The kernels turned around, with their outputs and channels exchanged, for f which is a convolution of dz."""
        each = w.reshape(f.groups, f.inner, f.outer, *f.kernel)[..., ::-1, ::-1]
        return self.copy(each.swapaxes(1, 2)).reshape(f.groups * f.outer, f.depth)

    def _conv2d_naive(
        self, f: Convolution, x: Array, w: Array, b: Array | None, y: Array, kind: int, parameter: float
    ) -> None:
        args = (x, w, b, y, *f.args, kind, parameter)
        self.launch_elements("conv.cu", "conv2d_forward_naive", y.size, args, scalar_t=y.dtype)

    def _conv2d_weight_grad_naive(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        count = dw.size + (0 if db is None else db.size)
        args = (x, dz, dw, db, *f.args)
        self.launch_elements("conv.cu", "conv2d_weight_grad_naive", count, args, scalar_t=x.dtype)

    # What is picked ---------------------------------------------------------------------------------------------------

    def _conv2d_rung(self, f: Convolution, tile: Tile | None, sliding: Any, dtype: Any, weight: bool = False) -> str:
        """The rung that was chosen, else the best one for this shape. Tiles are None where none of a rung fits."""
        countable = f.images * prod(f.positions) <= MOST_PIXELS
        implicit = "implicit" if sum(f.kernel) <= MOST_LINES else "im2col"
        best = product = "tensor" if countable and self.on_tensor_cores(dtype) else implicit
        if is_small(f) and tile is not None:
            best = "direct"
        if best != "tensor" and slides_faster(f, accumulator(dtype).itemsize, weight):
            best = "sliding"
        fits = {"direct": tile is not None, "sliding": sliding is not None}
        if self.tuner is not None and CONV2D.chosen is None and f.images:
            offered = {product: product} | {rung: rung for rung in fits if fits[rung]}
            if not is_nearly_small(f):
                offered.pop("direct", None)
            best = self.picked(
                "conv2d_weight_grad" if weight else "conv2d",
                f,
                _precision(self.factor_type(dtype) if product == "tensor" else dtype, product),
                best,
                lambda: offered,
                lambda backend: trial_of(backend, f, dtype, weight, "_any"),
            )
        chosen = CONV2D.pick(best)
        return implicit if chosen == "implicit" or not fits.get(chosen, True) else chosen

    def _conv2d_plan(self, product: str, f: Convolution, dtype: Any, factor: Any) -> Plan:
        """How an implicit product in this type is divided, whose factors are of another one on tensor cores."""
        tensor = "tensor" if product.endswith("tensor") else "implicit"
        precision = _precision(factor, tensor)
        tiles = f"{product}_tf32" if precision == "tf32" else product
        return self.picked(
            product if factor == dtype else f"{product}_rounded",
            f,
            precision,
            plan_of(tiles, f),
            lambda: offers.plans(tiles, f),
            lambda backend: trial_of(backend, f, dtype, "weight_grad" in product, f"_{tensor}"),
        )

    # Direct -----------------------------------------------------------------------------------------------------------

    def _conv2d_direct(
        self, f: Convolution, x: Array, w: Array, b: Array | None, y: Array, w_steps: Any, kind: int, parameter: float
    ) -> None:
        tile = forward_tile(f, accumulator(y.dtype).itemsize)
        assert tile is not None
        args = (x, w, b, y, *f.args, *w_steps, tile.rows, tile.columns, tile.chunk, kind, parameter)
        name, grid = f"conv2d_direct_{_KERNELS[tile.outputs]}", (tile.count(f) * tile.blocks_of_outputs(f),)
        self.launch("conv_direct.cu", name, grid, (tile.threads,), args, tile.shared, scalar_t=y.dtype)

    def _conv2d_weight_grad_direct(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        tile = weight_tile(f, accumulator(x.dtype).itemsize)
        assert tile is not None
        combinations = tile.blocks_of_outputs(f) * ceil_div(f.inner, tile.chunk)
        tiles_of_block = ceil_div(tile.count(f), max(1, BUSY // combinations))
        shares = ceil_div(tile.count(f), tiles_of_block)
        parts = self._conv2d_weight_parts(shares, dw, db)
        how = (tile.rows, tile.columns, tile.chunk, row_parts(f, tile.chunk, tile.rows), tiles_of_block)
        args = (x, dz, parts, self.share_counters(combinations, shares), dw, db, *f.args, *how)
        name, grid = f"conv2d_weight_grad_direct_{_KERNELS[tile.outputs]}", (shares, combinations)
        self.launch("conv_direct.cu", name, grid, (tile.threads,), args, tile.shared, scalar_t=x.dtype)

    # As a matrix product whose columns are never in memory ------------------------------------------------------------

    def _conv2d_implicit(
        self, f: Convolution, x: Array, w: Array, b: Array | None, y: Array, w_steps: Any, kind: int, parameter: float
    ) -> None:
        plan = self._conv2d_plan("conv2d_implicit", f, y.dtype, y.dtype)
        parts = self.empty((plan.grid[1], y.size), accumulator(y.dtype)) if plan.grid[1] > 1 else None
        vector = prod(f.positions) % 4 == 0 and bool(self.vectors((y if parts is None else parts,)))
        args = (x, w, b, y, parts, *f.args, *w_steps, plan.part_depth, kind, parameter, vector)
        name = f"conv2d_implicit_{plan.size}"
        self.launch("conv_implicit.cu", name, plan.grid, plan.block, args, scalar_t=y.dtype)
        if parts is not None:
            self._conv2d_add_parts(f, parts, b, y, kind, parameter)

    def _conv2d_weight_grad_implicit(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        plan = self._conv2d_plan("conv2d_weight_grad_implicit", f, dw.dtype, dw.dtype)
        parts = self._conv2d_weight_parts(plan.grid[1], dw, db) if plan.grid[1] > 1 else None
        result = (dw, f.depth) if parts is None else (parts, f.depth, parts.shape[1])
        args = (x, dz, dw, db, parts, *f.args, plan.part_depth, bool(self.vectors(result)))
        name = f"conv2d_weight_grad_implicit_{plan.size}"
        self.launch("conv_implicit.cu", name, plan.grid, plan.block, args, scalar_t=x.dtype)
        self.add_parts(parts, dw, rest=db)

    # The same on tensor cores -----------------------------------------------------------------------------------------

    def _conv2d_tensor(
        self, f: Convolution, x: Array, w: Array, b: Array | None, y: Array, kind: int, parameter: float
    ) -> None:
        if not y.size:
            return
        type = self.factor_type(y.dtype)
        x, w = self.converted(x, type), self.converted(w, type)
        plan = self._conv2d_plan("conv2d_tensor", f, y.dtype, type)
        alone = type != y.dtype
        complete = plan.grid[1] == 1 and not (alone and (b is not None or kind))
        parts = None if complete else self.empty((plan.grid[1], y.size), accumulator(y.dtype))
        target = y if parts is None else parts
        own = (None, None, target) if alone else (b, y, parts)
        pairs = prod(f.positions) % 2 == 0 and self.twos(target)
        args = (x, w, *own, *f.args, plan.part_depth, kind, parameter, self.chunks(w, f.depth), pairs)
        self.launch("conv_tensor.cu", f"conv2d_tensor_{plan.size}", plan.grid, plan.block, args, scalar_t=type)
        if parts is not None:
            self._conv2d_add_parts(f, parts, b, y, kind, parameter)

    def _conv2d_weight_grad_tensor(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        type = self.factor_type(dw.dtype)
        x, factor = self.converted(x, type), self.converted(dz, type)
        plan = self._conv2d_plan("conv2d_weight_grad_tensor", f, dw.dtype, type)
        alone = type != dw.dtype
        parts = self.empty((plan.grid[1], dw.size), accumulator(dw.dtype)) if plan.grid[1] > 1 else None
        target = dw if parts is None else parts
        chunks = self.chunks(factor, prod(f.positions))
        pairs = f.depth % 2 == 0 and self.twos(target)
        own = (None, target) if alone else (dw, parts)
        args = (x, factor, *own, *f.args, plan.part_depth, chunks, pairs)
        self.launch("conv_tensor.cu", "conv2d_weight_grad_tensor", plan.grid, plan.block, args, scalar_t=type)
        self.add_parts(parts, dw)
        if db is not None:
            self.sum(dz, (0, 2, 3), False, out=db)


def _precision(factor: Any, product: str) -> str:
    """The type of the factors on tensor cores or elsewhere, as `tuning` has it."""
    return "tf32" if product == "tensor" and factor.itemsize == 4 else str(factor.name)


def convolution_of(
    x: tuple[int, ...], w: tuple[int, ...], positions: Pair, stride: Pair, corner: Pair, dilation: Pair, groups: int
) -> Convolution:
    """The shapes, from those of x (n, c, h, w) and w (o, c / groups, kh, kw)."""
    outer, kernel = w[0] // groups, (w[2], w[3])
    return Convolution(x[0], groups, w[1], outer, (x[2], x[3]), positions, kernel, stride, corner, dilation)
