"""From an index, or the indices of a batch, to what a data set has there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.utils.data.collate import default_collate
from gpunn.utils.data.dataset import batch_reader
from gpunn.utils.data.part import Part, part_of


class Fetch:
    """Called with a key, it gives what `collate_fn` makes of the samples there.

    Args:
        dataset: with `__getitem__`.
        collate_fn: from a list of samples to a batch, or from one sample.
        single: whether keys are indices of samples, or else lists of them.
    """

    def __init__(self, dataset: Any, collate_fn: Callable[[Any], Any], single: bool):
        self.dataset, self.collate_fn, self.single = dataset, collate_fn, single
        self._read = batch_reader(dataset) if collate_fn is default_collate else None

    def __call__(self, key: Any) -> Any:
        """The samples there."""
        if self.single:
            return self.collate_fn(self.dataset[key])
        if self._read is not None:
            return self._read(key if isinstance(key, (np.ndarray, range)) else np.array(list(key), np.int64))
        indices = key.tolist() if isinstance(key, np.ndarray) else list(key)
        if hasattr(self.dataset, "__getitems__"):
            return self.collate_fn(self.dataset.__getitems__(indices))
        return self.collate_fn([self.dataset[index] for index in indices])

    def __reduce__(self) -> Any:
        return Fetch, (self.dataset, self.collate_fn, self.single)


@dataclass(frozen=True)
class FetchPart:
    """Called with the indices of a batch, it gives what one of several ranks has of it, and which part that is."""

    fetch: Fetch
    rank: int
    size: int

    def __call__(self, key: Any) -> tuple[Any, Part]:
        """This rank's samples, and their part."""
        mine, part = part_of(key if isinstance(key, (np.ndarray, range)) else list(key), self.rank, self.size)
        return self.fetch(mine), part
