"""A CuPy without a GPU: the public names that gpunn uses, on arrays in the host's memory, with the simulator's kernels.

It is strict where CuPy is, and where CuPy lets something pass that is wrong or slow. Device arrays are no NumPy arrays,
have no arithmetic, and are never read in passing; a reshape that would copy, an array used on another device than its
own, and a NumPy array in the place of a pointer are errors. Work on a stream is done late, when somebody waits for it,
so that memory which changes too early, or is read too early, gives wrong results here too.
"""

from __future__ import annotations

import ctypes
import math
import pickle
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

import gpunn.backend
from gpunn.backend import nvrtc, simulator
from gpunn.backend.device import _BACKENDS, register_backend
from gpunn.backend.kernel_texts import kernel_folder, kernel_text
from gpunn.backend.launch import compile_options

from .fake_launch import CUDADriverError, check_bytes, check_sizes
from .fake_pool import TOTAL, DevicePool, Work

__version__ = "14.0.0"


class _Machine:
    """What there is, and what the tests count: `calls` that cost the host time, by what they do."""

    def __init__(self, devices: int, driver: int, toolkit: int) -> None:
        self.devices, self.driver, self.toolkit = devices, driver, toolkit
        self.local = threading.local()
        self.pools = [DevicePool() for _ in range(devices)]
        self.queues: list[tuple[int, Work]] = []
        self.switches = 0
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


def _use_device() -> None:
    """What every call does that needs the device itself."""
    if found := machine.broken.get(machine.current):
        raise CUDARuntimeError(found)


# Devices --------------------------------------------------------------------------------------------------------------


def _device_count() -> int:
    if machine.driver // 1000 < machine.toolkit // 1000:
        raise CUDARuntimeError(
            "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
        )
    if not machine.devices:
        raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
    return machine.devices


def _get_device() -> int:
    _device_count()
    return machine.current


def _set_device(index: int) -> None:
    assert index < _device_count()
    machine.switches += 1
    machine.local.current = index


def _properties(index: int) -> dict[str, Any]:
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
        self.id = _get_device() if device is None else int(device)
        self.compute_capability = "90"

    def __enter__(self) -> Device:
        machine.local.stack = [*getattr(machine.local, "stack", []), _get_device()]
        _set_device(self.id)
        return self

    def __exit__(self, *error: Any) -> None:
        *machine.local.stack, before = machine.local.stack
        _set_device(before)

    def __int__(self) -> int:
        return self.id

    def use(self) -> Device:
        _set_device(self.id)
        return self

    def synchronize(self) -> None:
        machine.calls["wait of the host"] += 1
        _use_device()
        for device_id, work in machine.queues:
            if device_id in (self.id, -1):
                _do(work)

    @property
    def mem_info(self) -> tuple[int, int]:
        _use_device()
        return TOTAL - machine.pools[self.id].reserved, TOTAL


# Streams --------------------------------------------------------------------------------------------------------------


class Stream:
    """Work that is done in order, and not before somebody waits for it."""

    null: ClassVar[Stream]

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        self.work: Work = []
        self.captured: list[Callable[[], None]] | None = None
        self.ptr = 0 if null else id(self)
        self.device_id = -1 if null else _get_device()
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
        _use_device()
        self.refuse_in_capture("synchronous API calls")
        _do(self.work)

    def give(self, work: Callable[[], None]) -> None:
        """Do this on the stream, or take it down where the stream captures."""
        (self.work if self.captured is None else self.captured).append(work)

    def refuse_in_capture(self, what: str) -> None:
        if self.captured is not None:
            raise RuntimeError(f"the current stream is capturing, so {what} are disallowed")

    def begin_capture(self, mode: Any = None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        assert self.captured is None and self.device_id == _get_device()
        self.captured = []
        machine.local.capturing = self

    def end_capture(self) -> Graph:
        captured, self.captured = self.captured, None
        machine.local.capturing = None
        assert captured is not None
        graph = object.__new__(Graph)
        graph.captured, graph.device_id = captured, self.device_id
        return graph

    def is_capturing(self) -> bool:
        return self.captured is not None

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        _forbid_in_capture("waiting for an event")
        machine.calls["wait of a stream"] += 1
        stream, count = event.stream, event.count  # as it is recorded now, not when the work is done
        self.work.append(lambda: stream.work_until(event, count))

    def work_until(self, event: Event, count: int) -> None:
        while event.happened < count:
            self.work.pop(0)()


def _do(work: Work) -> None:
    while work:
        work.pop(0)()


class Graph:
    """Launches; made by the capture of a stream, and launched into any."""

    captured: list[Callable[[], None]]
    device_id: int

    def __init__(self) -> None:
        raise NotImplementedError("graphs are made by capturing a stream")

    def launch(self, stream: Stream | None = None) -> None:
        _forbid_in_capture("launching a graph")
        machine.calls["graph"] += 1
        assert self.device_id == _get_device(), "the graph is of another device"
        (stream or get_current_stream()).work.extend(self.captured)

    def upload(self, stream: Stream | None = None) -> None:
        assert self.device_id == _get_device(), "the graph is of another device"


def _forbid_in_capture(what: str) -> None:
    """A plan does none of it, though CuPy, which captures in the relaxed mode, allows some."""
    assert getattr(machine.local, "capturing", None) is None, f"{what}, while a stream captures"


def get_current_stream(device_id: int = -1) -> Stream:
    device = _get_device() if device_id == -1 else device_id
    mine = [stream for index, stream in getattr(machine.local, "streams", []) if index == device]
    return mine[-1] if mine else Stream.null


class Event:
    """Counts how often it was recorded, and how many of those the device has reached."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        machine.calls["event made"] += 1
        self.count = self.happened = self.microseconds = 0
        self.disable_timing = disable_timing
        self.stream = Stream.null
        self.device_id = _get_device()

    @property
    def done(self) -> bool:
        _forbid_in_capture("asking whether an event happened")
        machine.calls["event asked"] += 1
        return self.happened >= self.count

    def record(self, stream: Stream | None = None) -> None:
        _forbid_in_capture("recording an event that is not of the graph")
        machine.calls["event recorded"] += 1
        assert self.device_id == _get_device(), "the event is of another device"
        self.count, self.stream = self.count + 1, stream or get_current_stream()
        self.stream.work.append(partial(self._happen, self.count))

    def _happen(self, count: int) -> None:
        self.happened, self.microseconds = count, machine.microseconds

    def synchronize(self) -> None:
        _forbid_in_capture("waiting for an event")
        machine.calls["wait of the host"] += 1
        self.stream.work_until(self, self.count)


def get_elapsed_time(start: Event, end: Event) -> float:
    assert start.done and end.done
    assert not (start.disable_timing or end.disable_timing)
    return (end.microseconds - start.microseconds) / 1e3


# Memory ---------------------------------------------------------------------------------------------------------------


class _Memory:
    """Memory of a device, given back to the pool when the last array in it goes."""

    def __init__(self, size: int) -> None:
        _forbid_in_capture("allocating")
        machine.calls["array"] += 1
        _use_device()
        stream, pool = get_current_stream(), machine.pools[_get_device()]
        self.device_id = machine.current
        self.bytes = pool.take(size, stream.ptr)
        weakref.finalize(self, pool.give_back, self.bytes, stream.ptr, stream.work).atexit = False


class _MemoryPool:
    def used_bytes(self) -> int:
        machine.calls["memory counted"] += 1
        return machine.pools[_get_device()].used

    def total_bytes(self) -> int:
        return machine.pools[_get_device()].reserved

    def free_all_blocks(self) -> None:
        machine.pools[_get_device()].free_all()

    def get_limit(self) -> int:
        return machine.pools[_get_device()].limit

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        machine.pools[_get_device()].limit = size or int((fraction or 0) * TOTAL)


def get_default_memory_pool() -> _MemoryPool:
    return _MemoryPool()


def alloc_pinned_memory(size: int) -> Any:
    """Memory that is used again as soon as it is let go of, and scribbled over before."""
    _forbid_in_capture("allocating")
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


# Arrays ---------------------------------------------------------------------------------------------------------------


class MemoryPointer:
    def __init__(self, ptr: int, device_id: int, mem: _Memory, host: np.ndarray) -> None:
        self.ptr, self.device_id, self.mem, self.host = ptr, device_id, mem, host

    def copy_from_device_async(self, src: MemoryPointer, size: int, stream: Stream | None = None) -> None:
        stream = stream or get_current_stream()
        stream.refuse_in_capture("D2D transfers")
        machine.calls["copy"] += 1
        _use_device()
        target, source = self.host, src.host
        assert size == target.nbytes == source.nbytes
        assert target.flags.c_contiguous and source.flags.c_contiguous
        stream.give(lambda: np.copyto(target.reshape(-1).view(np.uint8), source.reshape(-1).view(np.uint8)))

    def __add__(self, offset: int) -> MemoryPointer:
        assert self.host.flags.c_contiguous
        return MemoryPointer(self.ptr + offset, self.device_id, self.mem, self.host.reshape(-1).view(np.uint8)[offset:])

    def copy_from_host_async(self, mem: ctypes.c_void_p, size: int, stream: Stream | None = None) -> None:
        stream = stream or get_current_stream()
        stream.refuse_in_capture("H2D transfers")
        machine.calls["copy from the host"] += 1
        _use_device()
        assert self.host.flags.c_contiguous
        assert self.device_id == _get_device()
        target = self.host.reshape(-1).view(np.uint8)[:size]
        assert mem.value and target.size == size
        source = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(mem.value))
        stream.give(lambda: np.copyto(target, source))


class ndarray:
    """An array of a device: what CuPy's has, as far as gpunn may use it."""

    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(self, shape: Any, dtype: Any = float) -> None:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dtype, self.base = np.dtype(dtype), None
        self.memory = _Memory(int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize)
        size = int(np.prod(shape, dtype=np.int64))
        self.host = self.memory.bytes[: size * self.dtype.itemsize].view(self.dtype).reshape(shape)

    def _view(self, host: np.ndarray) -> ndarray:
        view = object.__new__(ndarray)
        view.host, view.dtype, view.memory = host, host.dtype, self.memory
        view.base = self if self.base is None else self.base
        return view

    @property
    def shape(self) -> tuple[int, ...]:
        return self.host.shape

    @property
    def strides(self) -> tuple[int, ...]:
        return self.host.strides

    @property
    def ndim(self) -> int:
        return self.host.ndim

    @property
    def size(self) -> int:
        return self.host.size

    @property
    def nbytes(self) -> int:
        return self.host.nbytes

    @property
    def itemsize(self) -> int:
        return self.host.itemsize

    @property
    def flags(self) -> Any:
        flags = self.host.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    @property
    def data(self) -> Any:
        address = self.host.__array_interface__["data"][0] if self.size else 0
        return MemoryPointer(address, self.memory.device_id, self.memory, self.host)

    @property
    def device(self) -> Device:
        return Device(self.memory.device_id)

    def __len__(self) -> int:
        return len(self.host)

    def __getitem__(self, key: Any) -> ndarray:
        key = key if isinstance(key, tuple) else (key,)
        assert all(k is None or k is Ellipsis or isinstance(k, (slice, int, np.integer)) for k in key), "no view"
        return self._view(self.host[key if any(k is Ellipsis for k in key) else (*key, ...)])

    def view(self, dtype: Any = None) -> ndarray:
        return self._view(self.host.view() if dtype is None else self.host.view(dtype))

    def reshape(self, *shape: Any) -> ndarray:
        host = self.host.reshape(*shape)
        assert not host.size or np.shares_memory(host, self.host), "this reshape copies"
        return self._view(host)

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self.host.transpose(*axes))

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return self._view(self.host.swapaxes(axis1, axis2))

    @property
    def T(self) -> ndarray:
        return self.transpose()

    def set(self, array: np.ndarray, stream: Stream | None = None) -> None:
        assert (array.dtype, array.shape) == (self.dtype, self.shape)
        assert self.flags.c_contiguous
        source, stream = np.ascontiguousarray(array), stream or get_current_stream()
        stream.refuse_in_capture("H2D transfers")
        host = self.host  # CuPy's arrays are not held by the work that is left to do
        stream.give(lambda: np.copyto(host, source.reshape(host.shape)))

    def get(self, stream: Stream | None = None, order: str = "C", out: np.ndarray | None = None) -> np.ndarray:
        assert self.flags.c_contiguous, "CuPy would copy this with a kernel of its own"
        (stream or get_current_stream()).synchronize()
        if out is None:
            return self.host.copy()
        assert (out.dtype, out.shape) == (self.dtype, self.shape)
        out[...] = self.host
        return out

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "descr": self.dtype.descr,
            "data": (self.data.ptr, False),
            "strides": None if self.flags.c_contiguous else self.strides,
            "stream": get_current_stream().ptr or 1,
            "version": 3,
        }

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        assert self.memory.device_id == _get_device(), "its stream is that of another device"
        return Capsule(self, get_current_stream(), stream)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.memory.device_id


class Capsule:
    """What DLPack gives: the array, the stream that its work is on, and the stream that the consumer asked for."""

    def __init__(self, array: ndarray, stream: Stream, consumer: Any) -> None:
        self.array, self.stream, self.consumer = array, stream, consumer


def empty(shape: Any, dtype: Any = float) -> ndarray:
    return ndarray(shape, dtype)


def from_dlpack(array: Any) -> ndarray:
    _, index = array.__dlpack_device__()
    with Device(index):
        capsule = array.__dlpack__(stream=get_current_stream().ptr or 1, max_version=(1, 0))
    return _without_base(capsule.array._view(capsule.array.host))


def asarray(array: Any) -> ndarray:
    if isinstance(array, ndarray):
        return array
    found = array.__cuda_array_interface__
    return _without_base(found["owner"]._view(found["owner"].host))


def broadcast_to(array: ndarray, shape: Any) -> ndarray:
    strides = np.broadcast_to(array.host, shape).strides
    return array._view(np.lib.stride_tricks.as_strided(array.host, shape, strides))


def may_share_memory(a: ndarray, b: ndarray) -> bool:
    return a.memory is b.memory and np.may_share_memory(a.host, b.host)


def nonzero(array: ndarray) -> tuple[ndarray, ...]:
    if not array.ndim:
        raise ValueError("Calling nonzero on 0d arrays is not allowed. Use cp.atleast_1d(scalar).nonzero() instead.")
    get_current_stream().synchronize()
    found = np.argwhere(array.host)
    places = ndarray(found.shape, np.int64)
    places.host[...] = found
    return tuple(places[:, axis] for axis in range(array.ndim))


def as_strided(array: ndarray, shape: Any, strides: Any) -> ndarray:
    return _without_base(array._view(np.lib.stride_tricks.as_strided(array.host, shape, strides)))


def _without_base(array: ndarray) -> ndarray:
    array.base = None
    return array


# Kernels --------------------------------------------------------------------------------------------------------------


def compile_text(name: str, types: dict[str, str], arch: str, major: int) -> Any:
    """In the place of NVRTC: a module's file holds the text."""
    assert (arch, major) == ("sm_90", machine.toolkit // 1000)
    options = (*compile_options(types), f"-I{kernel_folder()}")
    return SimpleNamespace(cubin=pickle.dumps((f'#line 1 "{name}"\n{kernel_text(name)}', options)))


class RawModule:
    def __init__(self, *, path: str) -> None:
        code, options = pickle.loads(Path(path).read_bytes())
        self.module = simulator.RawModule(code=code, options=options)
        self.loaded_on: set[int] = set()

    def get_function(self, name: str) -> Any:
        self.loaded_on.add(_get_device())
        return _Kernel(self, self.module.get_function(name))


class _Kernel:
    def __init__(self, module: RawModule, function: Any) -> None:
        self.module, self.function = module, function
        self.loaded = False

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        assert _get_device() in self.module.loaded_on, "the module is of another device"
        check_sizes(self.function, grid, block, shared_mem)
        check_bytes(self.function, args, ndarray)
        converted = tuple(map(_argument, args))

        def run() -> None:
            self.function(grid, block, converted, shared_mem=shared_mem)
            machine.microseconds += math.prod(grid)

        if not self.loaded:
            _forbid_in_capture("loading a kernel")
            self.loaded = True
        machine.calls["launch"] += 1
        if found := machine.broken.get(machine.current):
            raise CUDADriverError(found)
        get_current_stream().give(run)

    @property
    def attributes(self) -> dict[str, int]:
        return self.function.attributes

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self.function.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self.function.max_dynamic_shared_size_bytes = size


def _argument(a: Any) -> Any:
    if isinstance(a, ndarray):
        assert a.memory.device_id == machine.current, "the array is of another device"
        return a.host
    return a.copy() if isinstance(a, np.ndarray) else a


# NVTX -----------------------------------------------------------------------------------------------------------------


def _push(message: str, id_color: int = -1) -> None:
    assert type(message) is str
    machine.ranges.append(message)
    machine.marked.append("/".join(machine.ranges))


def _pop() -> None:
    machine.ranges.pop()


# The module -----------------------------------------------------------------------------------------------------------

runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=_device_count,
    getDevice=_get_device,
    getDeviceProperties=_properties,
    driverGetVersion=lambda: machine.driver,
    runtimeGetVersion=lambda: machine.toolkit,
    pointerGetAttributes=lambda pointer: SimpleNamespace(device=machine.devices - 1),
)
cuda = SimpleNamespace(
    runtime=runtime,
    driver=SimpleNamespace(CUDADriverError=CUDADriverError),
    Device=Device,
    Stream=Stream,
    Event=Event,
    Graph=Graph,
    get_current_stream=get_current_stream,
    get_elapsed_time=get_elapsed_time,
    alloc_pinned_memory=alloc_pinned_memory,
    nvtx=SimpleNamespace(available=True, RangePush=_push, RangePop=_pop),
)
lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=as_strided))
machine = _Machine(1, 12080, 12080)


@contextmanager
def installed(devices: int = 1, driver: int | None = None, toolkit: int = 12080) -> Iterator[_Machine]:
    """Inside, this is CuPy for a version of CUDA, on a machine with so many devices and such a driver."""
    global machine
    loader = _BACKENDS["cuda"]
    before = {name: sys.modules.pop(name, None) for name in ("cupy", "gpunn.backend.cuda")}
    original = nvrtc.compile_text, nvrtc.architecture, nvrtc.version
    machine = _Machine(devices, toolkit if driver is None else driver, toolkit)
    Stream.null = object.__new__(Stream)
    Stream.null.__init__(null=True)  # type: ignore[misc]
    sys.modules["cupy"] = sys.modules[__name__]
    nvrtc.compile_text = compile_text  # type: ignore[assignment]
    nvrtc.architecture = lambda capability, major: f"sm_{capability}"  # type: ignore[assignment,misc]
    nvrtc.version = lambda major=None: (toolkit // 1000, toolkit % 1000 // 10)
    register_backend("cuda", loader)  # forgets the devices and their backends
    try:
        yield machine
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
        gpunn.backend.__dict__.pop("cuda", None)
        if before["gpunn.backend.cuda"] is not None:
            gpunn.backend.cuda = before["gpunn.backend.cuda"]  # type: ignore[attr-defined]
        nvrtc.compile_text, nvrtc.architecture, nvrtc.version = original
        register_backend("cuda", loader)
