"""Images as columns of patches, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["im2col", "col2im"]

Pair = tuple[int, int]


def im2col(x: Any, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None) -> Any:
    """The patches of x (n, c, h, w) under the kernel at every position, as columns (n, c kh kw, positions).

    Element (n, (c, i, j), (r, q)) is x[n, c, r stride - corner + i dilation, q stride - corner + j dilation], and 0
    outside the image. `corner` is the padding above and to the left.
    """
    n, c = x.shape[:2]
    if out is None:
        out = np.empty((n, c * kernel[0] * kernel[1], positions[0] * positions[1]), x.dtype)
    padded = np.zeros((n, c, *reach(positions, kernel, stride, dilation)), x.dtype)
    paste(padded, x, *corner)
    image, channel, row, element = padded.strides
    patches: Any = np.ndarray(
        (n, c, *kernel, *positions),
        padded.dtype,
        padded,
        strides=(image, channel, dilation[0] * row, dilation[1] * element, stride[0] * row, stride[1] * element),
    )
    np.copyto(out.reshape(patches.shape), patches)
    return out


def col2im(
    columns: Any, size: Pair, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair, out: Any = None
) -> Any:
    """The sum of all patches, each at its place in an image (n, c, h, w) of zeros: the adjoint of `im2col`."""
    n, c = columns.shape[0], columns.shape[1] // (kernel[0] * kernel[1])
    if out is None:
        out = np.empty((n, c, *size), columns.dtype)
    padded = np.zeros((n, c, *reach(positions, kernel, stride, dilation)), wide(columns.dtype))
    add_patches(padded, columns.reshape(n, c, *kernel, *positions), stride, dilation)
    crop(out, padded, *corner)
    return out


def wide(dtype: Any) -> Any:
    """The type to compute in: float32 for half precision."""
    return np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def reach(positions: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Pair:
    """The rows and columns that all positions of the kernel cover together."""
    height, width = ((o - 1) * s + (k - 1) * d + 1 for o, k, s, d in zip(positions, kernel, stride, dilation))
    return height, width


def add_patches(padded: Any, patches: Any, stride: Pair, dilation: Pair) -> None:
    """padded[..., r stride + i dilation, q stride + j dilation] += patches[..., i, j, r, q], for one (i, j) at a time.

    No two patches meet in one element of the kernel, so each step is a plain sum of arrays, and their order is fixed.
    """
    kh, kw, oh, ow = patches.shape[-4:]
    for i in range(kh):
        rows = span(i * dilation[0], stride[0], oh)
        for j in range(kw):
            target = padded[..., rows, span(j * dilation[1], stride[1], ow)]
            np.add(target, patches[..., i, j, :, :], out=target)


def span(start: int, step: int, count: int) -> slice:
    """The slice of `count` elements from `start`, `step` apart."""
    return slice(start, start + step * (count - 1) + 1, step) if count > 0 else slice(0, 0)


def paste(padded: Any, x: Any, top: int, left: int) -> None:
    """Write x into `padded`, its corner at (top, left), which may be negative; what does not fit is left out."""
    (there_r, here_r), (there_c, here_c) = _overlap(padded, x, top, left)
    np.copyto(padded[..., there_r, there_c], x[..., here_r, here_c], casting="unsafe")


def crop(x: Any, padded: Any, top: int, left: int, add: bool = False) -> None:
    """Read x from where `paste` would write it, with 0 where `padded` does not reach; or add that to x."""
    (there_r, here_r), (there_c, here_c) = _overlap(padded, x, top, left)
    part, target = padded[..., there_r, there_c], x[..., here_r, here_c]
    if add:
        np.add(target, part, out=target)
        return
    if part.shape[-2:] != x.shape[-2:]:
        x.fill(0)
    np.copyto(target, part, casting="unsafe")


def _overlap(padded: Any, x: Any, top: int, left: int) -> Iterator[tuple[slice, slice]]:
    """For rows and for columns: the slices of `padded` and of `x` that lie upon each other."""
    for there, here, offset in zip(padded.shape[-2:], x.shape[-2:], (top, left)):
        low = max(offset, 0)
        high = max(min(here + offset, there), low)
        yield slice(low, high), slice(low - offset, high - offset)
