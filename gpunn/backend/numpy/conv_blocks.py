"""Blocks of images, padded, as columns of patches, and as pixels of the result of a convolution."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from .im2col import Pair, crop, paste, reach, wide
from .workspace import Take, taken

BLOCK_BYTES = 1 << 20
"""What one block may take: little enough that the product finds its columns in a cache, and enough to be worth sharing
out among threads."""
BLOCK_PIXELS = 1 << 12
"""How many pixels one block may have: the product for the gradient in few weights gets slower with more."""
POINTWISE = 16
"""From this many pixels on, a 1 x 1 convolution does without columns: a copy less, but a product for each image."""


class Layout:
    """How blocks of images lie in memory, see `Blocks`."""

    def __init__(
        self,
        shape: tuple[int, ...],
        weight: tuple[int, ...],
        positions: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        ones: bool,
        dtype: Any,
        direct: bool = True,
    ):
        n, c, _, w = shape
        (o, cg), kernel = weight[:2], (weight[2], weight[3])
        self.kernel, self.positions = kernel, positions
        self.stride, self.corner, self.dilation = stride, corner, dilation
        self.batch, self.groups, self.ones, self.dtype = n, groups, ones, wide(dtype)
        self.depth = cg * kernel[0] * kernel[1] + ones
        self.weight_shape = groups, o // groups, self.depth
        oh, ow = positions
        self.direct = direct and self.depth * groups <= o and oh * ow >= POINTWISE and self.dtype == dtype
        _, width = reach(positions, kernel, stride, dilation)
        self.pitch = ow
        if stride == (1, 1) and not self.direct:
            shared = min(corner[1], width - corner[1] - w)
            self.pitch = width = max(ow, width - max(shared, 0))
        row_bytes = max((groups * self.depth + o) * self.pitch * self.dtype.itemsize, 1)
        self.images = min(max(BLOCK_BYTES // (row_bytes * oh), 1), max(n, 1))
        if not self.direct:
            self.images = min(self.images, max(BLOCK_PIXELS // (oh * self.pitch), 1))
        self.rows = min(max(BLOCK_BYTES // row_bytes, 1), oh)
        self.split = self.rows < oh
        height, _ = reach((self.rows, ow), kernel, stride, dilation)
        self.padded_shape = (self.images, c, height, width)
        self.slack = (kernel[1] - 1) * dilation[1]
        area = (self.rows, self.pitch)
        if self.direct:
            self.column_shape = (self.images, groups, self.depth, *area)
        else:
            self.column_shape = (groups, self.depth, self.images, *area)
        self.pixel_shape = (0,) if self.direct else (groups, o // groups, self.images, *area)

    @property
    def nbytes(self) -> int:
        """What a block takes."""
        padded = (prod(self.padded_shape) + self.slack,)
        return taken(self.dtype, padded, self.column_shape, self.pixel_shape)


class Blocks(Layout):
    """Some images at a time, or some rows of one: padded, as columns, and as pixels of the result.

    Columns are (groups, depth, images x rows x pitch), pixels (groups, o / groups, images x rows x pitch). The depth is
    (c / groups) kh kw, and one more row, of ones, where a bias is wanted: the product adds it, or gives its gradient.

    With stride 1 the pitch is that of the padded image, so that one kernel element's row of columns is one run of
    memory: the image, shifted, which is copied several times as fast as row by row. The last elements of each row wrap
    around into the next one. They belong to no position; pixels are 0 there, or are left out of the result. Where both
    sides are padded, the zeros to the right of a row are those to the left of the next.

    Where an image has fewer columns than pixels, its pixels are not copied at all: `direct`. The pitch is that of the
    result then, columns are (images, groups, depth, rows x pitch), and each image has a product of its own.
    """

    def __init__(self, *args: Any, take: Take, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._shifted = take((prod(self.padded_shape) + self.slack,), self.dtype)
        self._shifted.fill(0)
        self._padded = self._shifted[: prod(self.padded_shape)].reshape(self.padded_shape)
        self._columns = take(self.column_shape, self.dtype)
        (
            self._columns[:, :, self.depth - self.ones :] if self.direct else self._columns[:, self.depth - self.ones :]
        ).fill(1)
        self._pixels = take(self.pixel_shape, self.dtype)
        self._pixels.fill(0)

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        """The images, and the rows of positions, of each block."""
        for images in ranges(self.batch, self.images):
            for rows in ranges(self.positions[0], self.rows):
                yield images, rows

    def columns(self, images: slice, rows: slice) -> Any:
        """Memory for the columns of a block."""
        if self.direct:
            part = self._columns[: images.stop - images.start, :, :, : rows.stop - rows.start]
            return part.reshape(*part.shape[:3], prod(part.shape[3:]))
        return _of_block(self._columns, images, rows)

    def pixels(self, images: slice, rows: slice) -> Any:
        """Memory for the pixels of a block."""
        return _of_block(self._pixels, images, rows)

    def images_of(self, pixels: Any, images: slice, rows: slice) -> Any:
        """Pixels as (images, o, rows, positions)."""
        shape = (-1, images.stop - images.start, rows.stop - rows.start, self.pitch)
        return pixels.reshape(shape)[..., : self.positions[1]].swapaxes(0, 1)

    def matrices(self, y: Any, images: slice, rows: slice) -> Any:
        """The part of y (n, o, *positions) that a block makes, as (images, groups, o / groups, rows x positions)."""
        part = y[images, :, rows]
        return part.reshape(len(part), self.groups, part.shape[1] // self.groups, prod(part.shape[2:]))

    def gather(self, x: Any, images: slice, rows: slice) -> Any:
        """The columns of x."""
        padded, windows = self._windows(images, rows)
        if self.split:
            padded.fill(0)  # where one block has image, another has padding
        paste(padded, x[images], self.corner[0] - rows.start * self.stride[0], self.corner[1])
        columns = self.columns(images, rows)
        if self.direct:
            windows = np.moveaxis(windows, 4, 0)
            np.copyto(columns[:, :, : self.depth - self.ones].reshape(windows.shape), windows)
        else:
            np.copyto(columns[:, : self.depth - self.ones].reshape(windows.shape), windows)
        return columns

    def scatter(self, columns: Any, x: Any, images: slice, rows: slice) -> None:
        """The adjoint of `gather`: write the sum of all patches to x, or add it where blocks share rows of x."""
        padded, windows = self._windows(images, rows)
        padded.fill(0)
        columns = columns.reshape(windows.shape)
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):  # in one element of the kernel no two patches meet
                target = windows[:, :, i, j]
                np.add(target, columns[:, :, i, j], out=target)
        crop(x[images], padded, self.corner[0] - rows.start * self.stride[0], self.corner[1], add=self.split)

    def spread(self, dz: Any, images: slice, rows: slice) -> Any:
        """The pixels of dz."""
        pixels = self.pixels(images, rows)
        np.copyto(self.images_of(pixels, images, rows), dz[images, :, rows], casting="unsafe")
        return pixels

    def _windows(self, images: slice, rows: slice) -> tuple[Any, Any]:
        """The padded images, and as a view of them the columns (groups, c / groups, kh, kw, images, rows, pitch)."""
        padded = self._padded[: images.stop - images.start]
        image, channel, row, element = padded.strides
        n, c = padded.shape[:2]
        (dh, dw), (sh, sw), per_group = self.dilation, self.stride, c // self.groups
        windows: Any = np.ndarray(
            (self.groups, per_group, *self.kernel, n, rows.stop - rows.start, self.pitch),
            self.dtype,
            self._shifted,
            strides=(per_group * channel, channel, dh * row, dw * element, image, sh * row, sw * element),
        )
        return padded, windows


def _of_block(memory: Any, images: slice, rows: slice) -> Any:
    """The part of (groups, ., images, rows, pitch) that a block needs, as (groups, ., images x rows x pitch)."""
    part = memory[:, :, : images.stop - images.start, : rows.stop - rows.start]
    # No copy: only blocks of one image have fewer rows than there is memory for.
    return part.reshape(*part.shape[:2], prod(part.shape[2:]))


def ranges(total: int, step: int) -> Iterator[slice]:
    """0 to total in slices of at most `step`, as equal as possible."""
    count = -(-total // max(step, 1))
    for i in range(count):
        yield slice(i * total // count, (i + 1) * total // count)
