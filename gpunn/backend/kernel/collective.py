"""Sums over all ranks."""

from __future__ import annotations

from typing import Any

from gpunn.backend import collective
from gpunn.backend.recording import forbid

from .family import Family

Array = Any


class CollectiveKernels(Family):
    """What ranks do together."""

    copy: Any

    def all_reduce(self, x: Array, out: Array | None = None) -> Array:
        """The sum over all ranks; `out` may be `x`."""
        communicator = collective.current()
        if communicator.size > 1:
            forbid("sums over ranks")
        result = self.copy(x, out=out)
        communicator.all_reduce(self, result)
        return result
