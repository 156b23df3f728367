"""Functions that the array module has, or that are written with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def of_arrays(
    function: Callable[..., Any], arrays: Sequence[Any], dtypes: Sequence[Any], out: Any = None, xp: Any = np
) -> Any:
    """What ``function(xp, *arrays)`` gives, in these types: one array for one type, else a tuple of them."""
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
