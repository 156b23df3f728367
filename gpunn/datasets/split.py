"""Splits that are the same on every machine and at every run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpunn.datasets.errors import DataError

Indices = NDArray[np.int64]


def stratified_split(y: NDArray[np.integer], fraction: float, seed: int = 0) -> tuple[Indices, Indices]:
    """Split the samples with class indices y (n,) in two, each class in the same proportion.

    Returns the sorted indices of the rest and of the held-out part; of a class with k samples, round(fraction * k) are
    held out. The choice is a function of y, fraction and seed alone: within a class, the samples with the smallest
    numbers of a Philox 4x64-10 stream (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with
    the key (seed, 0).

    Raises DataError unless 0 < fraction < 1 and both parts get a sample.
    """
    if not 0 < fraction < 1:
        raise DataError(f"stratified_split: fraction is {fraction}; expected more than 0 and less than 1")
    # Raw numbers of the bit generator: NumPy keeps their stream fixed, unlike that of Generator.permutation.
    lots = np.random.Philox(key=np.array([seed, 0], np.uint64)).random_raw(len(y))
    held_out = np.zeros(len(y), bool)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        chosen = np.argsort(lots[members], kind="stable")[: round(fraction * len(members))]
        held_out[members[chosen]] = True
    if held_out.all() or not held_out.any():
        raise DataError(f"stratified_split: {len(y)} samples are too few to hold out {fraction:.0%} of each class")
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
