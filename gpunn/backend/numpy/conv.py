"""Convolution and its two gradients: columns of patches and a matrix product, for a block of images at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from .activation import activation
from .im2col import Pair, crop, paste, reach, wide

__all__ = ["conv2d_forward", "conv2d_input_grad", "conv2d_weight_grad"]

BLOCK_BYTES = 1 << 22
"""What one block may take: little enough that the product finds its columns in a cache, and enough to be worth sharing
out among threads."""
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
    blocks = _Blocks(x.shape, w.shape, positions, stride, corner, dilation, groups, b is not None, x.dtype)
    weight = np.empty((groups, o // groups, blocks.depth), blocks.dtype)
    weight[..., : blocks.depth - blocks.ones] = w.reshape(groups, o // groups, -1)
    if b is not None:
        weight[..., -1] = b.reshape(groups, -1)
    for images, rows in blocks:
        columns = blocks.gather(x, images, rows)
        z = np.matmul(weight, columns, out=blocks.pixels(images, rows))
        if kind != "none":
            activation(z, kind, parameter, out=z)
        y = out[images, :, rows].swapaxes(0, 1)
        np.copyto(y, z.reshape(*y.shape[:3], blocks.pitch)[..., : positions[1]], casting="unsafe")
    return out


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
    """dx (n, c, *size) for dz (n, o, oh, ow), w (o, c / groups, kh, kw): the columns W^T dz, added up at their places.

    The other way, a convolution of dz with the kernel turned around, makes columns of dz: more of them wherever a layer
    gives more channels than it takes.
    """
    n, o = dz.shape[:2]
    shape = (n, w.shape[1] * groups, *size)
    if out is None:
        out = np.empty(shape, dz.dtype)
    blocks = _Blocks(shape, w.shape, dz.shape[2:], stride, corner, dilation, groups, False, dz.dtype)
    weight = w.reshape(groups, o // groups, -1).swapaxes(1, 2).astype(blocks.dtype)
    total = out if out.dtype == blocks.dtype else np.empty(shape, blocks.dtype)
    if blocks.split:
        total.fill(0)
    for images, rows in blocks:
        pixels = blocks.spread(dz, images, rows)
        columns = np.matmul(weight, pixels, out=blocks.columns(images, rows))
        blocks.scatter(columns, total, images, rows)
    if total is not out:
        np.copyto(out, total, casting="unsafe")
    return out


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
    blocks = _Blocks(x.shape, shape, dz.shape[2:], stride, corner, dilation, groups, bias, x.dtype)
    total = np.zeros((groups, o // groups, blocks.depth), blocks.dtype)
    part = np.empty_like(total)
    for images, rows in blocks:
        columns = blocks.gather(x, images, rows)
        np.matmul(blocks.spread(dz, images, rows), columns.swapaxes(1, 2), out=part)
        total += part
    dw = total[..., : blocks.depth - bias].reshape(shape)
    if not bias:
        return _result(dw, dz.dtype, out)
    outs = (None, None) if out is None else out
    return _result(dw, dz.dtype, outs[0]), _result(total[..., -1].reshape(o), dz.dtype, outs[1])


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


def _result(value: Any, dtype: Any, out: Any) -> Any:
    if out is None:
        return np.ascontiguousarray(value, dtype=dtype)
    np.copyto(out, value, casting="unsafe")
    return out


_kept = threading.local()


class _Blocks:
    """Some images at a time, or some rows of one: padded, as columns, and as pixels of the result.

    Columns are (groups, depth, images x rows x pitch), pixels (groups, o / groups, images x rows x pitch). The depth is
    (c / groups) kh kw, and one more row, of ones, where a bias is wanted: the product adds it, or gives its gradient.

    With stride 1 the pitch is that of the padded image, so that one kernel element's row of columns is one run of
    memory: the image, shifted, which is copied several times as fast as row by row. The last elements of each row wrap
    around into the next one. They belong to no position; pixels are 0 there, or are left out of the result. Where both
    sides are padded, the zeros to the right of a row are those to the left of the next.
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
    ):
        n, c, _, w = shape
        (o, cg), kernel = weight[:2], (weight[2], weight[3])
        self.kernel, self.positions = kernel, positions
        self.stride, self.corner, self.dilation = stride, corner, dilation
        self.batch, self.groups, self.ones, self.dtype = n, groups, ones, wide(dtype)
        self.depth = cg * kernel[0] * kernel[1] + ones
        oh, ow = positions
        _, width = reach(positions, kernel, stride, dilation)
        if stride == (1, 1):
            shared = min(corner[1], width - corner[1] - w)
            self.pitch = width = max(ow, width - max(shared, 0))
        else:
            self.pitch = ow
        row_bytes = max((groups * self.depth + o) * self.pitch * self.dtype.itemsize, 1)
        self.images = min(max(BLOCK_BYTES // (row_bytes * oh), 1), max(n, 1))
        self.rows = min(max(BLOCK_BYTES // row_bytes, 1), oh)
        self.split = self.rows < oh
        height, _ = reach((self.rows, ow), kernel, stride, dilation)
        slack = (kernel[1] - 1) * dilation[1]
        shapes = (
            (self.images, c, height, width),
            (groups, self.depth, self.images, self.rows, self.pitch),
            (groups, o // groups, self.images, self.rows, self.pitch),
        )
        sizes = [prod(shape) for shape in shapes]
        memory = _workspace(sum(sizes) + slack, self.dtype)
        pixels, self._shifted, columns = np.split(memory, (sizes[2], memory.size - sizes[1]))
        pixels.fill(0)
        self._shifted.fill(0)
        self._padded = self._shifted[: sizes[0]].reshape(shapes[0])
        self._columns = columns.reshape(shapes[1])
        self._columns[:, self.depth - ones :] = 1
        self._pixels = pixels.reshape(shapes[2])

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        """The images, and the rows of positions, of each block."""
        for images in _ranges(self.batch, self.images):
            for rows in _ranges(self.positions[0], self.rows):
                yield images, rows

    def columns(self, images: slice, rows: slice) -> Any:
        """Memory for the columns of a block."""
        return _of_block(self._columns, images, rows)

    def pixels(self, images: slice, rows: slice) -> Any:
        """Memory for the pixels of a block."""
        return _of_block(self._pixels, images, rows)

    def gather(self, x: Any, images: slice, rows: slice) -> Any:
        """The columns of x."""
        padded, windows = self._windows(images, rows)
        if self.split:
            padded.fill(0)  # where one block has image, another has padding
        paste(padded, x[images], self.corner[0] - rows.start * self.stride[0], self.corner[1])
        columns = self.columns(images, rows)
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
        block = dz[images, :, rows].swapaxes(0, 1)
        np.copyto(pixels.reshape(*block.shape[:3], self.pitch)[..., : block.shape[3]], block, casting="unsafe")
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


def _workspace(count: int, dtype: Any) -> Any:
    """Memory for `count` elements until the thread's next call: kept, since fresh pages take longer to come by."""
    size = count * dtype.itemsize
    memory = getattr(_kept, "memory", None)
    if memory is None or memory.size < size:
        memory = np.empty(size, np.uint8)
        if size <= 4 * BLOCK_BYTES:
            _kept.memory = memory
    return memory[:size].view(dtype)


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
