"""The device ``cuda``: the CUDA kernels on CuPy arrays, launched on CuPy's current stream.

Arrays come from CuPy's memory pool, and are CuPy arrays, so that what a user computes with CuPy and what gpunn computes
follow one another on one stream without a copy. Only public interfaces of CuPy are used.

The kernels are compiled by `gpunn.backend.nvrtc`, not by CuPy: CuPy adds ``-ftz=true``, with which float32 numbers
below 1.2e-38 become 0, and its cache does not notice when a header changes.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, cached_property, wraps
from typing import Any, NamedTuple, NoReturn, TypeVar, cast
from weakref import WeakSet

import numpy as np

from gpunn.printing import bytes_text

from . import dlpack, nvrtc, recording, tensor_map
from .compile_ahead import compile_ahead
from .cublaslt import of_device
from .cuda_ahead import CopiesAhead
from .cuda_failures import FORKED, why_failed, why_no_context
from .cuda_files import file_of
from .cuda_module import OnItsDevice
from .cuda_staging import Staging
from .cuda_versions import times_depend_on, version
from .device import DeviceError, OutOfMemoryError
from .kernel import KernelBackend
from .kernel.tuning import tuner_of
from .launch import Launcher, Text
from .nvrtc import Compiled, Job

INSTALL = "pip install 'gpunn[cuda12]', or 'gpunn[cuda13]' for a driver of CUDA 13 (nvidia-smi says which)"

try:
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # where warnings are errors, one of CuPy's is no reason to have no GPU
        import cupy
except ImportError as error:
    _said = str(error.__cause__ or error).strip().splitlines()[-1]
    _why = "is not installed" if error.name == "cupy" else f"can't be imported ({_said})"
    raise ImportError(f"the device cuda needs CuPy, which {_why}; {INSTALL}", name="cupy") from error

Array = Any
F = TypeVar("F", bound=Callable[..., Any])
_HERE: AbstractContextManager[Any] = nullcontext()
_CUDA_ERRORS = cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError


def why_unusable() -> str:
    """Why no CUDA device can be used, in one line; empty if one can."""
    runtime = cupy.cuda.runtime
    try:
        if runtime.getDeviceCount():
            return ""
        return "the driver has no device"
    except RuntimeError as error:
        if "cudaErrorInitializationError" in str(error):
            return FORKED
        driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        if not driver:
            return "there is no NVIDIA driver"
        if driver // 1000 < needed // 1000:
            return f"the NVIDIA driver is for CUDA {version(driver)}, and this CuPy is for CUDA {version(needed)}"
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return f"{error}" + ("" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})")


def _told(method: F) -> F:
    """A method of a backend, or of something that has one, whose errors of CUDA say what they mean."""

    @wraps(method)
    def told(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except _CUDA_ERRORS as error:
            raise DeviceError(f"cuda:{self.ordinal} has failed: {why_failed(error)}") from error

    return cast(F, told)


_made: WeakSet[CudaBackend] = WeakSet()


def _after_fork() -> None:
    """CUDA would fail in other words, and somewhere."""
    for backend in _made:
        for name in ("allocate", "write", "transfer", "read", "to_numpy", "synchronize", "memory", "launcher"):
            setattr(backend, name, backend.not_here)


os.register_at_fork(after_in_child=_after_fork)


class CudaBackend(KernelBackend):
    """The primitives on the CuPy arrays of one device.

    Attributes:
        ordinal: which device, counted from 0.
    """

    name = "cuda"
    xp = cupy
    streams = cupy.cuda
    cublaslt = of_device

    def __init__(self, index: int) -> None:
        if why := why_unusable():
            raise DeviceError(f"the device cuda:{index} can't be used: {why}")
        count = cupy.cuda.runtime.getDeviceCount()
        if index >= count:
            there = "the only one is cuda:0" if count == 1 else f"there are {count}, cuda:0 to cuda:{count - 1}"
            raise DeviceError(f"there is no device cuda:{index}; {there}")
        self.ordinal = index
        self.several = count > 1
        self.device = cupy.cuda.Device(index)
        self._peak: int | None = None
        self.launcher = CupyLauncher(self)
        self._pool = cupy.get_default_memory_pool()
        self._staging = Staging(cupy)
        try:
            with self.here():
                self.device.mem_info  # noqa: B018  the first call that needs the device itself
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"the device cuda:{index} can't be used: {why_no_context(error)}") from error
        self.tuner = tuner_of(self, lambda: times_depend_on(index))
        _made.add(self)

    def not_here(self, *_: Any, **__: Any) -> NoReturn:
        """Say that the device can't be used in a process that was forked off."""
        raise DeviceError(f"the device cuda:{self.ordinal} can't be used: {FORKED}")

    def here(self) -> AbstractContextManager[Any]:
        """A context in which this is CUDA's current device; it costs next to nothing where it already is."""
        if self.several and cupy.cuda.runtime.getDevice() != self.ordinal:
            there: AbstractContextManager[Any] = self.device
            return there
        return _HERE

    @cached_property
    def tensor_cores(self) -> bool:  # type: ignore[override]
        """From sm_80 on."""
        return int(self.device.compute_capability) >= 80

    @cached_property
    def warpgroups(self) -> bool:  # type: ignore[override]
        """On sm_90 alone."""
        return int(self.device.compute_capability) == 90

    def tensor_map(self, matrices: tensor_map.Matrices) -> Any:
        """The struct TensorMap of matrices.

        Raises:
            DeviceError: the driver can't make one.
            RuntimeError: it fails.
        """
        with self.here():
            return tensor_map.of_driver()(matrices)

    # Memory -----------------------------------------------------------------------------------------------------------

    @_told
    def allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        """Memory for `empty`.

        Raises:
            OutOfMemoryError: there is not so much memory.
        """
        if not self.several:
            return self._allocate(shape, dtype)
        with self.here():
            return self._allocate(shape, dtype)

    def _allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        try:
            array = cupy.empty(shape, dtype)
        except MemoryError as error:
            raise OutOfMemoryError(self._out_of_memory(shape, dtype)) from error
        if self._peak is not None:
            self._peak = max(self._peak, self._pool.used_bytes())
        return array

    def from_numpy(self, x: Any) -> Array:
        """A NumPy array as an array of this device; the copy is made while the host goes on."""
        y = self.empty(x.shape, x.dtype)
        self.write(x, y)
        return y

    @_told
    def write(self, x: Any, out: Array) -> None:
        """Copy a NumPy array to a row-major array of the same shape and type; the host goes on, and may change x."""
        recording.forbid("copies from the host")
        if out.size:
            with self.here():
                self._staging.copy(x, out)

    @_told
    def transfer(self, x: Array, out: Array) -> None:
        """Copy a row-major array to another one of the same shape and type, without a kernel: quicker for the host."""
        recording.forbid("copies without a kernel")
        with self.here():
            out.data.copy_from_device_async(x.data, x.nbytes)

    @_told
    def copies_ahead(self, ahead: int = 1) -> CopiesAhead:
        """Copies from the host on a stream of their own, so many of them at once."""
        with self.here():
            return CopiesAhead(self, ahead)

    def to_numpy(self, x: Array) -> Any:
        """An array of this device as a NumPy array, when all work on it is done."""
        recording.forbid("reads from the device")
        with self.here():
            y = self.read(self.contiguous(x))
            self.look()
        return y

    @_told
    def read(self, x: Array) -> Any:
        """As `to_numpy`, of a row-major array, without a look at what checks have found."""
        y = np.empty(x.shape, x.dtype)
        if y.size:
            x.get(out=y)
        return y

    @_told
    def synchronize(self) -> None:
        """Wait until all work on this device is done, on all of its streams."""
        recording.forbid("waits for the device")
        with self.here():
            self.device.synchronize()
            self.look()

    def address(self, x: Array) -> int:
        """The address of the first element."""
        return int(x.data.ptr)

    @_told
    def memory(self) -> Memory:
        """The device's memory now."""
        with self.here():
            pool = self._pool
            return Memory(pool.used_bytes(), pool.total_bytes(), pool.get_limit(), *self.device.mem_info)

    def peak(self) -> int:
        """The most bytes of CuPy's pool that were in use just after gpunn took some.

        It is looked for from the first time that somebody wants to know, since CuPy 14.0 walks over all arrays to count
        them. For the time before, what the pool has taken from the device is the answer, which is never less.
        """
        if self._peak is None:
            with self.here():
                self._peak = self._pool.total_bytes()
        return self._peak

    def reset_peak(self) -> None:
        """Look for the peak from now on."""
        with self.here():
            self._peak = self._pool.used_bytes()

    def empty_cache(self) -> None:
        """Give back to the device what CuPy's pool keeps for later."""
        with self.here():
            self._pool.free_all_blocks()

    def limit_memory(self, fraction: float) -> None:
        """Let CuPy's pool take at most this part of the device's memory."""
        with self.here():
            self._pool.set_limit(size=max(1, int(fraction * self.device.mem_info[1])))

    def _out_of_memory(self, shape: Sequence[int], dtype: Any) -> str:
        m = self.memory()
        asked = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        limit = f", which may take {bytes_text(m.limit)}" if m.limit else ""
        return (
            f"cuda:{self.ordinal} is out of memory: {bytes_text(asked)} were asked for, for an array {tuple(shape)} of "
            f"{np.dtype(dtype).name}; arrays take {bytes_text(m.used)}, CuPy's pool keeps "
            f"{bytes_text(m.reserved - m.used)} more{limit}, and {bytes_text(m.free)} of {bytes_text(m.total)} are "
            "free. Take smaller batches, let go of results that hold a graph (loss.item(), not loss), evaluate under "
            "no_grad(); nvidia-smi shows what else runs there"
        )


class Memory(NamedTuple):
    """Bytes of one device: used by arrays, reserved by CuPy's pool, its limit (0: none); free and in all."""

    used: int
    reserved: int
    limit: int
    free: int
    total: int


# What goes through CuPy itself makes its arrays on the current device, and has to find the right one there.
def _on_its_device(primitive: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(primitive)
    def on_its_device(self: CudaBackend, *args: Any, **kwargs: Any) -> Any:
        with self.here():
            return primitive(self, *args, **kwargs)

    return on_its_device


for _name, _primitive in inspect.getmembers(KernelBackend, inspect.isfunction):
    if getattr(_primitive, "generic", False):
        setattr(CudaBackend, _name, _on_its_device(_primitive))


@cache
def backend(index: int) -> CudaBackend:
    """The one backend of a device.

    Raises:
        DeviceError: there is no such device, or no driver.
        ValueError: the environment asks for a way of tuning that there is not.
    """
    return CudaBackend(index)


# Kernels --------------------------------------------------------------------------------------------------------------


class CupyLauncher(Launcher):
    """Compiles kernels for one device, and launches them through CuPy."""

    def __init__(self, backend: CudaBackend) -> None:
        of_device = (lambda a: a.data.device_id) if backend.several else None
        super().__init__(cupy.RawModule, cupy.ndarray, of_device, backend.ordinal)
        self.backend, self.ordinal = backend, backend.ordinal

    compiles_ahead = True
    __call__ = _told(Launcher.__call__)

    @cached_property
    def target(self) -> tuple[str, int]:
        """The architecture to compile for, and the version of CUDA whose compiler does: that of CuPy."""
        major = cupy.cuda.runtime.runtimeGetVersion() // 1000
        return nvrtc.architecture(int(self.backend.device.compute_capability), major), major

    def compile(self, text: Text, source: str) -> Any:
        """The compiled module of one kernel of a text."""
        arch, major = self.target
        return self._module(nvrtc.compile_job(Job.of(text, arch), major))

    def prepare(self, texts: Iterable[Text], note: Callable[[str], None] | None = None) -> None:
        """Compile these texts side by side, or find them where they are kept, before they are launched."""
        arch, major = self.target
        new = {Job.of(text, arch): text for text in texts if text not in self._modules}
        for job, compiled in compile_ahead(list(new), major, note).items():
            self._modules[new[job]] = self._module(compiled)

    def _module(self, compiled: Compiled) -> Any:
        module = cupy.RawModule(path=str(file_of(compiled.cubin)))
        return OnItsDevice(module, self.backend) if self.backend.several else module


# Other libraries' arrays ----------------------------------------------------------------------------------------------


def adopt(x: Any) -> Array:
    """The memory of any library's array on a CUDA device as a CuPy array, to be used on CuPy's current stream.

    Args:
        x: a CuPy array, itself returned, or an array with ``__dlpack__`` or ``__cuda_array_interface__``.
    """
    if isinstance(x, cupy.ndarray):
        return x
    if hasattr(x, "__dlpack__"):
        return dlpack.adopt(x, cupy.from_dlpack).view()  # as a view it says that the memory is not its own
    pointer = x.__cuda_array_interface__["data"][0]
    runtime = cupy.cuda.runtime
    # On another device than the array's CuPy would make a copy.
    with cupy.cuda.Device(runtime.pointerGetAttributes(pointer).device if pointer else runtime.getDevice()):
        return cupy.asarray(x).view()
