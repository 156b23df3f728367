"""Convolution and its gradients, of nothing but pixels that an element of the kernel meets.

The other ways multiply zeros as well, which are padding or lie between images; zero times infinity is NaN. These are
slow, and for factors that are not finite.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .im2col import Pair, span, wide


def is_finite(factor: Any) -> bool:
    """Whether all elements are, and so is their sum: what is finite, but overflows, may as well go the slow way."""
    return bool(np.isfinite(np.add.reduce(factor, axis=None, dtype=wide(factor.dtype))))


def forward(x: Any, w: Any, b: Any, stride: Pair, corner: Pair, dilation: Pair, groups: int, y: Any) -> None:
    """Write y, see `conv2d_forward`, without an activation."""
    each, images, weights = _by_groups(y, groups), _wide(_by_groups(x, groups)), _weights(w, groups)
    sums = np.zeros(each.shape, weights.dtype)
    for element, positions, pixels in _meetings(each, images, w.shape, stride, corner, dilation):
        sums[positions] += np.einsum("ngchw,goc->ngohw", images[pixels], weights[(..., *element)])
    if b is not None:
        sums += b.reshape(groups, -1, 1, 1)
    np.copyto(each, sums, casting="unsafe")


def input_grad(dz: Any, w: Any, stride: Pair, corner: Pair, dilation: Pair, groups: int, dx: Any) -> None:
    """Write dx, see `conv2d_input_grad`."""
    each, grads, weights = _by_groups(dx, groups), _wide(_by_groups(dz, groups)), _weights(w, groups)
    sums = np.zeros(each.shape, weights.dtype)
    for element, positions, pixels in _meetings(grads, each, w.shape, stride, corner, dilation):
        sums[pixels] += np.einsum("ngohw,goc->ngchw", grads[positions], weights[(..., *element)])
    np.copyto(each, sums, casting="unsafe")


def weight_grad(x: Any, dz: Any, stride: Pair, corner: Pair, dilation: Pair, groups: int, dw: Any) -> None:
    """Write dw, see `conv2d_weight_grad`: for each element of the kernel the product of what it meets."""
    images, grads = (_wide(_by_groups(a, groups)) for a in (x, dz))
    each = dw.reshape(groups, grads.shape[2], *dw.shape[1:])
    for element, positions, pixels in _meetings(grads, images, dw.shape, stride, corner, dilation):
        each[(..., *element)] = np.einsum("ngohw,ngchw->goc", grads[positions], images[pixels])


def _by_groups(a: Any, groups: int) -> Any:
    """(n, groups, channels of a group, h, w)."""
    return a.reshape(a.shape[0], groups, a.shape[1] // groups, *a.shape[2:])


def _wide(a: Any) -> Any:
    return a.astype(wide(a.dtype), copy=False)


def _weights(w: Any, groups: int) -> Any:
    """(groups, outputs of a group, inputs of a group, kh, kw)."""
    return _wide(w.reshape(groups, w.shape[0] // groups, *w.shape[1:]))


def _meetings(
    z: Any, x: Any, kernel: Any, stride: Pair, corner: Pair, dilation: Pair
) -> Iterator[tuple[Any, Any, Any]]:
    """Each element of a kernel, the positions of z at which it meets a pixel of x, and these pixels."""
    for element in np.ndindex(*kernel[2:]):
        (z_rows, rows), (z_columns, columns) = (
            _met(size, positions, step, apart * i - before)
            for size, positions, step, apart, i, before in zip(
                x.shape[3:], z.shape[3:], stride, dilation, element, corner
            )
        )
        yield element, (..., z_rows, z_columns), (..., rows, columns)


def _met(size: int, positions: int, step: int, offset: int) -> tuple[slice, slice]:
    """Of those positions r whose pixel, r step + offset, is one of `size`: themselves, and their pixels."""
    first = max(0, -(offset // step))
    count = min(positions, (size - 1 - offset) // step + 1) - first
    return span(first, 1, count), span(first * step + offset, step, count)
