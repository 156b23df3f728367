"""Dropout with a mask that is a function of counters, so that it is never stored. `out` is row-major."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_STREAM = 1
"""`gpunn.random.DROPOUT`, the stream of dropout masks."""
_CHUNK = 1 << 16
"""Elements whose random bits stay in the L2 cache; a multiple of 8, which is one step of the counter."""


def dropout(x: Any, p: float, seed: int, call: int, offset: int, out: Any = None) -> Any:
    """x / (1 - p) where a uniform number is at least p, else 0.

    The number of element i, in row-major order, is (u >> 8) 2^-24 for the 32 bits u at place offset + i of draw `call`
    from Philox 4x64-10 with the key (seed, stream): lower half of each 64-bit word first.
    """
    y = np.empty(x.shape, x.dtype) if out is None else out
    # u >> 8 >= p 2^24, without the shift; exact, whatever the type of x. All are below the 2^32 of p > 1 - 2^-24.
    threshold = math.ceil(p * 2**24) << 8
    source, target = x.reshape(-1), y.reshape(-1)
    if p >= 1:
        target.fill(0)
        return y
    scale = x.dtype.type(1 / (1 - p))
    skip = offset % 8
    bits = np.random.Philox(
        key=np.array([seed, _STREAM], np.uint64), counter=np.array([offset // 8, call, 0, 0], np.uint64)
    )
    start = 0
    while start < source.size:
        stop = min(start + _CHUNK - skip, source.size)
        words = bits.random_raw(-(-(skip + stop - start) // 2))
        u = words.astype("<u8", copy=False).view("<u4")[skip : skip + stop - start]
        kept = np.multiply(u >= threshold, scale, dtype=x.dtype)
        np.multiply(source[start:stop], kept, out=target[start:stop])
        start, skip = stop, 0
    return y
