"""Pooling: one number for each window of each channel."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from .im2col import Pair, wide

__all__ = [
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool2d_gather",
    "max_pool2d_indices",
    "avg_pool2d",
    "avg_pool2d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
]

BLOCK_BYTES = 1 << 20
"""How much of the larger image is worked on at a time, so that what is read again is still in the cache."""

Taps = list[tuple[int, tuple[Any, ...], tuple[Any, ...]]]
"""For each element of the kernel: its number, the positions at which it lies in the image, and where it lies."""


def max_pool2d(
    x: Any, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
) -> tuple[Any, Any]:
    """The largest element of each window, and which element of the kernel it is: i kw + j.

    x (n, c, h, w) -> (n, c, *positions) twice, the second in uint8, or int32 for kernels of more than 256 elements.
    Of equal elements the first is taken, of NaNs the last, as in PyTorch. Padding is never taken.
    """
    number = np.uint8 if prod(kernel) <= 256 else np.int32
    shape = (*x.shape[:2], *positions)
    ys, which = (np.empty(shape, x.dtype), np.empty(shape, number)) if out is None else out
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf
    taps = _taps(x.shape[2:], positions, kernel, stride, corner, dilation)
    # Where all elements are -inf, none is larger than the start, and the first one inside the image stays.
    rows, across = (_first(o, s, p, d) for o, s, p, d in zip(positions, stride, corner, dilation))
    first = (rows[:, None] * kernel[1] + across).astype(number)
    for planes, y, tap in _blocks(x, ys, which):
        y.fill(lowest)
        tap[...] = first
        for t, here, there in taps:
            value = planes[there].copy()
            larger = np.greater(value, y[here])
            np.maximum(y[here], value, out=y[here])
            # The numbers grow, so the last element that was larger has the largest one.
            np.maximum(tap[here], larger.view(np.uint8) * number(t), out=tap[here])
        if np.isnan(y).any():
            for t, here, there in taps:
                np.maximum(tap[here], np.isnan(planes[there]) * number(t), out=tap[here])
    return ys, which


def max_pool2d_backward(
    dy: Any, which: Any, size: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
) -> Any:
    """dx (n, c, *size): each dy is added to the element that its window chose, one window after the other.

    The adjoint of `max_pool2d_gather`.
    """
    dxs = np.empty((*dy.shape[:2], *size), dy.dtype) if out is None else out
    for dx, given, chosen in _blocks(dxs, dy, which):
        total = np.zeros(dx.shape, np.float32) if dx.dtype.itemsize == 2 else dx
        total.fill(0)
        places = _places(chosen, size, kernel, stride, corner, dilation)
        np.add.at(total.reshape(-1), places.reshape(-1), given.reshape(-1).astype(total.dtype, copy=False))
        if total is not dx:
            np.copyto(dx, total, casting="unsafe")
    return dxs


def max_pool2d_gather(
    x: Any, which: Any, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
) -> Any:
    """The element of each window that `which` names. The adjoint of `max_pool2d_backward`."""
    ys = np.empty(which.shape, x.dtype) if out is None else out
    for planes, y, chosen in _blocks(x, ys, which):
        places = _places(chosen, x.shape[2:], kernel, stride, corner, dilation)
        np.take(planes.reshape(-1), places, out=y, mode="clip")
    return ys


def max_pool2d_indices(
    which: Any, width: int, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
) -> Any:
    """Where in its image (h, width) each chosen element lies: row width + column, in int64."""
    places = _places(which.reshape(-1, *which.shape[2:]), (0, width), kernel, stride, corner, dilation)
    if out is None:
        return places.reshape(which.shape)
    np.copyto(out, places.reshape(which.shape))
    return out


def avg_pool2d(
    x: Any,
    positions: Pair,
    kernel: Pair,
    stride: Pair,
    corner: Pair,
    count_padding: bool,
    divisor: int | None,
    out: Any = None,
) -> Any:
    """The sum of each window over `divisor` or its number of elements, first along rows, then across them."""
    ys = np.empty((*x.shape[:2], *positions), x.dtype) if out is None else out
    down, across = _both_axes(x.shape[2:], positions, kernel, stride, corner)
    sizes = divisor or _window_sizes(x.shape[2:], positions, kernel, stride, corner, count_padding)
    for plane, y in _blocks(x, ys):
        part = np.zeros((*plane.shape[:2], positions[1]), wide(x.dtype))
        for _, here, there in across:
            part[..., here] += plane[..., there]
        total = np.zeros((plane.shape[0], *positions), part.dtype)
        for _, here, there in down:
            total[:, here] += part[:, there]
        np.divide(total, sizes, out=y, casting="unsafe")
    return ys


def avg_pool2d_backward(
    dy: Any,
    size: Pair,
    kernel: Pair,
    stride: Pair,
    corner: Pair,
    count_padding: bool,
    divisor: int | None,
    out: Any = None,
) -> Any:
    """dx (n, c, *size): each dy over its divisor, added to all elements of its window. The adjoint of `avg_pool2d`."""
    dxs = np.empty((*dy.shape[:2], *size), dy.dtype) if out is None else out
    down, across = _both_axes(size, dy.shape[2:], kernel, stride, corner)
    sizes = divisor or _window_sizes(size, dy.shape[2:], kernel, stride, corner, count_padding)
    for dx, given in _blocks(dxs, dy):
        share = given.astype(wide(dy.dtype))
        share /= sizes
        part = np.zeros((given.shape[0], size[0], dy.shape[3]), share.dtype)
        for _, here, there in down:
            part[:, there] += share[:, here]
        total = np.zeros(dx.shape, share.dtype)
        for _, here, there in across:
            total[..., there] += part[..., here]
        np.copyto(dx, total, casting="unsafe")
    return dxs


def adaptive_avg_pool2d(x: Any, positions: Pair, out: Any = None) -> Any:
    """P x Q^T with the matrices of `_shares`: the mean of each of `positions` windows that cover the image evenly."""
    return _between(_shares(x.shape[2], positions[0]), x, _shares(x.shape[3], positions[1]).T, out)


def adaptive_avg_pool2d_backward(dy: Any, size: Pair, out: Any = None) -> Any:
    """P^T dy Q: the adjoint of `adaptive_avg_pool2d`."""
    return _between(_shares(size[0], dy.shape[2]).T, dy, _shares(size[1], dy.shape[3]), out)


def _between(left: Any, x: Any, right: Any, out: Any) -> Any:
    dtype = wide(x.dtype)
    y = np.matmul(left.astype(dtype), np.matmul(x.astype(dtype, copy=False), right.astype(dtype)))
    if out is None:
        return y.astype(x.dtype, copy=False)
    np.copyto(out, y, casting="unsafe")
    return out


def _shares(size: int, count: int) -> Any:
    """(count, size): 1 / length in window i, from floor(i size / count) to ceil((i + 1) size / count), 0 elsewhere."""
    shares = np.zeros((count, size))
    for i in range(count):
        start, stop = i * size // count, -(-(i + 1) * size // count)
        shares[i, start:stop] = 1 / (stop - start)
    return shares


def _blocks(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Arrays (n, c, ., .) as (planes, ., .), some planes at a time."""
    flat = [a.reshape(-1, *a.shape[2:]) for a in arrays]
    planes = flat[0].shape[0]
    step = max(BLOCK_BYTES // max(max(f[:1].nbytes for f in flat), 1), 1)
    for start in range(0, planes, step):
        yield tuple(f[start : start + step] for f in flat)


def _taps(size: Pair, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair) -> Taps:
    rows, across = (_axis_taps(*axis) for axis in zip(size, positions, kernel, stride, corner, dilation))
    return [
        (i * kernel[1] + j, (..., here_r, here_c), (..., there_r, there_c))
        for i, here_r, there_r in rows
        for j, here_c, there_c in across
    ]


def _both_axes(size: Pair, positions: Pair, kernel: Pair, stride: Pair, corner: Pair) -> Any:
    return (_axis_taps(*axis, 1) for axis in zip(size, positions, kernel, stride, corner))


def _axis_taps(size: int, positions: int, kernel: int, stride: int, corner: int, dilation: int) -> Any:
    """As `Taps`, along one axis; elements that lie in the padding at every position are left out."""
    taps = []
    for k in range(kernel):
        offset = k * dilation - corner
        low = max(-(offset // stride), 0)
        high = min((size - 1 - offset) // stride + 1, positions)
        if low < high:
            start = low * stride + offset
            taps.append((k, slice(low, high), slice(start, start + (high - low - 1) * stride + 1, stride)))
    return taps


def _window_sizes(size: Pair, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, count_padding: bool) -> Any:
    """The number of elements of each window (oh, ow) inside the image, or inside image and padding."""
    lengths = []
    for n, o, k, s, p in zip(size, positions, kernel, stride, corner):
        start = np.arange(o) * s
        low, high = (0, n + 2 * p) if count_padding else (p, n + p)
        lengths.append(np.minimum(start + k, high) - np.maximum(start, low))
    return (lengths[0][:, None] * lengths[1]).astype(np.float32)  # small integers: exact


def _places(which: Any, size: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair) -> Any:
    """Where in planes (p, *size) the elements that `which` (p, oh, ow) names lie, as one number each."""
    (kh, kw), (height, width) = kernel, size
    element = np.arange(kh)[:, None] * (dilation[0] * width) + np.arange(kw) * dilation[1]
    rows, across = (np.arange(o) * s - c for o, s, c in zip(which.shape[1:], stride, corner))
    places = np.take(element.reshape(-1), which, mode="clip")
    places += rows[:, None] * width + across
    places += (np.arange(which.shape[0]) * (height * width))[:, None, None]
    return places


def _first(positions: int, stride: int, corner: int, dilation: int) -> Any:
    """At each position, the first element of the kernel that lies inside the image."""
    return np.maximum(-((np.arange(positions) * stride - corner) // dilation), 0)
