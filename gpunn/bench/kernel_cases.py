"""A telling call of every operation that has a ladder of kernels: what it takes, and what it has to do at least."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from ml_dtypes import bfloat16

from gpunn.backend.kernel.tuning import random_array

Backend = Any
Array = Any


class Work(NamedTuple):
    """A call of a primitive.

    Attributes:
        run: makes it, and returns its results: an array or several.
        given: the arrays that it reads.
    """

    run: Callable[[], Any]
    given: tuple[Array, ...]


@dataclass(frozen=True)
class Case:
    """An operation with a ladder.

    Attributes:
        sizes: what the numbers of its shape are.
        shape: the shape that is measured.
        counted: the shape that is predicted: smaller, as the simulator goes through all of it.
        make: the work of a shape on a backend.
        flop: the arithmetic of a shape, of products; None elsewhere, where the bytes are the limit.
        factors: the type of a product's factors, as tensor cores' rates are named; float32 takes none.
    """

    sizes: tuple[str, ...]
    shape: tuple[int, ...]
    counted: tuple[int, ...]
    make: Callable[..., Work]
    flop: Callable[..., int] | None = None
    factors: str = "fp32"


_AT_ONCE = (1, 1), (0, 0), (1, 1)
"""Stride, padding and dilation of windows that lie side by side."""
_PRODUCT = ("rows", "terms", "columns")
_LAYER = ("rows", "inputs", "outputs")
_IMAGES = ("images", "channels", "side")
_TABLE = ("rows", "columns")
_LOOKED_UP = ("indices", "rows", "columns")


def _random(b: Backend, *shapes: tuple[int, ...], dtype: Any = np.float32) -> list[Array]:
    return [random_array(b, shape, np.dtype(dtype), seed) for seed, shape in enumerate(shapes)]


def _whole(b: Backend, high: int, *shape: int, dtype: Any = np.int64) -> Array:
    return b.from_numpy(np.random.default_rng(0).integers(0, high, shape).astype(dtype))


def _matmul(b: Backend, m: int, k: int, n: int, dtype: Any = np.float32) -> Work:
    x, y = _random(b, (m, k), (k, n), dtype=dtype)
    return Work(lambda: b.matmul(x, y), (x, y))


def _linear(b: Backend, rows: int, inputs: int, outputs: int) -> Work:
    x, w, bias = _random(b, (rows, inputs), (outputs, inputs), (outputs,))
    return Work(lambda: b.linear_activation(x, w, bias, "relu", 0.0), (x, w, bias))


def _linear_backward(b: Backend, rows: int, inputs: int, outputs: int) -> Work:
    given = tuple(_random(b, (rows, outputs), (rows, inputs), (outputs, inputs)))
    return Work(lambda: b.activation_linear_backward(*given, "relu", 0.0, (True, True, True)), given)


def _conv(b: Backend, images: int, inner: int, outer: int, side: int) -> Work:
    x, w, bias = _random(b, (images, inner, side, side), (outer, inner, 3, 3), (outer,))
    how = (side, side), (1, 1), (1, 1), (1, 1), 1
    return Work(lambda: b.conv2d_forward(x, w, bias, *how, "relu"), (x, w, bias))


def _conv_channels_last(b: Backend, images: int, inner: int, outer: int, side: int) -> Work:
    shapes = (images, side, side, inner), (outer, 3, 3, inner), (outer,), (images, side, side, outer)
    x, w, bias, y = _random(b, *shapes)
    x, w, y = (a.transpose(0, 3, 1, 2) for a in (x, w, y))
    how = (side, side), (1, 1), (1, 1), (1, 1), 1
    return Work(lambda: b.conv2d_forward(x, w, bias, *how, "relu", out=y), (x, w, bias))


def _im2col(b: Backend, images: int, channels: int, side: int) -> Work:
    (x,) = _random(b, (images, channels, side, side))
    return Work(lambda: b.im2col(x, (side, side), (3, 3), (1, 1), (1, 1), (1, 1)), (x,))


def _col2im(b: Backend, images: int, channels: int, side: int) -> Work:
    (columns,) = _random(b, (images, channels * 9, side * side))
    size = side, side
    return Work(lambda: b.col2im(columns, size, size, (3, 3), (1, 1), (1, 1), (1, 1)), (columns,))


def _max_pool(b: Backend, images: int, channels: int, side: int) -> Work:
    (x,) = _random(b, (images, channels, side, side))
    return Work(lambda: b.max_pool2d(x, (side // 2, side // 2), (2, 2), (2, 2), *_AT_ONCE[1:]), (x,))


def _max_pool_backward(b: Backend, images: int, channels: int, side: int) -> Work:
    half = images, channels, side // 2, side // 2
    (dy,), which = _random(b, half), _whole(b, 4, *half, dtype=np.uint8)
    how = (side, side), (2, 2), (2, 2), *_AT_ONCE[1:]
    return Work(lambda: b.max_pool2d_backward(dy, which, *how), (dy, which))


def _adaptive(b: Backend, images: int, channels: int, side: int) -> Work:
    (x,) = _random(b, (images, channels, side, side))
    return Work(lambda: b.adaptive_avg_pool2d(x, (1, 1)), (x,))


def _row_norm(b: Backend, rows: int, columns: int) -> Work:
    x, w, bias = _random(b, (rows, columns), (columns,), (columns,))
    return Work(lambda: b.row_norm_forward(x, w, bias, (rows, 1, columns, 1), 1e-5), (x, w, bias))


def _batch_norm(b: Backend, images: int, channels: int, side: int) -> Work:
    x, w, bias = _random(b, (images, channels, side, side), (channels,), (channels,))
    return Work(lambda: b.batch_norm_forward(x, w, bias, 1e-5), (x, w, bias))


def _of_rows(primitive: Callable[[Backend, Array], Any]) -> Callable[..., Work]:
    def make(b: Backend, rows: int, columns: int) -> Work:
        (x,) = _random(b, (rows, columns))
        return Work(lambda: primitive(b, x), (x,))

    return make


def _cross_entropy(b: Backend, rows: int, classes: int) -> Work:
    (x,), labels = _random(b, (rows, classes)), _whole(b, classes, rows)
    return Work(lambda: b.softmax_cross_entropy(x, labels, None, "mean", -100, 0.0), (x, labels))


def _transposed(b: Backend, rows: int, columns: int) -> Work:
    (x,) = _random(b, (columns, rows))
    turned = b.transpose(x, (1, 0))
    return Work(lambda: b.copy(turned), (x,))


def _dropout(b: Backend, elements: int) -> Work:
    (x,) = _random(b, (elements,))
    return Work(lambda: b.dropout(x, 0.5, 0, 0, 0), (x,))


def _embedding_backward(b: Backend, count: int, rows: int, columns: int) -> Work:
    (dy,), index = _random(b, (count, columns)), _whole(b, rows, count)
    return Work(lambda: b.embedding_backward(dy, index, rows, -1, False), (dy, index))


def _index_put(b: Backend, count: int, rows: int, columns: int) -> Work:
    (x, v), index = _random(b, (rows, columns), (count, columns)), _whole(b, rows, count)
    return Work(lambda: b.index_put(x, v, (index,), (0,)), (x, v, index))


def _index_sum(b: Backend, count: int, rows: int, columns: int) -> Work:
    (v,), index = _random(b, (count, columns)), _whole(b, rows, count)
    return Work(lambda: b.index_sum(v, (index,), (0,), (rows, columns), True), (v, index))


def _gather_images(b: Backend, count: int, images: int, side: int) -> Work:
    data, index = _whole(b, 256, images, 1, side, side, dtype=np.uint8), _whole(b, images, count)
    scale, shift = _random(b, (1,), (1,))
    # Of the data set only the images that are gathered count.
    return Work(lambda: b.gather_images(data, index, scale, shift, np.dtype(np.float32)), (data[:count], index))


def _of_product(m: int, k: int, n: int) -> int:
    return 2 * m * k * n


CASES: dict[str, Case] = {
    "matmul": Case(_PRODUCT, (4096, 4096, 4096), (256, 784, 512), _matmul, _of_product),
    "half_product": Case(
        _PRODUCT,
        (4096, 4096, 4096),
        (256, 784, 512),
        partial(_matmul, dtype=bfloat16),
        _of_product,
        "bf16",
    ),
    "linear_forward": Case(_LAYER, (4096, 784, 512), (256, 784, 512), _linear, _of_product),
    "linear_backward": Case(
        _LAYER, (4096, 784, 512), (256, 784, 512), _linear_backward, lambda *shape: 2 * _of_product(*shape)
    ),
    "conv2d": Case(
        ("images", "channels in", "channels out", "side"),
        (256, 32, 64, 32),
        (8, 32, 64, 16),
        _conv,
        lambda images, inner, outer, side: 2 * 9 * images * inner * outer * side * side,
    ),
    "conv2d_channels_last": Case(
        ("images", "channels in", "channels out", "side"),
        (256, 32, 64, 32),
        (8, 32, 64, 16),
        _conv_channels_last,
        lambda images, inner, outer, side: 2 * 9 * images * inner * outer * side * side,
    ),
    "im2col": Case(_IMAGES, (256, 32, 32), (8, 16, 32), _im2col),
    "col2im": Case(_IMAGES, (256, 32, 32), (8, 16, 32), _col2im),
    "max_pool": Case(_IMAGES, (256, 128, 32), (8, 32, 32), _max_pool),
    "max_pool_backward": Case(_IMAGES, (256, 128, 32), (8, 32, 32), _max_pool_backward),
    "adaptive_avg_pool": Case(_IMAGES, (256, 512, 16), (8, 64, 16), _adaptive),
    "batch_norm": Case(_IMAGES, (256, 64, 32), (16, 16, 32), _batch_norm),
    "row_norm": Case(_TABLE, (16384, 1024), (256, 1024), _row_norm),
    "softmax": Case(_TABLE, (16384, 1000), (256, 1000), _of_rows(lambda b, x: b.softmax(x, 1))),
    "cross_entropy": Case(_TABLE, (16384, 1000), (256, 1000), _cross_entropy),
    "reduce": Case(_TABLE, (16384, 1024), (256, 1024), _of_rows(lambda b, x: b.sum(x, (1,), False))),
    "cumsum": Case(_TABLE, (1024, 16384), (64, 4096), _of_rows(lambda b, x: b.cumsum(x, 1, False))),
    "extreme": Case(_TABLE, (16384, 1000), (256, 1000), _of_rows(lambda b, x: b.argmax(x, 1, False))),
    "copy": Case(_TABLE, (8192, 4096), (512, 512), _transposed),
    "dropout": Case(("elements",), (1 << 25,), (1 << 18,), _dropout),
    "embedding_backward": Case(_LOOKED_UP, (4096, 16384, 128), (512, 256, 64), _embedding_backward),
    "index_put": Case(_LOOKED_UP, (4096, 16384, 128), (512, 256, 64), _index_put),
    "index_sum": Case(_LOOKED_UP, (4096, 16384, 128), (512, 256, 64), _index_sum),
    "gather_images": Case(("gathered", "images", "side"), (16384, 60000, 28), (256, 1000, 28), _gather_images),
}
"""By the name of the ladder."""


def moved(work: Work, results: Any) -> int:
    """Bytes that a work reads and writes at least: each of its arrays once."""
    made = results if isinstance(results, tuple) else (results,)
    return sum(math.prod(a.shape) * a.dtype.itemsize for a in (*work.given, *made))
