"""Convolution: columns of patches and a matrix product, for a block of images at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .elementwise import activation
from .im2col import Pair, add_patches, crop, paste, reach, wide

__all__ = ["conv2d_forward", "conv2d_input_grad", "conv2d_weight_grad"]

BLOCK_BYTES = 1 << 20
"""What the columns of one block may take, so that they are still in the cache when the product reads them."""
POINTWISE = 64
"""From this many pixels on, a 1 x 1 convolution is faster without making columns."""


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

    `corner` is the padding above and to the left, and may be negative; what the patches cover beyond the other edges
    is 0 too.
    """
    n, o = x.shape[0], w.shape[0]
    if out is None:
        out = np.empty((n, o, *positions), x.dtype)
    pixelwise = w.shape[2:] == (1, 1) and stride == (1, 1) and corner == (0, 0) and positions == x.shape[2:]
    if pixelwise and x.dtype.itemsize > 2 and positions[0] * positions[1] >= POINTWISE:
        return _pointwise(x, w, b, groups, kind, parameter, out)
    patches = _Patches(x, w.shape[2:], positions, stride, corner, dilation, groups, b is not None)
    weight = np.empty((groups, o // groups, patches.depth), patches.dtype)
    weight[..., : w[0].size] = w.reshape(groups, o // groups, -1)
    if b is not None:
        weight[..., -1] = b.reshape(groups, -1)
    scratch = np.empty(o * patches.largest, patches.dtype)
    for images, rows in patches.blocks():
        columns = patches.columns(images, rows)
        m = columns.shape[2]
        z = np.matmul(weight, columns, out=scratch[: o * m].reshape(groups, o // groups, m))
        if kind != "none":
            activation(z, kind, parameter, out=z)
        y = out[images, :, rows]
        z = z.reshape(o, y.shape[0], y.shape[2], patches.pitch)
        np.copyto(y.swapaxes(0, 1), z[..., : positions[1]], casting="unsafe")
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
    """dx (n, c, *size) for dz (n, o, oh, ow) and w (o, c / groups, kh, kw): the transposed convolution.

    With stride 1 it is a convolution of dz itself, with the kernel turned by 180 degrees and the channels exchanged;
    else the columns are W^T dz, and col2im adds them up.
    """
    n, o, *positions = dz.shape
    cg, *kernel = w.shape[1:]
    parts = w.reshape(groups, o // groups, cg, *kernel)
    if stride == (1, 1):
        turned = parts[..., ::-1, ::-1].swapaxes(1, 2).reshape(groups * cg, o // groups, *kernel)
        around = tuple((k - 1) * d - p for k, d, p in zip(kernel, dilation, corner))
        return conv2d_forward(dz, turned, None, size, (1, 1), around, dilation, groups, out=out)
    if out is None:
        out = np.empty((n, groups * cg, *size), dz.dtype)
    dtype = wide(dz.dtype)
    transposed = parts.reshape(groups, o // groups, -1).swapaxes(1, 2).astype(dtype)
    covered = tuple(reach(positions, kernel, stride, dilation))
    per_image = transposed.shape[1] * groups * positions[0] * positions[1] * dtype.itemsize
    for images in _ranges(n, BLOCK_BYTES // max(per_image, 1)):
        block = dz[images].swapaxes(0, 1)
        columns = np.matmul(transposed, block.reshape(groups, o // groups, -1).astype(dtype, copy=False))
        patches = columns.reshape(groups * cg, *kernel, block.shape[1], *positions)
        padded = np.zeros((groups * cg, block.shape[1], *covered), dtype)
        add_patches(padded, np.moveaxis(patches, 3, 1), stride, dilation)
        crop(out[images].swapaxes(0, 1), padded, *corner)
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
    o, ow = dz.shape[1], dz.shape[3]
    patches = _Patches(x, kernel, dz.shape[2:], stride, corner, dilation, groups, bias)
    total = np.zeros((groups, o // groups, patches.depth), patches.dtype)
    part = np.empty_like(total)
    scratch = np.empty(o * patches.largest, patches.dtype)
    for images, rows in patches.blocks():
        columns = patches.columns(images, rows)
        block = dz[images, :, rows].swapaxes(0, 1)
        factor = scratch[: o * columns.shape[2]].reshape(*block.shape[:3], patches.pitch)
        factor[..., ow:] = 0  # what the columns hold there belongs to no position
        np.copyto(factor[..., :ow], block, casting="unsafe")
        np.matmul(factor.reshape(groups, o // groups, -1), columns.swapaxes(1, 2), out=part)
        total += part
    dw = total[..., : total.shape[2] - bias].reshape(o, -1, *kernel)
    if not bias:
        return _result(dw, dz.dtype, out)
    outs = (None, None) if out is None else out
    return _result(dw, dz.dtype, outs[0]), _result(total[..., -1].reshape(o), dz.dtype, outs[1])


def _pointwise(x: Any, w: Any, b: Any, groups: int, kind: str, parameter: float, out: Any) -> Any:
    """A 1 x 1 convolution: the pixels are the columns as they are, one product for each image."""
    n, o = out.shape[:2]
    weight = w.reshape(groups, o // groups, -1)
    pixels = x.reshape(n, groups, weight.shape[2], -1)
    result = out.reshape(n, groups, o // groups, -1)
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


class _Patches:
    """The columns of a convolution's input, block by block: some images, or some rows of one.

    Columns lie as (groups, depth, images x rows x pitch); depth is (c / groups) kh kw, and one more row of ones where a
    bias is wanted, so that the product adds it, and its gradient comes out of the product too.

    With stride 1 the pitch is that of the padded image, so that the row of columns of a kernel element is one run of
    memory: the image, shifted. The last columns of each image row then wrap around into the next one; they belong to
    no position, and are cut away after the product. It is a copy four times as fast as one that leaves them out.
    Where both sides are padded, the zeros to the right of a row are those to the left of the next.
    """

    def __init__(
        self,
        x: Any,
        kernel: Pair,
        positions: Pair,
        stride: Pair,
        corner: Pair,
        dilation: Pair,
        groups: int,
        ones: bool,
    ):
        self.x, self.kernel, self.stride, self.corner, self.dilation = x, kernel, stride, corner, dilation
        self.groups, self.ones, self.positions = groups, ones, positions
        self.dtype = wide(x.dtype)
        self.depth = x.shape[1] // groups * kernel[0] * kernel[1] + ones
        oh, ow = positions
        _, width = reach(positions, kernel, stride, dilation)
        if stride == (1, 1):
            shared = min(corner[1], width - corner[1] - x.shape[3])
            self.pitch = self.width = max(ow, width - max(shared, 0))
        else:
            self.pitch, self.width = ow, width
        row_bytes = max(groups * self.depth * self.pitch * self.dtype.itemsize, 1)
        self.images = max(BLOCK_BYTES // (row_bytes * oh), 1)
        self.rows = oh if row_bytes * oh <= BLOCK_BYTES else max(BLOCK_BYTES // row_bytes, 1)
        self.images = min(self.images, max(x.shape[0], 1))
        self.largest = self.images * self.rows * self.pitch
        _, self.height = (0, self._height(self.rows))
        slack = (kernel[1] - 1) * dilation[1]
        flat = np.zeros(self.images * x.shape[1] * self.height * self.width + slack, self.dtype)
        self.padded = flat[: flat.size - slack].reshape(self.images, x.shape[1], self.height, self.width)
        self.memory = np.empty(groups * self.depth * self.largest, self.dtype)

    def _height(self, rows: int) -> int:
        return (rows - 1) * self.stride[0] + (self.kernel[0] - 1) * self.dilation[0] + 1

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Images and rows of positions of each block."""
        for images in _ranges(self.x.shape[0], self.images):
            for rows in _ranges(self.positions[0], self.rows):
                yield images, rows

    def columns(self, images: slice, rows: slice) -> Any:
        """(groups, depth, images x rows x pitch); valid until the next call."""
        n, r, c = images.stop - images.start, rows.stop - rows.start, self.x.shape[1]
        padded = self.padded[:n, :, : self._height(r)]
        if self.rows < self.positions[0]:
            padded.fill(0)  # where one block has image, another has padding
        paste(padded, self.x[images], self.corner[0] - rows.start * self.stride[0], self.corner[1])
        image, channel, row, element = padded.strides
        (dh, dw), (sh, sw) = self.dilation, self.stride
        shape = (self.groups, c // self.groups, *self.kernel, n, r, self.pitch)
        strides = (c // self.groups * channel, channel, dh * row, dw * element, image, sh * row, sw * element)
        shifted: Any = np.ndarray(shape, self.dtype, self.padded.base, strides=strides)
        m = n * r * self.pitch
        columns = self.memory[: self.groups * self.depth * m].reshape(self.groups, self.depth, m)
        np.copyto(columns[:, : self.depth - self.ones].reshape(shape), shifted)
        if self.ones:
            columns[:, -1] = 1
        return columns


def _ranges(total: int, step: int) -> Iterator[slice]:
    """0 to total in slices of at most `step`, as equal as possible."""
    count = -(-total // max(step, 1))
    for i in range(count):
        yield slice(i * total // count, (i + 1) * total // count)
