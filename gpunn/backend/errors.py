"""What checks find on a device: the host does not wait for it, but looks later.

A kernel looks for bad elements, such as a label that is no class, and leaves what it finds on the device. Whoever reads
such elements guards itself: for a bad one it reads nothing and writes zeros. And **gpunn's optimizers update nothing**
from there on, so parameters and moments stay as they were, until the host has looked and raised the error.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any, NoReturn

import numpy as np

Array = Any
Complain = Callable[[int, int], NoReturn]
"""Raises the error about a bad element, given its value and its place in row-major order."""


class Errors:
    """What checks have found and the host has not looked at yet.

    For each block of a check two words: the place of the first bad element, or -1, and its value. What was found
    stays until the host has looked, also if later steps find nothing: checks only write where nothing stands.

    Args:
        backend: where.
        most: blocks of checks that there is room for.

    Attributes:
        used: how many of them are taken.
        nbytes: of the device's memory.
    """

    def __init__(self, backend: Any, most: int) -> None:
        self._backend = backend
        self._most = most
        self._found = backend.full((most, 2), -1, np.int64)
        self.nbytes = self._found.nbytes
        self._pieces: dict[tuple[int, int], Array] = {}
        self._complaints: list[tuple[int, int, Complain]] = []
        self.used = 0

    def has_room(self, blocks: int) -> bool:
        """Whether so many more blocks can be taken."""
        return self.used + blocks <= self._most

    def take(self, blocks: int, complain: Complain) -> Array:
        """Words for a check of so many blocks, for which there has to be room."""
        start, self.used = self.used, self.used + blocks
        self._complaints.append((start, self.used, complain))
        return self._piece(start, self.used)

    def so_far(self) -> tuple[Array | None, int]:
        """The words of all checks up to now and their number, for kernels that do nothing after an error."""
        return (self._piece(0, self.used) if self.used else None), self.used

    def forget_checks(self, keep: int = 0) -> None:
        """Give all words back but the first `keep`."""
        self._complaints = [each for each in self._complaints if each[1] <= keep]
        self.used = keep

    def look(self) -> None:
        """Wait for the device, and raise what the first check that has found something complains about."""
        if not self.used:
            return
        found = self._backend.read(self._piece(0, self.used))
        if (found[:, 0] < 0).all():
            return
        self._backend.full(self._found.shape, -1, np.int64, out=self._found)
        for start, stop, complain in self._complaints:
            _report(found[start:stop], complain)

    def _piece(self, start: int, stop: int) -> Array:
        """The same object each time, so that launches can be compared."""
        piece = self._pieces.get((start, stop))
        if piece is None:
            piece = self._pieces[start, stop] = self._found[start:stop]
        return piece


def _report(found: Any, complain: Complain) -> None:
    """Complain about the first bad element, if the blocks of a check have found some."""
    bad = found[found[:, 0] >= 0]
    if len(bad):
        place, value = bad[bad[:, 0].argmin()]
        complain(int(value), int(place))


class EagerErrors:
    """The `Errors` of eager work on a device, which the host looks at when it waits for the device anyway.

    That is when it reads an array, for ``item()`` or ``numpy()``, and when it waits for all work (`synchronize`); and
    when there is no more room. As with CUDA's own errors it does not matter which thread it is that waits.

    Args:
        backend: where.
    """

    MOST = 256
    """Blocks of checks after which the host looks; each optimizer kernel reads what all of them have found."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._errors = Errors(backend, self.MOST)
        self._stream: Any = None
        self._lock = RLock()

    def check(self, look: Callable[[Array], None], blocks: int, complain: Complain) -> None:
        """Launch ``look(found)``, a check of so many blocks; see `gpunn.backend.kernel.check.Check.refuse`."""
        with self._backend.here(), self._lock:
            stream = self._backend.streams.get_current_stream()
            if self._errors.used and (stream is not self._stream or not self._errors.has_room(blocks)):
                self.look()
            self._stream = stream
            look(self._errors.take(blocks, complain))

    def so_far(self) -> tuple[Array | None, int]:
        """As `Errors.so_far`, for kernels on the current stream."""
        if not self._errors.used:
            return None, 0
        with self._backend.here(), self._lock:
            if self._stream is self._backend.streams.get_current_stream():
                return self._errors.so_far()
            return None, 0

    def look(self) -> None:
        """Wait for the checks, if there are any that the host has not looked at, and raise what is wrong."""
        if not self._errors.used:
            return
        with self._backend.here(), self._lock, self._stream:
            try:
                self._errors.look()
            except BaseException:
                self._stream.synchronize()  # the words are set back before another stream's checks write there
                raise
            finally:
                self._errors.forget_checks()
