"""Pooling: one number for each window of each channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .activation import activation_backward
from .elementwise import _BITS
from .im2col import Pair, wide
from .workers import in_parts, parts
from .workspace import Take, declares, scratch, taken

__all__ = [
    "max_pool2d",
    "max_pool2d_activation_backward",
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

_BOOL, _FLOAT32, _INDEX = np.dtype(np.bool_), np.dtype(np.float32), np.dtype(np.intp)
_MICROSECONDS = 0.8e-3
"""What an element takes, about."""
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
    taps = _taps(x.shape[2:], positions, kernel, stride, corner, dilation)
    everywhere = all(here == (..., slice(0, positions[0]), slice(0, positions[1])) for _, here, _ in taps)
    first = None if everywhere else _first(positions, kernel, stride, corner, dilation, number)

    def part(planes: Any, y: Any, tap: Any) -> None:
        with scratch() as take:
            value, larger, chosen = take(y.shape, y.dtype), take(y.shape, _BOOL), take(y.shape, tap.dtype)
            if first is None:
                np.copyto(y, planes[taps[0][2]])
                tap.fill(taps[0][0])
            else:  # where all elements are -inf, none is larger than the start, and the first inside the image stays
                y.fill(np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf)
                np.copyto(tap, first)
            for t, here, there in taps[1:] if first is None else taps:
                v, wins, mine = value[here], larger[here], chosen[here]
                np.copyto(v, planes[there])
                np.greater(v, y[here], out=wins)
                np.maximum(y[here], v, out=y[here])
                # The numbers grow, so the last element that was larger has the largest one.
                np.multiply(wins.view(np.uint8), number(t), out=mine)
                np.maximum(tap[here], mine, out=tap[here])
            if x.dtype.kind not in "iu" and np.isnan(np.maximum.reduce(y, axis=None, initial=-np.inf)):
                for t, here, there in taps:
                    np.maximum(tap[here], np.isnan(planes[there]) * number(t), out=tap[here])

    _divide(part, x, ys, which)
    return ys, which


def max_pool2d_backward(
    dy: Any, which: Any, size: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
) -> Any:
    """dx (n, c, *size): each dy is added to the element that its window chose, one window after the other.

    The adjoint of `max_pool2d_gather`.
    """
    dxs = np.empty((*dy.shape[:2], *size), dy.dtype) if out is None else out
    disjoint = all(k <= s for k, s in zip(kernel, stride)) and dilation == (1, 1)
    taps = _taps(size, dy.shape[2:], kernel, stride, corner, dilation)
    covers = sum((r.stop - r.start) * (q.stop - q.start) for _, (_, r, q), _ in taps) == size[0] * size[1]

    def part(dx: Any, given: Any, chosen: Any) -> None:
        with scratch() as take:
            if disjoint:
                if not covers:
                    dx.fill(0)  # what lies in no window
                mask = take(given.shape, _BOOL)
                bits = _BITS[dx.dtype.itemsize]  # times 0 or 1 as integers: an infinite gradient times 0 would be NaN
                source, target = given.view(bits), dx.view(bits)
                for t, here, there in taps:
                    mine = np.equal(chosen[here], t, out=mask[here])
                    np.multiply(source[here], mine.view(np.uint8), out=target[there])
                return
            total = take(dx.shape, _FLOAT32) if dx.dtype.itemsize == 2 else dx
            total.fill(0)
            places = _places(chosen, size, kernel, stride, corner, dilation, take)
            np.add.at(total.reshape(-1), places.reshape(-1), given.reshape(-1).astype(total.dtype, copy=False))
            if total is not dx:
                np.copyto(dx, total, casting="unsafe")

    _divide(part, dxs, dy, which)
    return dxs


def max_pool2d_activation_backward(
    dy: Any, y: Any, which: Any, size: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, kind: str,
    parameter: float, out: Any = None,
) -> Any:  # fmt: skip
    """`max_pool2d_backward` of dy f', where f' follows from y, the result of the pooling."""
    dz = activation_backward(dy, y, kind, parameter, from_output=True)
    return max_pool2d_backward(dz, which, size, kernel, stride, corner, dilation, out=out)


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

    def part(planes: Any, y: Any) -> None:
        with scratch() as take:
            rows, total = (take(shape, wide(x.dtype)) for shape in _sums(planes.shape, y.shape))
            rows.fill(0)
            for _, here, there in across:
                rows[..., here] += planes[..., there]
            total.fill(0)
            for _, here, there in down:
                total[:, here] += rows[:, there]
            np.divide(total, sizes, out=y, casting="unsafe")

    _divide(part, x, ys)
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

    def part(dx: Any, given: Any) -> None:
        with scratch() as take:
            rows, share = (take(shape, wide(dy.dtype)) for shape in _sums(dx.shape, given.shape))
            np.divide(given, sizes, out=share)
            rows.fill(0)
            for _, here, there in down:
                rows[:, there] += share[:, here]
            _spread(rows, across, dx, take)

    _divide(part, dxs, dy)
    return dxs


def adaptive_avg_pool2d(x: Any, positions: Pair, out: Any = None) -> Any:
    """The mean of each of `positions` windows that cover the image evenly, first along rows, then across them.

    Window i of n goes from floor(i size / n) to ceil((i + 1) size / n).
    """
    ys = np.empty((*x.shape[:2], *positions), x.dtype) if out is None else out
    down, across = (_even_windows(*axis) for axis in zip(x.shape[2:], positions))
    if not ys.size:
        return ys
    sizes = _even_sizes(x.shape[2:], positions)

    def part(planes: Any, y: Any) -> None:
        with scratch() as take:
            rows, total = (take(shape, wide(x.dtype)) for shape in _sums(planes.shape, y.shape))
            for j, window in enumerate(across):
                np.add.reduce(planes[..., window], axis=2, dtype=rows.dtype, out=rows[..., j])
            for i, window in enumerate(down):
                np.add.reduce(rows[:, window], axis=1, out=total[:, i])
            np.divide(total, sizes, out=y, casting="unsafe")

    _divide(part, x, ys)
    return ys


def adaptive_avg_pool2d_backward(dy: Any, size: Pair, out: Any = None) -> Any:
    """dx (n, c, *size): each dy over the size of its window, added to all elements of it."""
    dxs = np.empty((*dy.shape[:2], *size), dy.dtype) if out is None else out
    down, across = (_even_windows(*axis) for axis in zip(size, dy.shape[2:]))
    if not dy.size:
        dxs.fill(0)
        return dxs
    sizes = _even_sizes(size, dy.shape[2:])
    taps = [(j, slice(j, j + 1), window) for j, window in enumerate(across)]

    def part(dx: Any, given: Any) -> None:
        with scratch() as take:
            rows, share = (take(shape, wide(dy.dtype)) for shape in _sums(dx.shape, given.shape))
            np.divide(given, sizes, out=share)
            rows.fill(0)
            for i, window in enumerate(down):
                rows[:, window] += share[:, i, None]
            _spread(rows, taps, dx, take)

    _divide(part, dxs, dy)
    return dxs


def _spread(rows: Any, across: Any, dx: Any, take: Take) -> None:
    """Write to each element of dx the sum of what `rows` gives to the windows along a row that it lies in."""
    total = dx if dx.dtype == rows.dtype else take(dx.shape, rows.dtype)
    total.fill(0)
    for _, here, there in across:
        total[..., there] += rows[..., here]
    if total is not dx:
        np.copyto(dx, total, casting="unsafe")


def _sums(image: tuple[int, ...], positions: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of sums along the rows of planes (p, h, w), for windows (p, oh, ow), and of all sums."""
    return (*image[:2], positions[2]), positions


@lru_cache(maxsize=64)
def _even_windows(size: int, count: int) -> list[slice]:
    return [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


@lru_cache(maxsize=64)
def _even_sizes(size: Pair, positions: Pair) -> Any:
    """The number of elements of each window of `_even_windows` (oh, ow)."""
    down, across = ([w.stop - w.start for w in _even_windows(*axis)] for axis in zip(size, positions))
    return np.multiply.outer(down, across).astype(np.float32)  # small integers: exact


def _divide(function: Callable[..., None], *arrays: Any) -> None:
    """Call ``function(*planes)`` for all planes of arrays (n, c, ., .), some at a time, on all cores."""
    flat = [a.reshape(-1, *a.shape[2:]) for a in arrays]
    count = len(flat[0])

    def part(some: slice, _: int) -> None:
        for planes in _blocks(*(f[some, None] for f in flat)):
            function(*planes)

    in_parts(part, parts(count, max(a.size for a in arrays) * _MICROSECONDS), count)


def _blocks(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Arrays (n, c, ., .) as (planes, ., .), some planes at a time."""
    flat = [a.reshape(-1, *a.shape[2:]) for a in arrays]
    planes = flat[0].shape[0]
    step = _step(*(f[:1].nbytes for f in flat))
    for start in range(0, planes, step):
        yield tuple(f[start : start + step] for f in flat)


def _step(*plane_bytes: int) -> int:
    """How many planes of arrays are one block."""
    return max(BLOCK_BYTES // max(*plane_bytes, 1), 1)


@declares("avg_pool2d")
@declares("adaptive_avg_pool2d")
def _avg_pool2d_needs(x: Any, positions: Pair, *windows: Any, out: Any = None) -> int:
    return _sums_need(x.shape, (*x.shape[:2], *positions), x.dtype)


@declares("avg_pool2d_backward")
@declares("adaptive_avg_pool2d_backward")
def _avg_pool2d_backward_needs(dy: Any, size: Pair, *windows: Any, out: Any = None) -> int:
    return _sums_need((*dy.shape[:2], *size), dy.shape, dy.dtype, spread=True)


def _sums_need(image: tuple[int, ...], positions: tuple[int, ...], dtype: Any, spread: bool = False) -> int:
    """What a block of these images and windows takes; with `spread` also one of images, where its type is half."""
    planes = min(_step(*(prod(shape[2:]) * dtype.itemsize for shape in (image, positions))), prod(image[:2]))
    shapes = [*_sums((planes, *image[2:]), (planes, *positions[2:]))]
    if spread and wide(dtype) != dtype:
        shapes.append((planes, *image[2:]))
    return taken(wide(dtype), *shapes)


@lru_cache(maxsize=64)
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


@lru_cache(maxsize=64)
def _window_sizes(size: Pair, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, count_padding: bool) -> Any:
    """The number of elements of each window (oh, ow) inside the image, or inside image and padding."""
    lengths = []
    for n, o, k, s, p in zip(size, positions, kernel, stride, corner):
        start = np.arange(o) * s
        low, high = (0, n + 2 * p) if count_padding else (p, n + p)
        lengths.append(np.minimum(start + k, high) - np.maximum(start, low))
    return (lengths[0][:, None] * lengths[1]).astype(np.float32)  # small integers: exact


def _places(
    which: Any, size: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, take: Take = np.empty
) -> Any:
    """Where in planes (p, *size) the elements that `which` (p, oh, ow) names lie, as one number each."""
    element, origin = _steps(size, which.shape[1:], kernel, stride, corner, dilation)
    places = np.take(element, which, mode="clip", out=take(which.shape, _INDEX))
    np.add(places, origin, out=places)
    return np.add(places, _plane(which.shape[0], size[0] * size[1]), out=places)


@lru_cache(maxsize=64)
def _steps(size: Pair, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair) -> tuple[Any, Any]:
    """In planes of that size: the steps to each element of the kernel, and where each window begins."""
    (kh, kw), width = kernel, size[1]
    element = np.arange(kh)[:, None] * (dilation[0] * width) + np.arange(kw) * dilation[1]
    rows, across = (np.arange(o) * s - c for o, s, c in zip(positions, stride, corner))
    return element.reshape(-1), rows[:, None] * width + across


@lru_cache(maxsize=64)
def _plane(count: int, size: int) -> Any:
    """Where each plane begins."""
    return (np.arange(count) * size)[:, None, None]


@lru_cache(maxsize=64)
def _first(positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, number: Any) -> Any:
    """At each position, the number of the first element of the kernel that lies inside the image."""
    rows, across = (
        np.maximum(-((np.arange(o) * s - c) // d), 0) for o, s, c, d in zip(positions, stride, corner, dilation)
    )
    return (rows[:, None] * kernel[1] + across).astype(number)
