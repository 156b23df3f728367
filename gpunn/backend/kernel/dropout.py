"""Dropout with a mask that is a function of counters, so that it is never stored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpunn.backend.recording import Number

from .family import Array, Family, accumulator, ceil_div
from .ladder import Ladder

DROPOUT = Ladder("dropout", ("naive", "octets"))
"""A thread an element, or one for the 8 that share a block of random bits."""

_STREAM = 1
"""`gpunn.random.DROPOUT`, the stream of dropout masks."""


def drop_arguments(p: float, seed: int, call: int, dtype: Any) -> tuple[Any, ...]:
    """What kernels with dropout take: threshold, scale, seed, stream, and the call number, live or as it is."""
    # In the type of the product, as on the CPU.
    scale = 0.0 if p >= 1 else float(np.asarray(1 / (1 - p)).astype(accumulator(dtype)))
    draw, live = (0, call.place) if isinstance(call, Number) else (call, None)
    return math.ceil(p * 2**24) << 8, scale, seed, _STREAM, live, draw


class Dropout(Family):
    """Dropout."""

    address: Any  # from other families
    full: Any

    def dropout(self, x: Array, p: float, seed: int, call: int, offset: int, out: Any = None) -> Array:
        """x / (1 - p) where a uniform number is at least p, else 0.

        The number of element i, in row-major order, is (u >> 8) 2^-24 for the 32 bits u at place offset + i of draw
        `call` from Philox 4x64-10 with the key (seed, stream): lower half of each 64-bit word first.
        """
        y = self.result(out, x.shape, x.dtype)
        if p >= 1:
            return self.full(x.shape, 0, x.dtype, out=y)
        x = self.contiguous(x)
        args: tuple[Any, ...] = (x, y, x.size, offset, *drop_arguments(p, seed, call, x.dtype))
        rung, count = DROPOUT.pick(), x.size
        if rung == "octets":
            vector = offset % 8 == 0 and (self.address(x) | self.address(y)) % 16 == 0
            args, count = (*args, vector), ceil_div(offset % 8 + count, 8) if count else 0
        self.launch_elements("dropout.cu", f"dropout_{rung}", count, args, scalar_t=x.dtype)
        return y
