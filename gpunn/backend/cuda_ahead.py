"""Copies from the host to a CUDA device that are made while the device computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .device import OutOfMemoryError

if TYPE_CHECKING:
    from .cuda import CudaBackend

Array = Any
_ALIGNMENT = 256
"""Bytes to whose multiples the arrays of one copy are set, as memory of its own is."""


class CopiesAhead:
    """Copies groups of arrays, such as batches, on a stream of its own: ``copies(arrays)`` gives those of the device.

    The host never waits for a copy, so it asks for the next batch while the device still computes with the one before.
    For the copy to begin then, it needs memory that nobody reads any more. So memory is set aside early: a batch goes
    where a place was taken `ahead` batches before, and waits for what the current stream had been given up to then, and
    no more. The current stream waits for the copy at once. All memory is taken and given back in the order of the
    current stream, as that of any other array is: who holds a batch for longer holds its memory, and nothing else
    changes.

    Args:
        backend: where to.
        ahead: how many batches are asked for at once, one behind the other, before the device gets work with them.
    """

    def __init__(self, backend: CudaBackend, ahead: int = 1) -> None:
        self.backend = backend
        self.ahead = ahead
        self._streams = backend.streams
        self._stream = self._streams.Stream(non_blocking=True)
        self._copied = self._streams.Event(disable_timing=True)
        self._places: deque[_Place] = deque()
        self._events: list[Any] = []  # that nobody waits for any more
        self._largest = 0

    def __call__(self, arrays: Sequence[Any]) -> list[Array]:
        """Copy NumPy arrays; the results are there for what the current stream is given from now on."""
        with self.backend.here():
            ends, size = [], 0
            for x in arrays:
                ends.append(size + x.nbytes)
                size += -(-x.nbytes // _ALIGNMENT) * _ALIGNMENT
            self._largest = max(self._largest, size)
            current = self._streams.get_current_stream()
            place = self._place(current, size)
            found = [place.memory[end - x.nbytes : end].view(x.dtype).reshape(x.shape) for x, end in zip(arrays, ends)]
            self._stream.wait_event(place.taken)
            self._events.append(place.taken)
            try:
                with self._stream:
                    for x, y in zip(arrays, found):
                        self.backend.write(x, y)
            finally:  # else the memory could be another array's before the copy is done
                self._copied.record(self._stream)
                current.wait_event(self._copied)
        return found

    def _place(self, current: Any, size: int) -> _Place:
        """Memory for a copy, if possible such as was set aside before; more is set aside for one that comes later."""
        place = self._places.popleft() if len(self._places) >= max(self.ahead, 1) else None
        if place is None or place.memory.size < size:
            place = None  # so that its memory can be taken
            try:
                place = self._take(current, size)
            except OutOfMemoryError:
                self._set_nothing_aside()
                return self._take(current, size)
        if self.ahead:
            try:
                self._places.append(self._take(current, self._largest))
            except OutOfMemoryError:
                self._set_nothing_aside()
        return place

    def _set_nothing_aside(self) -> None:
        """From now on memory is taken when it is needed, and copies wait for the device; the others need it."""
        self.ahead = 0
        self._places.clear()

    def _take(self, current: Any, size: int) -> _Place:
        memory = self.backend.empty((size,), "uint8")
        taken = self._events.pop() if self._events else self._streams.Event(disable_timing=True)
        taken.record(current)
        return _Place(memory, taken)


class _Place(NamedTuple):
    """Bytes, and the event from which on nothing of before reads or writes them."""

    memory: Array
    taken: Any
