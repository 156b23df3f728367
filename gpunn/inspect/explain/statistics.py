"""What there is to say of a tensor in a few numbers."""

from __future__ import annotations

import numpy as np

from .derivation import Statistics


def statistics(x: np.ndarray) -> Statistics | None:
    """The statistics of numbers; None of no elements and of booleans."""
    if not x.size or x.dtype == bool:
        return None
    wide = x.astype(np.float64)
    finite = np.isfinite(wide)
    good = wide[finite]
    if not good.size:
        nan = float("nan")
        return Statistics(nan, nan, nan, nan, nan, 0.0, int(x.size))
    with np.errstate(all="ignore"):  # what is too large is infinite
        return _of_numbers(wide, good)


def _of_numbers(x: np.ndarray, good: np.ndarray) -> Statistics:
    return Statistics(
        mean=float(good.mean()),
        std=float(good.std()),
        min=float(good.min()),
        max=float(good.max()),
        norm=float(np.sqrt(np.square(good).sum())),
        zeros=float((x == 0).mean()),
        not_finite=int(x.size - good.size),
    )
