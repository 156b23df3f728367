"""Streams and their capture into graphs, as CuPy has them.

The simulator runs every launch at once, so a stream orders nothing. What streams are for here is to test code that is
captured into a CUDA graph: while a stream captures, launches on it are recorded, and what CUDA forbids is an error.
A stream that waits for an event of the capture is part of it from then on, until the first one waits for all the others
("Cross-stream Dependencies and Events" in the CUDA C++ Programming Guide). Kernels whose order is not "forward" show
what a graph leaves open: launched, it runs of those that may come next always the one that was captured last.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .errors import SimulatorError

if TYPE_CHECKING:
    from .function import RawKernel

capturing = 0
"""How many streams capture now, in all threads. While it is 0, nothing here costs a launch more than a look at it."""

_count_lock = threading.Lock()


@dataclass
class _Launch:
    kernel: RawKernel
    grid: tuple[int, ...]
    block: tuple[int, ...]
    args: tuple[Any, ...]
    shared_mem: int
    after: frozenset[int] = frozenset()  # the numbers of the launches that have to end before

    def run(self) -> None:
        self.kernel(self.grid, self.block, self.args, shared_mem=self.shared_mem)


@dataclass
class _Capture:
    """What a stream has recorded, and those that have joined it; `broken` says what was done that ended the capture."""

    launches: list[_Launch] = field(default_factory=list)
    broken: str = ""
    ends: dict[Stream, frozenset[int]] = field(default_factory=dict)  # of each stream, what its next launch comes after

    def add(self, stream: Stream, launch: _Launch) -> None:
        launch.after = self.ends[stream]
        self.ends[stream] = frozenset([len(self.launches)])
        self.launches.append(launch)

    def is_joined(self, stream: Stream) -> bool:
        """Whether everything has ended for a stream."""
        reached, left = set[int](), list(self.ends[stream])
        while left:
            number = left.pop()
            if number not in reached:
                reached.add(number)
                left += self.launches[number].after
        return len(reached) == len(self.launches)


class _ThreadState(threading.local):
    """The streams of a thread: the current one, those it was before, and those that capture."""

    def __init__(self) -> None:
        self.current: Stream = Stream.null
        self.before: list[Stream] = []
        self.captures: list[Stream] = []


class Stream:
    """A stream of launches.

    Args:
        null: the null stream, which is there from the beginning as `Stream.null`.
        non_blocking: accepted as in CuPy; nothing runs at the same time here.
        ptds: likewise.
    """

    null: ClassVar[Stream]

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self._is_null = null or ptds
        self.non_blocking = non_blocking
        self._capture: _Capture | None = None

    def __enter__(self) -> Stream:
        """Make this the thread's current stream."""
        _thread.before.append(_thread.current)
        _thread.current = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make the stream current that was before."""
        _thread.current = _thread.before.pop()

    def __repr__(self) -> str:
        return "<Stream null>" if self._is_null else f"<Stream at {id(self):#x}>"

    def use(self) -> Stream:
        """Make this the thread's current stream until another is made so."""
        _thread.current = self
        return self

    @property
    def done(self) -> bool:
        """Whether all work is done; it is."""
        self._forbid_query()
        return True

    def is_capturing(self) -> bool:
        """Whether launches on the stream are recorded."""
        return self._capture is not None

    def begin_capture(self, mode: int | None = None) -> None:
        """Record launches on this stream from now on, instead of running them.

        Raises:
            SimulatorError: it is the null stream, or captures already.
        """
        global capturing
        if self._is_null:
            raise SimulatorError("the null stream can't be captured", kind="capture")
        if self._capture is not None:
            raise SimulatorError("the stream captures already", kind="capture")
        self._capture = _Capture()
        self._capture.ends[self] = frozenset()
        _thread.captures.append(self)
        with _count_lock:
            capturing += 1

    def end_capture(self) -> Graph:
        """Stop recording.

        Returns:
            What was recorded, to be launched any number of times.

        Raises:
            SimulatorError: the stream does not capture, or something was done that ended the capture.
        """
        global capturing
        capture = self._capture
        if capture is None:
            raise SimulatorError("the stream does not capture", kind="capture")
        if self is not next(iter(capture.ends)):
            raise SimulatorError("the stream has joined the capture of another one, which ends it", kind="capture")
        for stream in capture.ends:
            stream._capture = None
        if self in _thread.captures:
            _thread.captures.remove(self)
        with _count_lock:
            capturing -= 1
        if capture.broken:
            raise SimulatorError(f"the capture was ended by {capture.broken}", kind="capture")
        if not capture.is_joined(self):
            raise SimulatorError("a stream that joined the capture was not waited for", kind="capture")
        return Graph(capture.launches)

    def synchronize(self) -> None:
        """Wait for all work of the stream; there is none to wait for.

        Raises:
            SimulatorError: a stream captures in this thread.
        """
        forbid_in_capture(f"synchronizing {self!r}")

    def record(self, event: Event | None = None) -> Event:
        """An event that happens when all work of the stream so far is done."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let later work of the stream wait for an event. One of a capture lets it join that, any other has happened.

        Raises:
            SimulatorError: the stream captures, and the event is not of its capture.
        """
        if event._capture is None or event._capture is not (self._capture or event._capture):
            if self._capture is not None:
                raise SimulatorError("a stream that captures can't wait for what is not captured", kind="capture")
            return
        self._capture = event._capture
        self._capture.ends[self] = self._capture.ends.get(self, frozenset()) | event._after

    def _forbid_query(self) -> None:
        if self._capture is not None:
            forbid_in_capture(f"asking whether {self!r} is done")


class Event:
    """A point in the work of a stream.

    Args:
        block: accepted as in CuPy.
        disable_timing: likewise.
    """

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.block, self.disable_timing = block, disable_timing
        self._capture: _Capture | None = None
        self._after: frozenset[int] = frozenset()

    @property
    def done(self) -> bool:
        """Whether the event has happened; it has."""
        return True

    def record(self, stream: Stream | None = None) -> None:
        """Let the event happen when all work of the stream so far is done."""
        stream = stream or _thread.current
        self._capture = stream._capture
        self._after = frozenset() if self._capture is None else self._capture.ends[stream]

    def synchronize(self) -> None:
        """Wait for the event.

        Raises:
            SimulatorError: a stream captures in this thread.
        """
        forbid_in_capture("synchronizing an event")


class Graph:
    """Launches that were captured."""

    def __init__(self, launches: Sequence[_Launch]) -> None:
        self._launches = tuple(launches)
        if any(launch.kernel.order != "forward" for launch in launches):
            self._launches = tuple(_latest_first(launches))

    def __len__(self) -> int:
        return len(self._launches)

    def launch(self, stream: Stream | None = None) -> None:
        """Run all of them, with the arrays and numbers that they were captured with.

        Raises:
            SimulatorError: a kernel has a bug that was caught, or a stream captures in this thread.
        """
        forbid_in_capture("launching a graph")
        for launch in self._launches:
            launch.run()

    def upload(self, stream: Stream | None = None) -> None:
        """Prepare a launch; there is nothing to prepare."""


def _latest_first(launches: Sequence[_Launch]) -> Iterator[_Launch]:
    """The launches, of those that may come next always the last one."""
    left = {number: set(launch.after) for number, launch in enumerate(launches)}
    while left:
        number = max(n for n, after in left.items() if not after)
        del left[number]
        for after in left.values():
            after.discard(number)
        yield launches[number]


Stream.null = Stream(null=True)
_thread = _ThreadState()


def get_current_stream() -> Stream:
    """The stream that this thread's launches go to."""
    return _thread.current


def forbid_in_capture(what: str) -> None:
    """Raise a SimulatorError if a stream captures in this thread.

    Args:
        what: what is done that CUDA does not allow then, such as ``"allocating 4096 bytes"``.
    """
    if capturing:
        _forbid(what)


def _forbid(what: str) -> None:
    if not _thread.captures:
        return
    for stream in _thread.captures:
        if stream._capture is not None and not stream._capture.broken:
            stream._capture.broken = what
    raise SimulatorError(f"{what} is not possible while a stream captures", kind="capture")


def record(kernel: RawKernel, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int) -> bool:
    """Record a launch if the current stream captures.

    Returns:
        Whether it does; if not, the launch is to be run.

    Raises:
        SimulatorError: the launch does not fit the kernel, or it goes to the null stream while another stream captures.
    """
    stream = _thread.current
    capture = stream._capture
    if capture is None:
        if stream._is_null:
            forbid_in_capture(f"launching kernel {kernel.name} on the null stream")
        return False
    kernel.check(grid, block, args, shared_mem)
    kept = tuple(_kept(value, argument.kind) for value, argument in zip(args, kernel.arguments))
    capture.add(stream, _Launch(kernel, tuple(grid), tuple(block), kept, shared_mem))
    return True


def _kept(value: Any, kind: int) -> Any:
    """An argument as a graph keeps it: arrays by reference, everything else by value."""
    return value.copy() if kind and isinstance(value, np.ndarray) else value
