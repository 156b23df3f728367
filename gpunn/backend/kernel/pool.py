"""Pooling: one number for each window of each channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpunn.backend.memory_format import TO_LAST, channels_first, in_memory_order, lies_last, turned

from .activation import KINDS
from .family import Array, ceil_div, prod
from .ladder import Ladder
from .quad import Quads
from .team import SHORT, grid_and_block
from .windows import Geometry, Pair, geometry, runs

MAX = Ladder("max_pool", ("naive", "pairs"))
"""Any windows, or those of 2 x 2 elements that lie side by side."""
MAX_BACKWARD = Ladder("max_pool_backward", ("naive", "runs", "pairs"))
"""One pixel for each thread, or several; or windows of 2 x 2 elements that lie side by side."""
ADAPTIVE = Ladder("adaptive_avg_pool", ("naive", "warp", "mean"))
"""The threads that share a window: 1 or 32; or, where one window is the whole image, a reduction."""
_MANY, _MEDIUM = 1 << 16, 128
"""With so many windows of up to so many elements one thread has each to itself: a warp would spend more on finding out
where its window lies than on its elements. By prediction, for the H100."""

Numbers = tuple[Array | None, Array | None]
"""Which element each window chose, in bytes or in ints; the other one of the two is None."""


class Pool(Quads):
    """Pooling: the maximum and the mean of windows."""

    pooling_last = frozenset(("max_pool2d", "max_pool2d_backward", "max_pool2d_activation_backward"))
    """Those that write images channels last."""

    activation_backward: Callable[..., Array]
    mean: Callable[..., Array]

    def max_pool2d(
        self, x: Array, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
    ) -> tuple[Array, Array]:
        """The largest element of each window, and which element of the kernel it is: i kw + j.

        x (n, c, h, w) -> (n, c, *positions) twice, the second in uint8, or int32 for kernels of more than 256 elements.
        Of equal elements the first is taken, of NaNs the last, as in PyTorch. Padding is never taken.
        """
        n, c = x.shape[:2]
        y_out, which_out = out or (None, None)
        y = self.result(y_out, (n, c, *positions), x.dtype)
        which = self.result(which_out, y.shape, np.uint8 if prod(kernel) <= 256 else np.int32)
        args: tuple[Any, ...]
        where = geometry(x.shape[2:], positions, kernel, stride, corner, dilation)
        if lies_last(y):
            arrays = self.contiguous(x.transpose(TO_LAST)), in_memory_order(y), *_numbers(which.transpose(TO_LAST))
            args = (*arrays, n, c, _lowest(x.dtype), *where)
            text = "max_pool_channels_last"
            self.launch_elements(f"{text}.cu", text, y.size, args, scalar_t=x.dtype)
            return y, which
        x = self.contiguous(x)
        rung = MAX.pick() if _tile_by_two(where) and self.twos(x) else "naive"
        if rung == "pairs":
            args = (x, y, which, y.size, positions[1])
        else:
            args = (x, y, *_numbers(which), n * c, _lowest(x.dtype), *where)
        self.launch_elements("max_pool.cu", f"max_pool_{rung}", y.size, args, scalar_t=x.dtype)
        return y, which

    def max_pool2d_backward(
        self,
        dy: Array,
        which: Array,
        size: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        out: Any = None,
    ) -> Array:
        """dx (n, c, *size): each dy is added to the element that its window chose, in order.

        The adjoint of `max_pool2d_gather`.
        """
        n, c = dy.shape[:2]
        dx = self.result(out, (n, c, *size), dy.dtype)
        where = geometry(size, dy.shape[2:], kernel, stride, corner, dilation)
        threads: int
        args: tuple[Any, ...]
        if lies_last(dx):
            if MAX_BACKWARD.chosen in (None, "pairs") and dy.dtype.kind not in "iu" and _tile_by_two(where):
                return self._slope_last(dy, None, which, dx, "none", 0.0)
            dy, which = (self.contiguous(a.transpose(TO_LAST)) for a in (dy, which))
            args = (dy, *_numbers(which), in_memory_order(dx), n, c, *where)
            name = "max_pool_backward_channels_last"
            self.launch_elements("max_pool_channels_last.cu", name, dx.size, args, scalar_t=dy.dtype)
            return dx
        dy, which = self.contiguous(dy), self.contiguous(which)
        rung = MAX_BACKWARD.pick()
        if rung == "pairs" and not (_tile_by_two(where) and self.twos(dx)):
            rung = "runs"
        if rung == "runs" and dilation != (1, 1):
            rung = "naive"
        if rung == "pairs":
            threads, args = dy.size, (dy, which, dx, dy.size, dy.shape[3])
        elif rung == "runs":
            threads, args = runs(n * c, size), (dy, *_numbers(which), dx, n * c, *where[:5], *where[6:11])
        else:
            threads, args = dx.size, (dy, *_numbers(which), dx, n * c, *where)
        self.launch_elements("max_pool.cu", f"max_pool_backward_{rung}", threads, args, scalar_t=dy.dtype)
        return dx

    def max_pool2d_activation_backward(
        self,
        dy: Array,
        y: Array,
        which: Array,
        size: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        kind: str,
        parameter: float,
        out: Any = None,
    ) -> Array:
        """`max_pool2d_backward` of dy f', where f' follows from y, the result of the pooling."""
        dx = self.result(out, (*dy.shape[:2], *size), dy.dtype)
        where = geometry(size, dy.shape[2:], kernel, stride, corner, dilation)
        if lies_last(dx) and _tile_by_two(where):
            return self._slope_last(dy, y, which, dx, kind, parameter)
        if lies_last(dx) or not (_tile_by_two(where) and self.twos(dx)):
            dy, y = (turned(dy), turned(y)) if lies_last(dx) else (dy, y)
            dz = self.activation_backward(dy, y, kind, parameter, True)
            dz = channels_first(dz) if lies_last(dx) else dz
            return self.max_pool2d_backward(dz, which, size, kernel, stride, corner, dilation, out=dx)
        arrays = self.contiguous(dy), self.contiguous(y), self.contiguous(which), dx
        args = (*arrays, dy.size, dy.shape[3], KINDS[kind], parameter)
        self.launch_elements("max_pool_slope.cu", "max_pool_slope", dy.size, args, scalar_t=dy.dtype)
        return dx

    def _slope_last(self, dy: Array, y: Array | None, which: Array, dx: Array, kind: str, parameter: float) -> Array:
        """`max_pool2d_activation_backward` of windows that `_tile_by_two`, of images whose channels lie last."""
        given = [None if a is None else self.contiguous(a.transpose(TO_LAST)) for a in (dy, y, which)]
        args = (*given, in_memory_order(dx), dy.size, *dy.shape[1::2], KINDS[kind], parameter)
        name = "max_pool_slope_channels_last"
        self.launch_elements("max_pool_slope.cu", name, dy.size, args, scalar_t=dy.dtype)
        return dx

    def max_pool2d_gather(
        self, x: Array, which: Array, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
    ) -> Array:
        """The element of each window that `which` names. The adjoint of `max_pool2d_backward`."""
        y = self.result(out, which.shape, x.dtype)
        where = geometry(x.shape[2:], which.shape[2:], kernel, stride, corner, dilation)
        args = (self.contiguous(x), *self._chosen(which), y, prod(which.shape[:2]), *where)
        self.launch_elements("max_pool.cu", "max_pool_gather", y.size, args, scalar_t=x.dtype)
        return y

    def max_pool2d_indices(
        self, which: Array, width: int, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
    ) -> Array:
        """Where in its image (h, width) each chosen element lies: row width + column, in int64."""
        y = self.result(out, which.shape, np.int64)
        positions = which.shape[2:]
        # The height is not known, and bounds nothing: it reaches as far as the windows do.
        height = (positions[0] - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1
        where = geometry((height, width), positions, kernel, stride, corner, dilation)
        args = (*self._chosen(which), y, prod(which.shape[:2]), *where)
        self.launch_elements("max_pool.cu", "max_pool_indices", y.size, args, scalar_t=np.float32)
        return y

    def avg_pool2d(
        self,
        x: Array,
        positions: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        count_padding: bool,
        divisor: int | None,
        out: Any = None,
    ) -> Array:
        """The sum of each window over `divisor`, or over its number of elements."""
        n, c = x.shape[:2]
        y = self.result(out, (n, c, *positions), x.dtype)
        where = geometry(x.shape[2:], positions, kernel, stride, corner)
        args = (self.contiguous(x), y, n * c, count_padding, divisor or 0, *where)
        self.launch_elements("avg_pool.cu", "avg_pool", y.size, args, scalar_t=x.dtype)
        return y

    def avg_pool2d_backward(
        self,
        dy: Array,
        size: Pair,
        kernel: Pair,
        stride: Pair,
        corner: Pair,
        count_padding: bool,
        divisor: int | None,
        out: Any = None,
    ) -> Array:
        """dx (n, c, *size): each dy over its divisor, added to all elements of its window."""
        n, c = dy.shape[:2]
        dx = self.result(out, (n, c, *size), dy.dtype)
        where = geometry(size, dy.shape[2:], kernel, stride, corner)
        args = (self.contiguous(dy), dx, n * c, count_padding, divisor or 0, *where)
        self.launch_elements("avg_pool.cu", "avg_pool_backward", runs(n * c, size), args, scalar_t=dy.dtype)
        return dx

    def adaptive_avg_pool2d(self, x: Array, positions: Pair, out: Any = None) -> Array:
        """The mean of each of `positions` windows that cover the image evenly."""
        planes, size = prod(x.shape[:2]), x.shape[2:]
        y = self.result(out, (*x.shape[:2], *positions), x.dtype)
        if y.size:
            team = ADAPTIVE.pick()
            if team == "mean" and positions == (1, 1):
                return self.mean(x, (2, 3), True, y)
            if team == "mean":
                longest = prod([ceil_div(s, p) + (s % p > 0) for s, p in zip(size, positions)])
                team = "naive" if longest <= (_MEDIUM if y.size >= _MANY else SHORT) else "warp"
            grid, block = grid_and_block(team, y.size)
            args = (self.contiguous(x), y, planes, *size, *positions)
            self.launch("avg_pool.cu", f"adaptive_avg_pool_{team}", grid, block, args, scalar_t=x.dtype)
        return y

    def adaptive_avg_pool2d_backward(self, dy: Array, size: Pair, out: Any = None) -> Array:
        """dx (n, c, *size): the adjoint of `adaptive_avg_pool2d`."""
        dx = self.result(out, (*dy.shape[:2], *size), dy.dtype)
        args = (self.contiguous(dy), dx, prod(dy.shape[:2]), *size, *dy.shape[2:])
        self.launch_elements("avg_pool.cu", "adaptive_avg_pool_backward", dx.size, args, scalar_t=dy.dtype)
        return dx

    def _chosen(self, which: Array) -> Numbers:
        return _numbers(self.contiguous(which))


def _tile_by_two(where: Geometry) -> bool:
    """Whether windows of 2 x 2 elements cover the image without overlapping."""
    rows, columns = where[:6], where[6:]
    return all(axis == (2 * axis[1], axis[1], 2, 2, 0, 1) for axis in (rows, columns))


def _lowest(dtype: Any) -> float:
    """What no element of a type is below."""
    return int(np.iinfo(dtype).min) if dtype.kind in "iu" else -float("inf")


def _numbers(which: Array) -> Numbers:
    return (which, None) if which.dtype == np.uint8 else (None, which)
