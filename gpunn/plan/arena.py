"""Memory that plans take turns in: a plan needs most of its memory only while its step is done.

An `Arena` has one memory on each device, which is as large as its largest plan needs. When a larger plan comes, the
others let go of the memory, so that the old one goes before the new one comes; each is bound to the new one when it is
used again. A memory is there as long as a plan that uses it.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, WeakValueDictionary

from gpunn.backend.device import device as Device

if TYPE_CHECKING:
    from .replay import Program


class Memory:
    """Memory of one device, in which programs are done one after the other.

    It is a context for a step on a device with kernels: if the step before, which may have been another program's, was
    on another stream, the current one waits for its end. The null stream is always there, so its work is noted only
    then; any other stream may be gone then, so the end of a step is noted on it at once.

    Attributes:
        has_streams: whether it is such a device.
    """

    def __init__(self, device: Device) -> None:
        self._backend = device.backend
        self._pieces: dict[str, Any] = {}
        self._programs: WeakSet[Program] = WeakSet()
        self.has_streams = hasattr(self._backend, "streams")
        if self.has_streams:
            with self._backend.here():
                self._used = self._backend.streams.Event(disable_timing=True)
            self._stream = self._backend.streams.Stream.null

    @property
    def nbytes(self) -> int:
        """Its size."""
        return sum(piece.nbytes for piece in self._pieces.values())

    def take(self, program: Program, what: str, size: int) -> Any:
        """At least so many bytes for something, as an array; if there are fewer, all other programs let go of theirs.

        Args:
            program: who uses them from now on.
            what: what for; all programs have the same bytes for the same thing.
            size: how many.
        """
        if what not in self._pieces or self._pieces[what].size < size:
            if self.has_streams:
                with self._backend.here():
                    self._note_null()
                    self._used.synchronize()
            for other in list(self._programs - {program}):
                other.let_go()
            self._pieces.pop(what, None)
            self._pieces[what] = self._backend.cache_lines(size, "uint8")
        self._programs.add(program)
        return self._pieces[what]

    def look(self) -> None:
        """Raise what checks have found that were not part of a graph; if there were some, wait for the device."""
        if self.has_streams:
            self._backend.look()

    def __enter__(self) -> None:
        with self._backend.here():
            stream = self._backend.streams.get_current_stream()
            if stream is not self._stream:
                self._note_null()
                stream.wait_event(self._used)
                self._stream = stream

    def __exit__(self, *_: object) -> None:
        if not self._is_on_null():
            with self._backend.here():
                self._used.record(self._stream)

    def _note_null(self) -> None:
        """Let the event be the end of the last step also if that was on the null stream."""
        if self._is_on_null():
            self._used.record(self._stream)

    def _is_on_null(self) -> bool:
        return self._stream is self._backend.streams.Stream.null


class Arena:
    """The memory of a step, or of several steps that are done one after the other, never at the same time.

    Attributes:
        lock: who has it may do a step here; threads take turns.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self._memory: WeakValueDictionary[Device, Memory] = WeakValueDictionary()
        self._programs: WeakSet[Program] = WeakSet()

    def memory(self, program: Program) -> Memory:
        """The memory of the device that a program is for; the program has to hold it."""
        self._programs.add(program)
        found = self._memory.get(program.device)
        if found is None:
            found = self._memory[program.device] = Memory(program.device)
        return found

    def nbytes(self, device: Device) -> int:
        """What there is on a device."""
        found = self._memory.get(device)
        return 0 if found is None else found.nbytes

    def forget(self) -> None:
        """Give up all plans that lie here, with all memory that they hold or show; their steps make new ones."""
        for program in list(self._programs):
            program.forget()
