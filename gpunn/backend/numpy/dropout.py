"""Dropout with a mask that is a function of counters, so that it is never stored. `out` is row-major."""

from __future__ import annotations

import math
import threading
from functools import cache
from typing import Any

import numpy as np

from .half import _is_half
from .workers import in_parts, parts
from .workspace import scratch

_STREAM = 1
"""`gpunn.random.DROPOUT`, the stream of dropout masks."""
_CHUNK = 1 << 16
"""Elements whose random numbers stay in the L2 cache; a multiple of 8, which is one step of the counter."""
_MICROSECONDS = 4e-3
"""What an element takes, about."""
_BOOL, _FLOAT32 = np.dtype(np.bool_), np.dtype(np.float32)


class _Draws(threading.local):
    """Philox with a counter that can be set; a new one takes longer to make than to set."""

    def __init__(self) -> None:
        self._bits = np.random.Philox(0)
        self._generator = np.random.Generator(self._bits)
        self._state: Any = self._bits.state
        self._state["has_uint32"], self._state["buffer_pos"] = 0, 4  # nothing is left of an earlier draw

    def numbers(self, seed: int, call: int, place: int, out: Any) -> None:
        """The numbers from `place` on, (u >> 8) 2^-24 each, as `Generator.random` makes them in float32."""
        state = self._state["state"]
        state["key"][:] = seed, _STREAM
        state["counter"][:] = place // 8, call, 0, 0
        self._bits.state = self._state
        for _ in range(place % 8):
            self._generator.random(dtype=np.float32)
        self._generator.random(dtype=np.float32, out=out)


_draws = cache(_Draws)


def keep(p: float, seed: int, call: int, place: int, numbers: Any, kept: Any) -> None:
    """Which elements are kept, those from `place` on, as booleans; `numbers` is room for their numbers in float32."""
    least = np.float32(math.ceil(p * 2**24) * 2**-24)  # the numbers are multiples of 2^-24: exact, whatever the type
    _draws().numbers(seed, call, place, numbers)
    np.greater_equal(numbers, least, out=kept)


def dropout(x: Any, p: float, seed: int, call: int, offset: int, out: Any = None) -> Any:
    """x / (1 - p) where a uniform number is at least p, else 0.

    The number of element i, in row-major order, is (u >> 8) 2^-24 for the 32 bits u at place offset + i of draw `call`
    from Philox 4x64-10 with the key (seed, stream): lower half of each 64-bit word first.
    """
    y = np.empty(x.shape, x.dtype) if out is None else out
    source, target = x.reshape(-1), y.reshape(-1)
    if p >= 1:
        target.fill(0)
        return y
    work = _FLOAT32 if _is_half(x) else x.dtype
    scale = work.type(1 / (1 - p))
    size = source.size
    chunks = -(-size // _CHUNK)

    def some(part: slice, _: int) -> None:
        with scratch() as take:
            numbers, kept = take((_CHUNK,), _FLOAT32), take((_CHUNK,), _BOOL)
            factors = take((_CHUNK,), work)
            for begin in range(part.start * _CHUNK, min(part.stop * _CHUNK, size), _CHUNK):
                end = min(begin + _CHUNK, size)
                n = end - begin
                keep(p, seed, call, offset + begin, numbers[:n], kept[:n])
                np.copyto(factors[:n], kept[:n])
                np.multiply(factors[:n], scale, out=factors[:n])
                np.multiply(source[begin:end], factors[:n], out=target[begin:end], casting="same_kind")

    in_parts(some, parts(chunks, size * _MICROSECONDS), chunks)
    return y
