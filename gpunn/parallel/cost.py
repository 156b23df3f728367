"""What a sum over ranks takes: the alpha-beta model, fitted to what was measured.

A message of n bytes takes alpha + n beta seconds: alpha to begin it, beta for each byte. Of an all-reduce of n bytes on
N ranks it follows (R. Thakur, R. Rabenseifner, W. Gropp 2005, "Optimization of collective communication operations in
MPICH", section 4.5, without the time of the additions)

- ring: 2 (N - 1) messages of n / N bytes behind one another: 2 (N - 1) (alpha + n beta / N);
- tree: the sum goes up and comes down, ceil(log2 N) messages of n bytes each: 2 ceil(log2 N) (alpha + n beta).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SHAPES = ("ring", "tree")


def messages(shape: str, ranks: int) -> tuple[float, float]:
    """How many messages follow one another, and how many times the bytes of the array they carry together."""
    if ranks == 1:
        return 0.0, 0.0
    if shape == "ring":
        return 2.0 * (ranks - 1), 2.0 * (ranks - 1) / ranks
    count = 2.0 * math.ceil(math.log2(ranks))
    return count, count


@dataclass(frozen=True)
class AllReduceCost:
    """Seconds of an all-reduce.

    Attributes:
        shape: "ring" or "tree".
        alpha: seconds to begin a message.
        beta: seconds for a byte.
        error: the root of the mean squared relative error where it was fitted.
    """

    shape: str
    alpha: float
    beta: float
    error: float = 0.0

    def seconds(self, size: int, ranks: int) -> float:
        """Of `size` bytes on so many ranks."""
        count, times = messages(self.shape, ranks)
        return count * self.alpha + times * size * self.beta


def fit(measured: Sequence[tuple[int, int, float]], shape: str) -> AllReduceCost:
    """The alpha and beta, at least 0, that make the relative errors smallest by their squares.

    Args:
        measured: (bytes, ranks, seconds), each of at least two ranks.
        shape: "ring" or "tree".

    Raises:
        ValueError: there are fewer than two.
    """
    if len(measured) < 2:
        raise ValueError(f"{len(measured)} times of all-reduces are too few; expected at least 2, of different sizes")
    counts = [messages(shape, ranks) for _, ranks, _ in measured]
    seconds = np.array([s for _, _, s in measured])
    rows = np.array([[c, t * size] for (c, t), (size, _, _) in zip(counts, measured)]) / seconds[:, None]
    best = None
    for use in ((0, 1), (0,), (1,)):  # the least squares where nothing is negative: try what is left out
        found = np.zeros(2)
        found[list(use)] = np.linalg.lstsq(rows[:, use], np.ones(len(rows)), rcond=None)[0]
        error = float(np.sqrt(np.mean((rows @ found - 1) ** 2)))
        if (found >= 0).all() and (best is None or error < best.error):
            best = AllReduceCost(shape, float(found[0]), float(found[1]), error)
    assert best is not None
    return best


def best_fit(measured: Sequence[tuple[int, int, float]]) -> AllReduceCost:
    """The shape that fits better."""
    return min((fit(measured, shape) for shape in SHAPES), key=lambda cost: cost.error)
