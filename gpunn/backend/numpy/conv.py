"""Convolution and its two gradients: columns of patches and a matrix product, for a block of images at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from . import conv_shifted
from .activation import activation
from .im2col import Pair, crop, paste, reach, wide
from .workers import divide, parts
from .workspace import Take, scratch

__all__ = ["conv2d_forward", "conv2d_input_grad", "conv2d_weight_grad"]

BLOCK_BYTES = 1 << 20
"""What one block may take: little enough that the product finds its columns in a cache, and enough to be worth sharing
out among threads."""
BLOCK_PIXELS = 1 << 12
"""How many pixels one block may have: the product for the gradient in few weights gets slower with more."""
LEAST_WEIGHTS = 1024
"""With fewer, what is done with a block that fits the cache is over before another thread could take its turn."""
POINTWISE = 16
"""From this many pixels on, a 1 x 1 convolution does without columns: a copy less, but a product for each image."""


def conv2d_forward(
    x: Any,
    w: Any,
    b: Any,
    positions: Pair,
    stride: Pair,
    corner: Pair,
    dilation: Pair,
    groups: int,
    kind: str = "none",
    parameter: float = 0.0,
    out: Any = None,
) -> Any:
    """f(x * w + b) for x (n, c, h, w), w (o, c / groups, kh, kw), b (o,) or None -> (n, o, *positions).

    `corner` is the padding above and to the left; where the patches reach beyond the other edges there are zeros too.
    """
    n, o = x.shape[0], w.shape[0]
    if out is None:
        out = np.empty((n, o, *positions), x.dtype)
    pixelwise = w.shape[2:] == (1, 1) and stride == (1, 1) and corner == (0, 0) and positions == x.shape[2:]
    if pixelwise and x.dtype.itemsize > 2 and positions[0] * positions[1] >= POINTWISE:
        return _pointwise(x, w, b, groups, kind, parameter, out)

    def part(images: slice, _: int) -> None:
        _forward(x[images], w, b, positions, stride, corner, dilation, groups, kind, parameter, out[images])

    _in_parts(part, _parts(x.shape, w.shape, positions, groups), n)
    return out


def _forward(
    x: Any,
    w: Any,
    b: Any,
    positions: Pair,
    stride: Pair,
    corner: Pair,
    dilation: Pair,
    groups: int,
    kind: str,
    parameter: float,
    out: Any,
) -> None:
    o = w.shape[0]
    with scratch() as take:
        blocks = _Blocks(x.shape, w.shape, positions, stride, corner, dilation, groups, b is not None, x.dtype, take)
        weight = take((groups, o // groups, blocks.depth), blocks.dtype)
        np.copyto(weight[..., : blocks.depth - blocks.ones], w.reshape(groups, o // groups, prod(w.shape[1:])))
        if b is not None:
            weight[..., -1] = b.reshape(groups, -1)
        for images, rows in blocks:
            columns = blocks.gather(x, images, rows)
            if blocks.direct:
                z = np.matmul(weight, columns, out=blocks.matrices(out, images, rows))
                if kind != "none":
                    activation(z, kind, parameter, out=z)
                continue
            z = np.matmul(weight, columns, out=blocks.pixels(images, rows))
            if kind != "none":
                activation(z, kind, parameter, out=z)
            y, z = out[images, :, rows], blocks.images_of(z, images, rows)
            np.copyto(y, z, casting="unsafe")


def conv2d_input_grad(
    dz: Any,
    w: Any,
    size: Pair,
    stride: Pair,
    corner: Pair,
    dilation: Pair,
    groups: int,
    out: Any = None,
) -> Any:
    """dx (n, c, *size) for dz (n, o, oh, ow), w (o, c / groups, kh, kw): columns W^T dz, added up at their places."""
    n = dz.shape[0]
    shape = (n, w.shape[1] * groups, *size)
    if out is None:
        out = np.empty(shape, dz.dtype)
    shifted = conv_shifted.suits(w.shape[1], stride, dz.dtype)

    def part(images: slice, _: int) -> None:
        if shifted:
            conv_shifted.input_grad(dz[images], w, corner, dilation, groups, out[images])
        else:
            _input_grad(dz[images], w, stride, corner, dilation, groups, out[images])

    _in_parts(part, _parts(shape, w.shape, dz.shape[2:], groups), n)
    return out


def _input_grad(dz: Any, w: Any, stride: Pair, corner: Pair, dilation: Pair, groups: int, out: Any) -> None:
    shape, o = out.shape, w.shape[0]
    with scratch() as take:
        blocks = _Blocks(
            shape, w.shape, dz.shape[2:], stride, corner, dilation, groups, False, dz.dtype, take, direct=False
        )
        weight = take((groups, blocks.depth, o // groups), blocks.dtype)
        np.copyto(weight, w.reshape(groups, o // groups, prod(w.shape[1:])).swapaxes(1, 2))
        total = out if out.dtype == blocks.dtype else np.empty(shape, blocks.dtype)
        if blocks.split:
            total.fill(0)
        for images, rows in blocks:
            pixels = blocks.spread(dz, images, rows)
            columns = np.matmul(weight, pixels, out=blocks.columns(images, rows))
            blocks.scatter(columns, total, images, rows)
        if total is not out:
            np.copyto(out, total, casting="unsafe")


def conv2d_weight_grad(
    x: Any,
    dz: Any,
    kernel: Pair,
    stride: Pair,
    corner: Pair,
    dilation: Pair,
    groups: int,
    bias: bool,
    out: Any = None,
) -> Any:
    """dw (o, c / groups, kh, kw) = dz times the columns of x, transposed; and db (o,), the sum of dz, if `bias`."""
    o, shape = dz.shape[1], (dz.shape[1], x.shape[1] // groups, *kernel)
    dw, db = out if bias and out is not None else (out, None)
    dw = np.empty(shape, dz.dtype) if dw is None else dw
    db = np.empty(o, dz.dtype) if bias and db is None else db
    shifted = shape[1] <= conv_shifted.FEW and conv_shifted.suits(shape[1], stride, x.dtype)
    count, work = _parts(x.shape, shape, dz.shape[2:], groups), wide(dz.dtype)
    while count > 1 and count * dw.size * work.itemsize > BLOCK_BYTES:
        count //= 2
    with scratch() as take:
        dws, dbs = take((count, *shape), work), take((count, o), work)

        def part(images: slice, k: int) -> None:
            function = conv_shifted.weight_grad if shifted else _weight_grad
            function(x[images], dz[images], stride, corner, dilation, groups, dws[k], dbs[k] if bias else None)

        _in_parts(part, count, len(x))
        results: list[tuple[Any, Any]] = [(dws, dw), (dbs, db)]
        for each, result in results[: 1 + bias]:
            for k in range(1, count):
                each[0] += each[k]
            np.copyto(result, each[0], casting="unsafe")
    return (dw, db) if bias else dw


def _weight_grad(x: Any, dz: Any, stride: Pair, corner: Pair, dilation: Pair, groups: int, dw: Any, db: Any) -> None:
    o, bias = dw.shape[0], db is not None
    with scratch() as take:
        blocks = _Blocks(x.shape, dw.shape, dz.shape[2:], stride, corner, dilation, groups, bias, x.dtype, take)
        total = take((groups, o // groups, blocks.depth), blocks.dtype)
        part = take(total.shape, blocks.dtype)
        parts = take((blocks.images, *total.shape), blocks.dtype) if blocks.direct else part
        total.fill(0)
        for images, rows in blocks:
            columns = blocks.gather(x, images, rows)
            if blocks.direct:
                several = parts[: images.stop - images.start]
                np.matmul(blocks.matrices(dz, images, rows), columns.swapaxes(2, 3), out=several)
                np.add.reduce(several, axis=0, out=part)
            else:
                np.matmul(blocks.spread(dz, images, rows), columns.swapaxes(1, 2), out=part)
            total += part
        np.copyto(dw, total[..., : blocks.depth - bias].reshape(dw.shape))
        if bias:
            np.copyto(db, total[..., -1].reshape(o))


def _parts(x: tuple[int, ...], w: tuple[int, ...], positions: Pair, groups: int) -> int:
    """In how many parts a convolution of images x and weights w is done."""
    if prod(w) < LEAST_WEIGHTS:
        return 1
    products = x[0] * prod(w) * prod(positions)
    elements = x[0] * (prod(x[1:]) + w[0] * prod(positions))
    return parts(x[0], products * 20e-6 + elements * 0.5e-3)


def _in_parts(function: Callable[[slice, int], None], count: int, images: int) -> None:
    """Call ``function(some images, k)`` for parts k of a batch, on all cores."""

    def some(start: int, stop: int) -> None:
        for k in range(start, stop):
            function(slice(k * images // count, (k + 1) * images // count), k)

    divide(some, count)


def _pointwise(x: Any, w: Any, b: Any, groups: int, kind: str, parameter: float, out: Any) -> Any:
    """A 1 x 1 convolution: the pixels are the columns as they are, one product for each image."""
    n, o, *size = out.shape
    weight = w.reshape(groups, o // groups, w.shape[1])
    pixels = x.reshape(n, groups, w.shape[1], prod(size))
    result = out.reshape(n, groups, o // groups, prod(size))
    for images in _ranges(n, BLOCK_BYTES // max(out[:1].nbytes, 1)):
        z = np.matmul(weight, pixels[images], out=result[images])
        if b is not None:
            z += b.reshape(groups, -1, 1)
        if kind != "none":
            activation(z, kind, parameter, out=z)
    return out


class _Blocks:
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
        take: Take,
        direct: bool = True,
    ):
        n, c, _, w = shape
        (o, cg), kernel = weight[:2], (weight[2], weight[3])
        self.kernel, self.positions = kernel, positions
        self.stride, self.corner, self.dilation = stride, corner, dilation
        self.batch, self.groups, self.ones, self.dtype = n, groups, ones, wide(dtype)
        self.depth = cg * kernel[0] * kernel[1] + ones
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
        padded = (self.images, c, height, width)
        slack = (kernel[1] - 1) * dilation[1]
        self._shifted = take((prod(padded) + slack,), self.dtype)
        self._shifted.fill(0)
        self._padded = self._shifted[: prod(padded)].reshape(padded)
        area = (self.rows, self.pitch)
        if self.direct:
            self._columns = take((self.images, groups, self.depth, *area), self.dtype)
            self._columns[:, :, self.depth - ones :] = 1
        else:
            self._columns = take((groups, self.depth, self.images, *area), self.dtype)
            self._columns[:, self.depth - ones :] = 1
            self._pixels = take((groups, o // groups, self.images, *area), self.dtype)
            self._pixels.fill(0)

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        """The images, and the rows of positions, of each block."""
        for images in _ranges(self.batch, self.images):
            for rows in _ranges(self.positions[0], self.rows):
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


def _ranges(total: int, step: int) -> Iterator[slice]:
    """0 to total in slices of at most `step`, as equal as possible."""
    count = -(-total // max(step, 1))
    for i in range(count):
        yield slice(i * total // count, (i + 1) * total // count)
