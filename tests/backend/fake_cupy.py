"""A CuPy without a GPU: the public names that gpunn uses, on arrays in the host's memory, with the simulator's kernels.

It is strict where CuPy is, and where CuPy lets something pass that is wrong or slow. Device arrays are no NumPy arrays,
have no arithmetic, and are never read in passing; a reshape that would copy, an array used on another device than its
own, and a NumPy array in the place of a pointer are errors. Work on a stream is done late, when somebody waits for it,
so that memory which changes too early, or is read too early, gives wrong results here too.
"""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import gpunn.backend
from gpunn.backend import nvrtc, simulator
from gpunn.backend.device import _BACKENDS, register_backend
from gpunn.backend.kernel_texts import kernel_folder, kernel_text
from gpunn.backend.launch import compile_options
from gpunn.backend.signature import signatures

from . import fake_device
from .fake_arrays import (  # noqa: F401
    Capsule,
    MemoryPointer,
    as_strided,
    asarray,
    broadcast_to,
    empty,
    from_dlpack,
    may_share_memory,
    ndarray,
    nonzero,
)
from .fake_device import (  # noqa: F401
    CUDARuntimeError,
    Device,
    Event,
    Graph,
    Machine,
    Stream,
    alloc_pinned_memory,
    device_count,
    forbid_in_capture,
    get_current_stream,
    get_default_memory_pool,
    get_device,
    get_elapsed_time,
    properties,
)
from .fake_launch import CUDADriverError, check_bytes, check_sizes
from .fake_pool import TOTAL  # noqa: F401

__version__ = "14.0.0"


# Kernels --------------------------------------------------------------------------------------------------------------


def compile_job(job: nvrtc.Job, major: int) -> Any:
    """In the place of NVRTC: a module's file holds the text, with all of its kernels, which g++ compiles once."""
    assert job.kernel in signatures(kernel_text(job.text))
    assert (job.arch, major) == ("sm_90", fake_device.machine.toolkit // 1000)
    options = (*compile_options(dict(job.types)), f"-I{kernel_folder()}")
    return SimpleNamespace(cubin=pickle.dumps((f'#line 1 "{job.text}"\n{kernel_text(job.text)}', options)))


class RawModule:
    def __init__(self, *, path: str) -> None:
        code, options = pickle.loads(Path(path).read_bytes())
        self.module = simulator.RawModule(code=code, options=options)
        self.loaded_on: set[int] = set()

    def get_function(self, name: str) -> Any:
        self.loaded_on.add(get_device())
        return _Kernel(self, self.module.get_function(name))


class _Kernel:
    def __init__(self, module: RawModule, function: Any) -> None:
        self.module, self.function = module, function
        self.loaded = False

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        assert get_device() in self.module.loaded_on, "the module is of another device"
        check_sizes(self.function, grid, block, shared_mem)
        check_bytes(self.function, args, ndarray)
        converted = tuple(map(_argument, args))

        def run() -> None:
            self.function(grid, block, converted, shared_mem=shared_mem)
            fake_device.machine.microseconds += math.prod(grid)

        if not self.loaded:
            forbid_in_capture("loading a kernel")
            self.loaded = True
        fake_device.machine.calls["launch"] += 1
        if found := fake_device.machine.broken.get(fake_device.machine.current):
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
        assert a.memory.device_id == fake_device.machine.current, "the array is of another device"
        return a.host
    return a.copy() if isinstance(a, np.ndarray) else a


# NVTX -----------------------------------------------------------------------------------------------------------------


def _push(message: str, id_color: int = -1) -> None:
    assert type(message) is str
    fake_device.machine.ranges.append(message)
    fake_device.machine.marked.append("/".join(fake_device.machine.ranges))


def _pop() -> None:
    fake_device.machine.ranges.pop()


# The module -----------------------------------------------------------------------------------------------------------

runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=device_count,
    getDevice=get_device,
    getDeviceProperties=properties,
    driverGetVersion=lambda: fake_device.machine.driver,
    runtimeGetVersion=lambda: fake_device.machine.toolkit,
    pointerGetAttributes=lambda pointer: SimpleNamespace(device=fake_device.machine.devices - 1),
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


@contextmanager
def installed(devices: int = 1, driver: int | None = None, toolkit: int = 12080) -> Iterator[Machine]:
    """Inside, this is CuPy for a version of CUDA, on a machine with so many devices and such a driver."""
    loader = _BACKENDS["cuda"]
    before = {name: sys.modules.pop(name, None) for name in ("cupy", "gpunn.backend.cuda")}
    original = nvrtc.compile_job, nvrtc.architecture, nvrtc.version
    fake_device.machine = machine = Machine(devices, toolkit if driver is None else driver, toolkit)
    Stream.null = object.__new__(Stream)
    Stream.null.__init__(null=True)  # type: ignore[misc]
    sys.modules["cupy"] = sys.modules[__name__]
    nvrtc.compile_job = compile_job  # type: ignore[assignment]
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
        nvrtc.compile_job, nvrtc.architecture, nvrtc.version = original
        register_backend("cuda", loader)
