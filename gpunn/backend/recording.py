"""Recording: launches are taken down instead of made, as a list that can be made again and again.

While a `Recorder` takes down a call, the host code of the kernels runs as ever, in the thread that records, but

- what it launches goes into a list;
- memory for what it computes on the way are pieces of one workspace, and all given back at the end of the call;
- numbers that are others at each step are read by kernels from memory that the host fills before (`Numbers`);
- what it checks (that indices lie where they may) is left on the device, for the host to look at later
  (`gpunn.backend.errors`);
- reading from the device, copying from the host and waiting are `NotRecordable`.

So a list of launches allocates nothing and waits for nothing, and can be captured into a CUDA graph with `capture`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import is_
from typing import Any

import numpy as np

from .errors import Complain, Errors
from .side_by_side import groups, needs, places, wanted_lanes

Array = Any
MOST_ERRORS = 1024
"""Blocks of checks that a recorder has room for."""
MOST_COUNTERS = 8192
"""Blocks that can be counted apart: those of the tiles of two products."""
_ALIGNMENT = 64


class NotRecordable(Exception):
    """The call needs the host in its middle; the message says what for."""


class _State(threading.local):
    recorder: Recorder | None = None


_state = _State()


def current() -> Recorder | None:
    """What takes down the launches of this thread, if something does."""
    return _state.recorder


def forbid(what: str) -> None:
    """Raise `NotRecordable` if this thread records; `what` says what is done, such as "reads from the device"."""
    if _state.recorder is not None:
        raise NotRecordable(what)


@contextmanager
def paused() -> Iterator[None]:
    """Inside, the launches of this thread are made, whatever is being recorded around it."""
    before, _state.recorder = _state.recorder, None
    try:
        yield
    finally:
        _state.recorder = before


class Launch:
    """A kernel with all its arguments, which it keeps alive; see `gpunn.backend.launch` for what they are.

    Attributes:
        picked: how it was chosen, "predicted" or "measured"; empty where nothing was measured for it to be chosen.
    """

    __slots__ = ("args", "block", "checked", "grid", "kernel", "key", "picked", "shared_mem")

    def __init__(self, kernel: Any, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int):
        self.kernel, self.grid, self.block, self.args = kernel, tuple(grid), tuple(block), tuple(args)
        self.shared_mem = shared_mem
        self.checked = kernel.checked(grid, block, args, shared_mem)
        self.key: tuple[Any, ...] = ()
        self.picked = ""

    @property
    def name(self) -> str:
        """The kernel's name."""
        return str(self.kernel.signature.name)

    def run(self) -> None:
        """Launch it, on the current stream."""
        self.kernel.function(self.grid, self.block, self.checked, shared_mem=self.shared_mem)

    def equals(self, kernel: Any, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared: int) -> bool:
        """Whether such a launch would do just the same. Arrays are compared as objects, not by their elements."""
        return (
            kernel is self.kernel
            and tuple(grid) == self.grid
            and tuple(block) == self.block
            and shared == self.shared_mem
            and len(args) == len(self.args)
            and all(
                a is b or (type(a) is type(b) and not hasattr(a, "shape") and a == b) for a, b in zip(args, self.args)
            )
        )


class Number(int):
    """A whole number that is another one at each step: kernels read it at `place`, an array of one element."""

    place: Array
    at: int


class Numbers:
    """Numbers of 8 bytes each that the host sets before a step, and kernels read in it.

    Args:
        backend: where.
        most: how many there may be.

    Attributes:
        used: how many are in use; the next ones are taken behind them.
        nbytes: of the device's memory.
    """

    def __init__(self, backend: Any, most: int) -> None:
        self._backend = backend
        self._host = np.zeros(most, np.float64)
        self._device = backend.empty((most,), np.float64)
        self.nbytes = self._device.nbytes
        self._there = np.zeros(most, np.uint64)  # the bits of what was sent last,
        self._sent = 0  # and how many
        self._pieces: dict[tuple[int, int], Array] = {}
        self.used = 0

    def take(self, values: Sequence[float]) -> Array:
        """Put floats behind the others; their place on the device."""
        start, stop = self.used, self.used + len(values)
        if stop > self._host.size:
            raise RuntimeError(f"a step has more than {self._host.size} numbers that change: an update takes too many")
        self._host[start:stop] = values
        self.used = stop
        return self._piece(start, stop)

    def take_whole(self) -> Number:
        """A whole number behind the others; it stands for its value in recorded calls."""
        number = Number()
        number.at, number.place = self.used, self.take((0.0,)).view(np.uint64)
        return number

    def set_whole(self, number: Number, value: int) -> None:
        """Give it a value from 0 to 2^64 - 1."""
        self._host.view(np.uint64)[number.at] = value

    def send(self) -> None:
        """Copy them to the device if they have changed, in the order of the current stream; the host goes on."""
        bits, there = self._host.view(np.uint64)[: self.used], self._there[: self.used]
        if self.used > self._sent or (bits != there).any():
            self._backend.write(self._host[: self.used], self._piece(0, self.used))
            there[...] = bits
            self._sent = max(self._sent, self.used)

    def _piece(self, start: int, stop: int) -> Array:
        """The same object each time, so that launches can be compared."""
        piece = self._pieces.get((start, stop))
        if piece is None:
            piece = self._pieces[start, stop] = self._device[start:stop]
        return piece


class Recorder:
    """Takes down calls; see the module.

    Args:
        backend: whose launches.
        most_numbers: how many numbers may change from step to step.

    Attributes:
        numbers: those that change from step to step.
        errors: what checks have found.
        picked: how what is launched next was chosen; see `Launch`.
    """

    def __init__(self, backend: Any, most_numbers: int = 0) -> None:
        self.backend = backend
        self.numbers = Numbers(backend, most_numbers)
        self.errors = Errors(backend, MOST_ERRORS)
        self._counters = backend.full((MOST_COUNTERS,), 0, np.int32).view(np.uint32)
        self.picked = ""
        self._workspace: Array | None = None
        self._sides = [0, 0]  # the most that a call has computed in so far, of each side,
        self._room = 0, 0  # and what each side has of the workspace
        self._side = self._in_use = 0
        self._launches: list[Launch] = []
        self._known: Sequence[Launch] = ()

    @property
    def workspace_bytes(self) -> int:
        """The most that calls have computed in so far, those of both sides."""
        return sum(self._sides)

    @property
    def nbytes(self) -> int:
        """All memory of the device that it takes."""
        return self.workspace_bytes + self.numbers.nbytes + self.errors.nbytes + self._counters.nbytes

    def work_in(self, memory: Array) -> None:
        """Take these bytes, at least `workspace_bytes`, as the workspace. Before, each piece is memory of its own."""
        self._workspace, self._room = memory, (self._sides[0], self._sides[1])

    def share(self, other: Recorder) -> None:
        """Compute in the workspace of another one, whose launches come before or after, and check into its words."""
        self.errors, self._counters = other.errors, other._counters
        self._workspace, self._room = other._workspace, other._room

    @contextmanager
    def call(self, known: Sequence[Launch] = (), side: int = 0) -> Iterator[list[Launch]]:
        """Inside, the launches of this thread come into the list.

        Args:
            known: what stands at its place here is the same object.
            side: 0 or 1. What a call of one side computes in, and counts in, is not that of one of the other: so the
                launches of two calls that follow one another can be made side by side.
        """
        self._launches, self._known, self._side, self._in_use, self.picked = [], known, side, 0, ""
        _state.recorder = self
        try:
            yield self._launches
        finally:
            _state.recorder = None
            self._sides[side] = max(self._sides[side], self._in_use)

    def launch(
        self, kernel: Any, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int
    ) -> None:
        """Take down a launch."""
        at = len(self._launches)
        if at < len(self._known) and self._known[at].equals(kernel, grid, block, args, shared_mem):
            self._launches.append(self._known[at])
        else:
            launch = Launch(kernel, grid, block, args, shared_mem)
            launch.picked = self.picked
            self._launches.append(launch)

    def counters(self, count: int, begin: int) -> Array:
        """So many numbers that are 0 between launches, from this one on; of the other side counted from the end."""
        first = MOST_COUNTERS - begin - count if self._side else begin
        return self._counters[first : first + count]

    def room_for(self, blocks: int, complain: Complain) -> Array:
        """Words for a check of so many blocks."""
        if not self.errors.has_room(blocks):
            raise NotRecordable("checks more than there is room for")
        return self.errors.take(blocks, complain)

    def repeats(self, key: tuple[Any, ...]) -> bool:
        """Take down the launch that is known at this place, without finding out anew what it is, if it has this key.

        A key is what the launch follows from, objects that are compared by identity; see `mark`.
        """
        at = len(self._launches)
        if at >= len(self._known):
            return False
        known = self._known[at]
        if len(known.key) != len(key) or not all(map(is_, known.key, key)):
            return False
        self._launches.append(known)
        return True

    def mark(self, key: tuple[Any, ...]) -> None:
        """Give the last launch its key."""
        self._launches[-1].key = key

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """A piece of the workspace, until the end of the call."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        start = self._in_use + self._side * self._room[0]
        self._in_use += -(-size // _ALIGNMENT) * _ALIGNMENT
        if self._workspace is None or not size or self._in_use > self._room[self._side]:
            return self.backend.allocate(shape, dtype)
        return self._workspace[start : start + size].view(dtype).reshape(shape)


def capture(backend: Any, launches: Sequence[Launch], lanes: int | None = None) -> Any:
    """A CUDA graph of launches, which have to have run before, so that their kernels are loaded.

    Args:
        backend: where they run.
        launches: what to capture. Those that don't need one another go side by side; see `gpunn.backend.side_by_side`.
        lanes: how many at most (default: as the environment says).
    """
    lanes = wanted_lanes() if lanes is None else lanes
    stream = backend.streams.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            if lanes == 1:
                for launch in launches:
                    launch.run()
            else:
                sides = [backend.streams.Stream(non_blocking=True) for _ in range(lanes - 1)]
                for group in groups(launches):
                    _run_in_lanes(backend, group, [stream, *sides])
        except BaseException:
            with suppress(Exception):  # the first error says more
                stream.end_capture()
            raise
        graph = stream.end_capture()
    graph.upload()
    return graph


def _run_in_lanes(backend: Any, launches: Sequence[Launch], streams: Sequence[Any]) -> None:
    """Make launches on the streams of their lanes, the first of which goes on when all have ended."""
    found = places(needs(backend, launches), len(streams))
    awaited = {other for place in found for other in place.waits}
    ends: dict[int, Any] = {}
    last: dict[int, int] = {}  # of each lane
    start = streams[0].record()
    for number, (launch, place) in enumerate(zip(launches, found)):
        stream = streams[place.lane]
        for other in place.waits:
            stream.wait_event(ends[other])
        if place.lane and place.lane not in last and not place.waits:
            stream.wait_event(start)
        with stream:
            launch.run()
        if number in awaited:
            ends[number] = stream.record()
        last[place.lane] = number
    for lane in sorted(last.keys() - {0}):
        streams[0].wait_event(ends.get(last[lane]) or streams[lane].record())
