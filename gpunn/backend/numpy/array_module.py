"""Functions that the array module has, or that are written with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def of_arrays(function: Callable[..., Any], arrays: Sequence[Any], dtypes: Sequence[Any], out: Any = None) -> Any:
    """What ``function(np, *arrays)`` gives, in these types: one array for one type, else a tuple of them."""
    return of_module(np, function, arrays, dtypes, out)


def of_module(
    xp: Any, function: Callable[..., Any], arrays: Sequence[Any], dtypes: Sequence[Any], out: Any = None
) -> Any:
    """The same of any array module."""
    given = function(xp, *arrays)
    several = len(dtypes) > 1
    results = given if several else (given,)
    if out is None:
        made = tuple(xp.ascontiguousarray(xp.asarray(r, d)).reshape(xp.shape(r)) for r, d in zip(results, dtypes))
        return made if several else made[0]
    for place, r in zip(out if several else (out,), results):
        place[...] = r
    return out


__all__ = ["of_arrays"]
