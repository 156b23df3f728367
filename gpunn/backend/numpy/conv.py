"""Convolution and its two gradients: columns of patches and a matrix product, for a block of images at a time."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from . import conv_exact, conv_shifted, reduction
from .activation import activation
from .conv_blocks import BLOCK_BYTES, POINTWISE, Blocks, Layout, ranges
from .factors import exact, rounds
from .im2col import Pair, wide
from .workers import in_parts, parts
from .workspace import declares, scratch, taken

__all__ = ["conv2d_forward", "conv2d_input_grad", "conv2d_weight_grad"]

LEAST_WEIGHTS = 1024
"""With fewer, what is done with a block that fits the cache is over before another thread could take its turn."""


@rounds(0, 1)
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
    if _is_pointwise(x, w, positions, stride, corner):
        return _pointwise(x, w, b, groups, kind, parameter, out)

    if not conv_exact.is_finite(w):
        conv_exact.forward(x, w, b, stride, corner, dilation, groups, out)
        return activation(out, kind, parameter, out=out) if kind != "none" else out

    def part(images: slice, _: int) -> None:
        _forward(x[images], w, b, positions, stride, corner, dilation, groups, kind, parameter, out[images])

    in_parts(part, _parts(x.shape, w.shape, positions, groups), n)
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
        blocks = Blocks(
            x.shape, w.shape, positions, stride, corner, dilation, groups, b is not None, x.dtype, take=take
        )
        weight = take(blocks.weight_shape, blocks.dtype)
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


@rounds(0, 1)
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
    if not conv_exact.is_finite(w):
        conv_exact.input_grad(dz, w, stride, corner, dilation, groups, out)
        return out
    shifted = conv_shifted.suits(w.shape[1], stride, dz.dtype)

    def part(images: slice, _: int) -> None:
        if shifted:
            conv_shifted.input_grad(dz[images], w, corner, dilation, groups, out[images])
        else:
            _input_grad(dz[images], w, stride, corner, dilation, groups, out[images])

    in_parts(part, _parts(shape, w.shape, dz.shape[2:], groups), n)
    return out


def _input_grad(dz: Any, w: Any, stride: Pair, corner: Pair, dilation: Pair, groups: int, out: Any) -> None:
    shape, o = out.shape, w.shape[0]
    with scratch() as take:
        blocks = Blocks(
            shape, w.shape, dz.shape[2:], stride, corner, dilation, groups, False, dz.dtype, take=take, direct=False
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


@rounds(0, 1)
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
    if bias and exact(dz) is not dz:
        conv2d_weight_grad(x, dz, kernel, stride, corner, dilation, groups, False, out=dw)
        return dw, reduction.sum(exact(dz), (0, 2, 3), False, out=db)
    shifted = shape[1] <= conv_shifted.FEW and conv_shifted.suits(shape[1], stride, x.dtype)
    work = wide(dz.dtype)
    count = _weight_grad_parts(x.shape, shape, dz.shape[2:], groups, work)
    with scratch() as take:
        dws, dbs = take((count, *shape), work), take((count, o), work)

        def part(images: slice, k: int) -> None:
            function = conv_shifted.weight_grad if shifted else _weight_grad
            function(x[images], dz[images], stride, corner, dilation, groups, dws[k], dbs[k] if bias else None)

        in_parts(part, count, len(x))
        results: list[tuple[Any, Any]] = [(dws, dw), (dbs, db)]
        for each, result in results[: 1 + bias]:
            for k in range(1, count):
                each[0] += each[k]
            np.copyto(result, each[0], casting="unsafe")
        if dw.size and np.isnan(dws[0].min()):
            conv_exact.weight_grad(x, dz, stride, corner, dilation, groups, dw)
    return (dw, db) if bias else dw


def _weight_grad(x: Any, dz: Any, stride: Pair, corner: Pair, dilation: Pair, groups: int, dw: Any, db: Any) -> None:
    o, bias = dw.shape[0], db is not None
    with scratch() as take:
        blocks = Blocks(x.shape, dw.shape, dz.shape[2:], stride, corner, dilation, groups, bias, x.dtype, take=take)
        total = take(blocks.weight_shape, blocks.dtype)
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


@declares("conv2d_forward")
def _forward_needs(
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
) -> int:
    if _is_pointwise(x, w, positions, stride, corner):
        return 0
    some = _largest_part(x.shape, w.shape, positions, groups)
    layout = Layout(some, w.shape, positions, stride, corner, dilation, groups, b is not None, x.dtype)
    return layout.nbytes + taken(layout.dtype, layout.weight_shape)


@declares("conv2d_input_grad")
def _input_grad_needs(
    dz: Any, w: Any, size: Pair, stride: Pair, corner: Pair, dilation: Pair, groups: int, out: Any = None
) -> int:
    shape, positions = (dz.shape[0], w.shape[1] * groups, *size), dz.shape[2:]
    some = _largest_part(shape, w.shape, positions, groups)
    if conv_shifted.suits(w.shape[1], stride, dz.dtype):
        return conv_shifted.needs(some, w.shape, positions, corner, dilation, groups, dz.dtype)
    layout = Layout(some, w.shape, positions, stride, corner, dilation, groups, False, dz.dtype, direct=False)
    return layout.nbytes + taken(layout.dtype, layout.weight_shape)


@declares("conv2d_weight_grad")
def _weight_grad_needs(
    x: Any,
    dz: Any,
    kernel: Pair,
    stride: Pair,
    corner: Pair,
    dilation: Pair,
    groups: int,
    bias: bool,
    out: Any = None,
) -> int:
    o, shape, positions = dz.shape[1], (dz.shape[1], x.shape[1] // groups, *kernel), dz.shape[2:]
    count, work = _weight_grad_parts(x.shape, shape, positions, groups, wide(dz.dtype)), wide(dz.dtype)
    kept, some = taken(work, (count, *shape), (count, o)), (-(-x.shape[0] // count), *x.shape[1:])
    if shape[1] <= conv_shifted.FEW and conv_shifted.suits(shape[1], stride, x.dtype):
        part = conv_shifted.needs(some, shape, positions, corner, dilation, groups, x.dtype)
        return kept + part + taken(work, (o,)) * bias
    layout = Layout(some, shape, positions, stride, corner, dilation, groups, bias, x.dtype)
    sums = 2 * taken(work, layout.weight_shape)
    return kept + layout.nbytes + sums + taken(work, (layout.images, *layout.weight_shape)) * layout.direct


def _largest_part(x: tuple[int, ...], w: tuple[int, ...], positions: Pair, groups: int) -> tuple[int, ...]:
    """The shape of the images of one part."""
    return (-(-x[0] // _parts(x, w, positions, groups)), *x[1:])


def _weight_grad_parts(x: tuple[int, ...], w: tuple[int, ...], positions: Pair, groups: int, work: Any) -> int:
    """In how many parts the gradient of the weights is done, each of which has a sum of its own."""
    count = _parts(x, w, positions, groups)
    while count > 1 and count * prod(w) * work.itemsize > BLOCK_BYTES:
        count //= 2
    return count


def _parts(x: tuple[int, ...], w: tuple[int, ...], positions: Pair, groups: int) -> int:
    """In how many parts a convolution of images x and weights w is done."""
    if prod(w) < LEAST_WEIGHTS:
        return 1
    products = x[0] * prod(w) * prod(positions)
    elements = x[0] * (prod(x[1:]) + w[0] * prod(positions))
    return parts(x[0], products * 20e-6 + elements * 0.5e-3)


def _is_pointwise(x: Any, w: Any, positions: Pair, stride: Pair, corner: Pair) -> bool:
    pixelwise = w.shape[2:] == (1, 1) and stride == (1, 1) and corner == (0, 0) and positions == x.shape[2:]
    return pixelwise and x.dtype.itemsize > 2 and positions[0] * positions[1] >= POINTWISE


def _pointwise(x: Any, w: Any, b: Any, groups: int, kind: str, parameter: float, out: Any) -> Any:
    """A 1 x 1 convolution: the pixels are the columns as they are, one product for each image."""
    n, o, *size = out.shape
    weight = w.reshape(groups, o // groups, w.shape[1])
    pixels = x.reshape(n, groups, w.shape[1], prod(size))
    result = out.reshape(n, groups, o // groups, prod(size))
    for images in ranges(n, BLOCK_BYTES // max(out[:1].nbytes, 1)):
        z = np.matmul(weight, pixels[images], out=result[images])
        if b is not None:
            z += b.reshape(groups, -1, 1)
        if kind != "none":
            activation(z, kind, parameter, out=z)
    return out
