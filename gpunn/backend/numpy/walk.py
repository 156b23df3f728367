"""Elementwise updates of flat arrays, chunk by chunk.

A dozen operations, one after the other on whole arrays, would each go through memory; so all of them are done on one
chunk, which stays in the core's cache, before the next. Every element is computed on its own: the bits depend neither
on the chunks nor on how parameters are laid out. Half precision is computed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .workspace import scratch

# Elements at a time: five float32 arrays of this length take 640 KiB, which leaves room in an L2 cache of 1 MiB, and a
# call of a ufunc on one takes about ten times as long as NumPy needs to get there.
CHUNK = 32768


def descent(p: Any, g: Any, decay: Any, maximize: bool, out: Any) -> Any:
    """The gradient of what is minimised: g, or -g, and decay p more where that is not None. `g` stays as it is."""
    if decay is None:
        return np.negative(g, out=out) if maximize else g
    np.multiply(p, decay, out=out)
    return np.subtract(out, g, out=out) if maximize else np.add(out, g, out=out)


def constants(p: Any, *values: float | None) -> list[Any]:
    """Numbers as 0-d arrays of the type to compute in: a ufunc takes 0.2 us less for those than for Python numbers."""
    width = _width(p)
    return [None if value is None else np.asarray(value, width) for value in values]


def _width(p: Any) -> Any:
    return _FLOAT32 if p.itemsize == 2 else p.dtype


_FLOAT32 = np.dtype(np.float32)


def walk(update: Callable[..., None], arrays: tuple[Any, ...], g: Any, out: Any, scratches: int = 2) -> Any:
    """Call ``update(p, *moments, g, *scratches)`` on one chunk after the other; it works in place.

    It may compute in so many arrays of the chunk's length.
    """
    p = arrays[0]
    if out is None:
        out = tuple(None if a is None else np.empty_like(a) for a in arrays)
    width = _width(p)
    narrow = p.dtype != width
    with scratch() as take:
        length = min(CHUNK, p.size)
        own = [take((length,), width) for _ in range(scratches)]
        # Of half precision one more for the gradient and for each of the arrays.
        wide = [take((length,), width) for _ in range(1 + len(arrays) if narrow else 0)]
        for start in range(0, p.size, CHUNK):
            stop = min(start + CHUNK, p.size)
            n = stop - start
            results: list[Any] = [None if a is None else a[start:stop] for a in out]
            new, slope = results, g[start:stop]
            if narrow:
                new = [None if a is None else w[:n] for a, w in zip(out, wide[1:])]
                slope = wide[0][:n]
                np.copyto(slope, g[start:stop])
            for a, b, c in zip(arrays, out, new):
                if a is not None and (narrow or b is not a):
                    np.copyto(c, a[start:stop])
            update(*new, slope, *(s[:n] for s in own))
            if narrow:
                for a, b in zip(results, new):
                    if a is not None:
                        np.copyto(a, b, casting="unsafe")
    return out
