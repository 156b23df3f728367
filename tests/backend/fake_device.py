"""Devices, streams, events, graphs and memory of the CuPy without a GPU (`fake_cupy`)."""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from .fake_pool import TOTAL, DevicePool, Work


class Machine:
    """What there is, and what the tests count: `calls` that cost the host time, by what they do."""

    def __init__(self, devices: int, driver: int, toolkit: int) -> None:
        self.devices, self.driver, self.toolkit = devices, driver, toolkit
        self.local = threading.local()
        self.pools = [DevicePool() for _ in range(devices)]
        self.queues: list[tuple[int, Work]] = []
        self.switches = 0
        self.hasty = False  # whether streams, but for the null stream, do their work as soon as they may
        self.calls: Counter[str] = Counter()
        self.pinned: dict[int, list[np.ndarray]] = {}
        self.no_pinned_memory = False
        self.broken: dict[int, str] = {}  # devices, with the error that CUDA has for every call
        self.microseconds = 0  # that kernels took so far: one for each block
        self.ranges: list[str] = []  # of NVTX: those that are open,
        self.marked: list[str] = []  # and all there were, each with what it lies in

    @property
    def current(self) -> int:
        return getattr(self.local, "current", 0)


class CUDARuntimeError(RuntimeError):
    pass


def use_device() -> None:
    """What every call does that needs the device itself."""
    if found := machine.broken.get(machine.current):
        raise CUDARuntimeError(found)


# Devices --------------------------------------------------------------------------------------------------------------


def device_count() -> int:
    if machine.driver // 1000 < machine.toolkit // 1000:
        raise CUDARuntimeError(
            "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
        )
    if not machine.devices:
        raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
    return machine.devices


def get_device() -> int:
    device_count()
    return machine.current


def set_device(index: int) -> None:
    assert index < device_count()
    machine.switches += 1
    machine.local.current = index


def properties(index: int) -> dict[str, Any]:
    numbers = {
        "totalGlobalMem": TOTAL,
        "multiProcessorCount": 4,
        "l2CacheSize": 1 << 20,
        "warpSize": 32,
        "maxThreadsPerMultiProcessor": 2048,
        "regsPerMultiprocessor": 65536,
        "sharedMemPerBlock": 48 << 10,
        "sharedMemPerBlockOptin": 227 << 10,
        "sharedMemPerMultiprocessor": 228 << 10,
    }
    return {"name": b"Simulated GPU", "major": 9, "minor": 0, **numbers}


class Device:
    def __init__(self, device: Any = None) -> None:
        self.id = get_device() if device is None else int(device)
        self.compute_capability = "90"

    def __enter__(self) -> Device:
        machine.local.stack = [*getattr(machine.local, "stack", []), get_device()]
        set_device(self.id)
        return self

    def __exit__(self, *error: Any) -> None:
        *machine.local.stack, before = machine.local.stack
        set_device(before)

    def __int__(self) -> int:
        return self.id

    def use(self) -> Device:
        set_device(self.id)
        return self

    def synchronize(self) -> None:
        machine.calls["wait of the host"] += 1
        use_device()
        for device_id, work in machine.queues:
            if device_id in (self.id, -1):
                do(work)

    @property
    def mem_info(self) -> tuple[int, int]:
        use_device()
        return TOTAL - machine.pools[self.id].reserved, TOTAL


# Streams --------------------------------------------------------------------------------------------------------------


class Capture:
    """Work that streams take down, each piece with the numbers of those that have to end before."""

    def __init__(self, first: Stream) -> None:
        self.work: list[tuple[Callable[[], None], frozenset[int]]] = []
        self.ends: dict[Stream, frozenset[int]] = {first: frozenset()}

    def add(self, stream: Stream, work: Callable[[], None]) -> None:
        self.work.append((work, self.ends[stream]))
        self.ends[stream] = frozenset([len(self.work) - 1])

    def before(self, ends: frozenset[int]) -> set[int]:
        found = set(ends)
        for number in range(len(self.work) - 1, -1, -1):
            found |= self.work[number][1] if number in found else set()
        return found

    def latest_first(self) -> list[Callable[[], None]]:
        """Of what may come next always what was taken down last: a device may do so."""
        left, order = {n: set(after) for n, (_, after) in enumerate(self.work)}, []
        while left:
            number = max(n for n, after in left.items() if not after & left.keys())
            del left[number]
            order.append(self.work[number][0])
        return order


class Stream:
    """Work that is done in order, and not before somebody waits for it."""

    null: ClassVar[Stream]

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        self.work: Work = []
        self.captured: Capture | None = None
        self.ptr = 0 if null else id(self)
        self.device_id = -1 if null else get_device()
        machine.queues.append((self.device_id, self.work))  # which is done also when nobody has the stream any more

    def __enter__(self) -> Stream:
        assert self.device_id in (-1, machine.current), "the stream is of another device"
        machine.local.streams = [*getattr(machine.local, "streams", []), (machine.current, self)]
        return self

    def __exit__(self, *error: Any) -> None:
        machine.local.streams = machine.local.streams[:-1]

    @property
    def done(self) -> bool:
        return not self.work

    def synchronize(self) -> None:
        machine.calls["wait of the host"] += 1
        use_device()
        self.refuse_in_capture("synchronous API calls")
        do(self.work)

    def give(self, work: Callable[[], None]) -> None:
        """Do this on the stream, or take it down where the stream captures."""
        if self.captured is None:
            self.add(work)
        else:
            self.captured.add(self, work)

    def add(self, *work: Callable[[], None]) -> None:
        """Do this on the stream; others do no more before than what it waits for."""
        self.work.extend(work)
        if machine.hasty and self.ptr:
            do(self.work)

    def refuse_in_capture(self, what: str) -> None:
        if self.captured is not None:
            raise RuntimeError(f"the current stream is capturing, so {what} are disallowed")

    def begin_capture(self, mode: Any = None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        assert self.captured is None and self.device_id == get_device()
        self.captured = Capture(self)
        machine.local.capturing = self

    def end_capture(self) -> Graph:
        captured = self.captured
        machine.local.capturing = None
        assert captured is not None and next(iter(captured.ends)) is self
        for stream in captured.ends:
            stream.captured = None
        assert len(captured.before(captured.ends[self])) == len(captured.work), "a stream was not waited for"
        graph = object.__new__(Graph)
        graph.captured, graph.device_id = captured.latest_first(), self.device_id
        return graph

    def is_capturing(self) -> bool:
        return self.captured is not None

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        if event.capture is not None:
            assert self.captured in (None, event.capture)
            self.captured = event.capture
            self.captured.ends[self] = self.captured.ends.get(self, frozenset()) | event.after
            return
        forbid_in_capture("waiting for an event that is not of the graph")
        machine.calls["wait of a stream"] += 1
        stream, count = event.stream, event.count  # as it is recorded now, not when the work is done
        self.add(lambda: stream.work_until(event, count))

    def work_until(self, event: Event, count: int) -> None:
        while event.happened < count:
            self.work.pop(0)()


def do(work: Work) -> None:
    while work:
        work.pop(0)()


class Graph:
    """Launches; made by the capture of a stream, and launched into any."""

    captured: list[Callable[[], None]]
    device_id: int

    def __init__(self) -> None:
        raise NotImplementedError("graphs are made by capturing a stream")

    def launch(self, stream: Stream | None = None) -> None:
        forbid_in_capture("launching a graph")
        machine.calls["graph"] += 1
        assert self.device_id == get_device(), "the graph is of another device"
        (stream or get_current_stream()).add(*self.captured)

    def upload(self, stream: Stream | None = None) -> None:
        assert self.device_id == get_device(), "the graph is of another device"


def forbid_in_capture(what: str) -> None:
    """A plan does none of it, though CuPy, which captures in the relaxed mode, allows some."""
    assert getattr(machine.local, "capturing", None) is None, f"{what}, while a stream captures"


def get_current_stream(device_id: int = -1) -> Stream:
    device = get_device() if device_id == -1 else device_id
    mine = [stream for index, stream in getattr(machine.local, "streams", []) if index == device]
    return mine[-1] if mine else Stream.null


class Event:
    """Counts how often it was recorded, and how many of those the device has reached."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        machine.calls["event made"] += 1
        self.count = self.happened = self.microseconds = 0
        self.disable_timing = disable_timing
        self.stream = Stream.null
        self.capture: Capture | None = None
        self.after: frozenset[int] = frozenset()
        self.device_id = get_device()

    @property
    def done(self) -> bool:
        forbid_in_capture("asking whether an event happened")
        machine.calls["event asked"] += 1
        return self.happened >= self.count

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or get_current_stream()
        self.capture = stream.captured
        if self.capture is not None:
            self.after = self.capture.ends[stream]
            return
        forbid_in_capture("recording an event that is not of the graph")
        machine.calls["event recorded"] += 1
        assert self.device_id == get_device(), "the event is of another device"
        self.count, self.stream = self.count + 1, stream
        self.stream.add(partial(self._happen, self.count))

    def _happen(self, count: int) -> None:
        self.happened, self.microseconds = count, machine.microseconds

    def synchronize(self) -> None:
        forbid_in_capture("waiting for an event")
        machine.calls["wait of the host"] += 1
        self.stream.work_until(self, self.count)


def get_elapsed_time(start: Event, end: Event) -> float:
    assert start.done and end.done
    assert not (start.disable_timing or end.disable_timing)
    return (end.microseconds - start.microseconds) / 1e3


# Memory ---------------------------------------------------------------------------------------------------------------


class Memory:
    """Memory of a device, given back to the pool when the last array in it goes."""

    def __init__(self, size: int) -> None:
        forbid_in_capture("allocating")
        machine.calls["array"] += 1
        use_device()
        stream, pool = get_current_stream(), machine.pools[get_device()]
        self.device_id = machine.current
        self.bytes = pool.take(size, stream.ptr)
        weakref.finalize(self, pool.give_back, self.bytes, stream.ptr, stream.work).atexit = False


class _MemoryPool:
    def used_bytes(self) -> int:
        machine.calls["memory counted"] += 1
        return machine.pools[get_device()].used

    def total_bytes(self) -> int:
        return machine.pools[get_device()].reserved

    def free_all_blocks(self) -> None:
        machine.pools[get_device()].free_all()

    def get_limit(self) -> int:
        return machine.pools[get_device()].limit

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        machine.pools[get_device()].limit = size or int((fraction or 0) * TOTAL)


def get_default_memory_pool() -> _MemoryPool:
    return _MemoryPool()


def alloc_pinned_memory(size: int) -> Any:
    """Memory that is used again as soon as it is let go of, and scribbled over before."""
    forbid_in_capture("allocating")
    machine.calls["page-locked memory"] += 1
    if machine.no_pinned_memory:
        raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
    size = max(512, 1 << (size - 1).bit_length())
    free = machine.pinned.setdefault(size, [])
    block = free.pop() if free else np.empty(size, np.uint8)
    block[...] = 0xEE
    pointer = type("PinnedMemoryPointer", (ctypes.c_uint8 * size,), {}).from_buffer(block)  # that can be watched
    weakref.finalize(pointer, free.append, block)
    return pointer


machine = Machine(1, 12080, 12080)
