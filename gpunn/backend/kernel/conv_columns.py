"""Convolution by columns of patches and a matrix product, for some images at a time; half precision in float32."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from gpunn.backend.products import computing_in

from .conv_plan import Convolution, images_at_a_time
from .conv_sliding import Sliding
from .family import Array, accumulator, is_half, prod


class Columns(Sliding):
    """Convolution and its gradients by `im2col`."""

    # From other families
    tensor_cores: bool
    cast: Callable[..., Array]
    col2im: Callable[..., Array]
    im2col: Callable[..., Array]
    matmul: Callable[..., Array]
    sum: Callable[..., Array]

    def _conv2d_by_columns(
        self, f: Convolution, x: Array, w: Array, b: Array | None, y: Array, kind: int, parameter: float
    ) -> None:
        weight = self._conv2d_wide(w).reshape(f.groups, f.outer, f.depth)
        for images in self._conv2d_slices(f, y.dtype):
            product = self._conv2d_product(weight, self._conv2d_columns(f, x[images]), y.dtype)
            self._conv2d_add_parts(f, product.reshape(1, -1), b, y[images], kind, parameter)

    def _conv2d_input_grad_by_columns(self, f: Convolution, dz: Array, w: Array, dx: Array) -> None:
        weight = self._conv2d_wide(w).reshape(f.groups, f.outer, f.depth).swapaxes(1, 2)
        for images in self._conv2d_slices(f, dx.dtype):
            given = self._conv2d_wide(dz[images]).reshape(-1, f.groups, f.outer, prod(f.positions))
            columns = self._conv2d_product(weight, given, dx.dtype)
            columns = columns.reshape(len(columns), f.groups * f.depth, prod(f.positions))
            image = self.col2im(columns, f.size, f.positions, f.kernel, f.stride, f.corner, f.dilation)
            self.cast(image, dx.dtype, out=dx[images])

    def _conv2d_weight_grad_by_columns(self, f: Convolution, x: Array, dz: Array, dw: Array, db: Array | None) -> None:
        slices = self._conv2d_slices(f, x.dtype)
        parts = self.empty((len(slices), f.groups, f.outer, f.depth), accumulator(x.dtype))
        for images, part in zip(slices, parts):
            given = self._conv2d_wide(dz[images]).reshape(-1, f.groups, f.outer, prod(f.positions))
            of_images = self._conv2d_product(given, self._conv2d_columns(f, x[images]).swapaxes(2, 3), x.dtype)
            self.sum(of_images, (0,), False, out=part)
        self.add_parts(parts, dw)
        if db is not None:
            self.sum(dz, (0, 2, 3), False, out=db)

    def _conv2d_product(self, a: Array, b: Array, dtype: Any) -> Array:
        """a b; halves in float32 are exact in TF32, and so they take tensor cores."""
        with computing_in("high") if is_half(dtype) and self.tensor_cores else nullcontext():
            return self.matmul(a, b)

    def _conv2d_columns(self, f: Convolution, x: Array) -> Array:
        """The patches of some images, (images, groups, depth, positions)."""
        columns = self.im2col(self._conv2d_wide(x), f.positions, f.kernel, f.stride, f.corner, f.dilation)
        return columns.reshape(len(x), f.groups, f.depth, prod(f.positions))

    def _conv2d_wide(self, x: Array) -> Array:
        return x if x.dtype == accumulator(x.dtype) else self.cast(x, accumulator(x.dtype))

    def _conv2d_slices(self, f: Convolution, dtype: Any) -> list[slice]:
        step = images_at_a_time(f, accumulator(dtype).itemsize)
        return [slice(start, min(start + step, f.images)) for start in range(0, f.images, step)]
