"""The gradients of convolution with stride 1, without columns: a product for each element of the kernel.

Its factors are the weights, or the gradient of the result, and the shifted images. Images lie one behind the other,
channel by channel, padded with zeros, those behind a row or an image being those in front of the next. Seen that way,
what lies under element (i, j) of the kernel at all positions of all images is the same memory, from another start: one
matrix, that needs no copy. BLAS adds the products up. Where rows and images meet there are pixels that belong to no
position; they are 0, or are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .blas import PLAIN, TRANSPOSED, available, gemm
from .im2col import Pair, crop, paste, reach
from .memory import address
from .workspace import Take, scratch, taken

BLOCK_BYTES = 1 << 20
"""What some images may take, padded and as pixels of the result: little enough to stay in the cache."""
BLOCK_PIXELS = 1 << 13
"""How many pixels they may have: products of few rows get slower with a longer sum."""
FEWEST = 4
"""From this many channels a group on; the products of fewer would be more memory than work."""
FEW = 16
"""Up to this many the gradient in the weights goes this way too; one product of all columns is faster for more."""


def suits(channels: int, stride: Pair, dtype: Any) -> bool:
    """Whether the gradient of a convolution of that many input channels a group can go this way."""
    return available and stride == (1, 1) and channels >= FEWEST and dtype.itemsize > 2


def input_grad(dz: Any, w: Any, corner: Pair, dilation: Pair, groups: int, out: Any) -> None:
    """out = dx for dz, see `conv2d_input_grad`."""
    with scratch() as take:
        images = _Images(out.shape, w.shape, dz.shape[2:], corner, dilation, groups, dz.dtype, take=take)
        np.copyto(images.weights, w.transpose(2, 3, 0, 1))
        for some in images:
            images.put_pixels(dz[some])
            images.padded.fill(0)
            images.add_adjoint_products(some.stop - some.start)
            images.get(out[some])


def weight_grad(x: Any, dz: Any, stride: Pair, corner: Pair, dilation: Pair, groups: int, dw: Any, db: Any) -> None:
    """Write dw, and db unless it is None, see `conv2d_weight_grad`; `stride` is (1, 1)."""
    with scratch() as take:
        images = _Images(x.shape, dw.shape, dz.shape[2:], corner, dilation, groups, x.dtype, take=take)
        images.weights.fill(0)
        if db is not None:
            part = take(db.shape, db.dtype)
            db.fill(0)
        for some in images:
            images.put(x[some])
            images.put_pixels(dz[some])
            images.add_weight_products(some.stop - some.start)
            if db is not None:
                db += np.add.reduce(images.pixels(some), axis=(1, 2, 3), out=part)
        np.copyto(dw, images.weights.transpose(2, 3, 0, 1))


def needs(
    x: tuple[int, ...], w: tuple[int, ...], positions: Pair, corner: Pair, dilation: Pair, groups: int, dtype: Any
) -> int:
    """What the gradients take for images x."""
    return _Layout(x, w, positions, corner, dilation, groups, dtype).nbytes


class _Layout:
    """How some images at a time lie in memory."""

    def __init__(
        self,
        shape: tuple[int, ...],
        weight: tuple[int, ...],
        positions: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        dtype: Any,
    ):
        n, c, h, w = shape
        o, kernel = weight[0], (weight[2], weight[3])
        self.dtype, self.corner, self.positions = dtype, corner, positions
        self.count, self.groups = n, groups
        self.rows, self.pitch = (
            max(p, r - max(min(before, r - before - size), 0))
            for p, r, before, size in zip(positions, reach(positions, kernel, (1, 1), dilation), corner, (h, w))
        )
        self.area = self.rows * self.pitch
        most = min(BLOCK_BYTES // ((c + o) * self.area * dtype.itemsize), BLOCK_PIXELS // self.area)
        self.step = min(max(most, 1), max(n, 1))
        self.shifts = [
            i * dilation[0] * self.pitch + j * dilation[1] for i in range(kernel[0]) for j in range(kernel[1])
        ]
        self.shapes = (c, self.step * self.area + self.shifts[-1]), (o, self.step, self.rows, self.pitch)
        self.weight_shape = (*weight[2:], *weight[:2])

    @property
    def nbytes(self) -> int:
        """What the images, their pixels and the weights take."""
        return taken(self.dtype, *self.shapes, self.weight_shape)


class _Images(_Layout):
    """Some images at a time: padded (c, images, rows, pitch), and pixels of the result (o, images, rows, pitch)."""

    def __init__(self, *args: Any, take: Take):
        super().__init__(*args)
        padded, pixels = self.shapes
        self.padded, self._pixels = take(padded, self.dtype), take(pixels, self.dtype)
        self.padded.fill(0)
        self._pixels.fill(0)
        self.weights = take(self.weight_shape, self.dtype)
        self._gemm = gemm(self.dtype)
        self._sizes = pixels[0] // self.groups, padded[0] // self.groups
        self._lengths = self.step * self.area, padded[1]
        self._places = address(self.padded), address(self._pixels), address(self.weights)

    def __iter__(self) -> Iterator[slice]:
        for start in range(0, self.count, self.step):
            yield slice(start, min(start + self.step, self.count))

    def pixels(self, some: slice) -> Any:
        """Memory for the pixels of some images."""
        return self._pixels[:, : some.stop - some.start]

    def inside(self, pixels: Any) -> Any:
        """Those pixels that belong to a position."""
        return pixels[:, :, : self.positions[0], : self.positions[1]]

    def put(self, x: Any) -> None:
        """Write images (images, c, h, w) into their padding."""
        paste(self._image(len(x)), x, *self.corner)

    def put_pixels(self, dz: Any) -> None:
        """Write pixels of the result (images, o, oh, ow)."""
        np.copyto(self.inside(self._pixels[:, : len(dz)]), dz.swapaxes(0, 1))

    def get(self, x: Any) -> None:
        """Read images (images, c, h, w) from inside their padding, and 0 where there is none."""
        crop(x, self._image(len(x)), *self.corner)

    def _image(self, count: int) -> Any:
        c = self.padded.shape[0]
        return self.padded[:, : count * self.area].reshape(c, count, self.rows, self.pitch).swapaxes(0, 1)

    def add_adjoint_products(self, count: int) -> None:
        """padded += W^T pixels."""
        (o, c), (length, padded) = self._sizes, self._lengths
        for w, x, z in self._each():
            self._gemm(TRANSPOSED, PLAIN, c, count * self.area, o, 1.0, w, c, z, length, 1.0, x, padded)

    def add_weight_products(self, count: int) -> None:
        """W += pixels padded^T."""
        (o, c), (length, padded) = self._sizes, self._lengths
        for w, x, z in self._each():
            self._gemm(PLAIN, TRANSPOSED, o, c, count * self.area, 1.0, z, length, x, padded, 1.0, w, c)

    def _each(self) -> Iterator[tuple[int, int, int]]:
        """Where the matrices of each product begin: weights, padded images, pixels."""
        (o, c), (length, padded), size = self._sizes, self._lengths, self.dtype.itemsize
        x, z, w = self._places
        for shift in self.shifts:
            for group in range(self.groups):
                yield w, x + (group * c * padded + shift) * size, z + group * o * length * size
                w += o * c * size
