"""The part of a batch that one of several ranks takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Part(NamedTuple):
    """Which samples of a batch a rank takes.

    Attributes:
        first: the place of the first of them in the batch.
        samples: how many they are.
        of: how many the batch has.
    """

    first: int
    samples: int
    of: int


def part_of(keys: Any, rank: int, size: int) -> tuple[Any, Part]:
    """A rank's part of a batch: of n samples those from n r / R up to n (r + 1) / R, rounded down, for rank r of R.

    So each sample is in one part, and parts differ by at most one sample. A rank without a sample of its own gets the
    last ones, so that it can do what all ranks do; `samples` is 0 then, and nothing of them may count.

    Args:
        keys: what stands for the samples, in their order: a list, a range, an array.
    """
    n = len(keys)
    first, end = n * rank // size, n * (rank + 1) // size
    found: Sequence[Any] = keys[first:end] if end > first else keys[-2:]
    return found, Part(first, end - first, n)
