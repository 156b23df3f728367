"""The weights' gradient of convolution, of nothing but pixels that an element of the kernel meets.

The other ways multiply zeros as well, which are padding or lie between images; zero times infinity is NaN. This one is
slow, and for images or gradients that are not finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .im2col import Pair, span, wide


def weight_grad(x: Any, dz: Any, stride: Pair, corner: Pair, dilation: Pair, groups: int, dw: Any) -> None:
    """Write dw, see `conv2d_weight_grad`: for each element of the kernel the product of what it meets."""
    work = wide(dz.dtype)
    x, dz = (a.reshape(a.shape[0], groups, -1, *a.shape[2:]).astype(work, copy=False) for a in (x, dz))
    each = dw.reshape(groups, dz.shape[2], *dw.shape[1:])
    for element in np.ndindex(dw.shape[2:]):
        (z_rows, rows), (z_columns, columns) = (
            _met(size, positions, step, apart * i - before)
            for size, positions, step, apart, i, before in zip(
                x.shape[3:], dz.shape[3:], stride, dilation, element, corner
            )
        )
        each[(..., *element)] = np.einsum("ngohw,ngchw->goc", dz[..., z_rows, z_columns], x[..., rows, columns])


def _met(size: int, positions: int, step: int, offset: int) -> tuple[slice, slice]:
    """Of those positions r whose pixel, r step + offset, is one of `size`: themselves, and their pixels."""
    first = max(0, -(offset // step))
    count = min(positions, (size - 1 - offset) // step + 1) - first
    return span(first, 1, count), span(first * step + offset, step, count)
