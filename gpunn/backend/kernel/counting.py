"""Counters for kernels whose last block to come goes on with what all of them have made; `comes_last` of `ptx.cuh`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from gpunn.backend import recording

from .family import Array, Family, ceil_div

SIXTEEN = 16
"""So many parts of a sum are added up by one block; kernels/shares.cuh has the same number."""


def counters_of(shares: int) -> int:
    """The counters of a sum that so many blocks share."""
    return ceil_div(shares, SIXTEEN) + 1


class Counting(Family):
    """For families whose kernels count their blocks."""

    full: Callable[..., Array]  # from another family

    def counters(self, count: int, begin: int = 0) -> Array:
        """So many counters, from the one of number `begin` on: 0 before a launch, and 0 after it.

        A step that is recorded has its own, and so has each thread on each stream: there launches follow one another.
        """
        assert begin + count <= recording.MOST_COUNTERS, f"{begin + count} counters, of {recording.MOST_COUNTERS}"
        recorder = recording.current()
        if recorder is not None:
            return recorder.counters(count, begin)
        return self._counters_of_stream()[begin : begin + count]

    def share_counters(self, sums: int, shares: int) -> Array | None:
        """Counters for so many sums, each shared by as many blocks; None where a block has a sum for itself."""
        return None if shares == 1 else self.counters(sums * counters_of(shares))

    def _counters_of_stream(self) -> Array:
        of_stream = self._counters.__dict__
        stream = str(getattr(self.streams.get_current_stream(), "ptr", ""))
        if stream not in of_stream:
            of_stream[stream] = self.full((recording.MOST_COUNTERS,), 0, np.int32).view(np.uint32)
        return of_stream[stream]

    @cached_property
    def _counters(self) -> threading.local:
        return threading.local()

    def launch(self, *args: Any, **types: Any) -> None:
        """As `Family.launch`; what a kernel that failed has counted is forgotten."""
        try:
            super().launch(*args, **types)
        except BaseException:
            self.__dict__.pop("_counters", None)
            raise
