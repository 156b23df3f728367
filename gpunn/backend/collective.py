"""What ranks do together: sums over all of them.

A rank is one of the processes that train a network together; `gpunn.parallel` says how they find each other. Without
it there is one rank, whose sums are what is there.
"""

from __future__ import annotations

from typing import Any

Array = Any


class Communicator:
    """What sums arrays over all ranks; this one is alone.

    All ranks make the same calls in the same order, with arrays of the same size and type.

    Attributes:
        rank: the number of this rank, from 0.
        size: how many there are.
        overlaps: whether `start` returns before the sum is there, so that `progress` should be called now and then.
    """

    rank = 0
    size = 1
    overlaps = False

    def all_reduce(self, backend: Any, x: Array) -> None:
        """Let `x`, in one piece, become the sum over all ranks."""

    def start(self, backend: Any, flat: Array) -> Any:
        """Begin to let `flat`, in one piece, become the sum over all ranks; returns what `finish` takes."""
        return None

    def finish(self, backend: Any, flat: Array, started: Any) -> None:
        """Wait until that is done."""

    def spread(self, backend: Any, groups: list[list[Array]]) -> None:
        """Let arrays, each in one piece, become what their owner has: those of group r what rank r has."""

    def progress(self) -> None:
        """Go on with sums that were begun."""


class Reduction:
    """The sum over all ranks of an array that lies in the same memory every time.

    Args:
        backend: where it lies.
        flat: the array, in one piece.
    """

    def __init__(self, backend: Any, flat: Array):
        self.backend, self.flat = backend, flat
        self._started: Any = None

    def sum_over_ranks(self) -> None:
        """Begin."""
        self._started = current().start(self.backend, self.flat)

    def wait_for_sum(self) -> None:
        """Wait until the sum is there."""
        current().finish(self.backend, self.flat, self._started)
        self._started = None


class Spread:
    """Parameters that each rank has changed some of, and all get from it.

    Args:
        backend: where they lie.
        groups: for each rank the parameters that it changes.
    """

    def __init__(self, backend: Any, groups: list[list[Any]]):
        self.backend, self.groups = backend, groups

    def send_to_all(self) -> None:
        """Do it."""
        for p in (p for group in self.groups for p in group):
            p._version[0] += 1
        current().spread(self.backend, [[p._data for p in group] for group in self.groups])


class _Current:
    communicator = Communicator()


def current() -> Communicator:
    """The communicator of this process."""
    return _Current.communicator


def use(communicator: Communicator) -> None:
    """Let a communicator be that of this process."""
    _Current.communicator = communicator
