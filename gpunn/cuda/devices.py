"""Which devices there are, and which one is current."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpunn.backend.device import cuda_device

if TYPE_CHECKING:
    from gpunn.backend.cuda import CudaBackend


def is_available() -> bool:
    """Whether there is a GPU that can be used. Never raises an error."""
    return not why_unavailable()


def why_unavailable() -> str:
    """Why no GPU can be used, in one line; empty if one can."""
    try:
        from gpunn.backend.cuda import why_unusable

        return why_unusable()
    except Exception as error:  # whatever goes wrong while CuPy is loaded
        return str(error) or type(error).__name__


def device_count() -> int:
    """How many GPUs can be used."""
    if not is_available():
        return 0
    import cupy

    return int(cupy.cuda.runtime.getDeviceCount())


def current_device() -> int:
    """The index of CUDA's current device, which the device ``"cuda"`` means.

    Raises:
        ImportError: CuPy is not installed.
        DeviceError: there is no driver or no device.
    """
    return backend_of(None).ordinal


def set_device(device: Any) -> None:
    """Make a device the current one of this thread, for gpunn and CuPy alike.

    Args:
        device: an index, ``"cuda:1"``, or a device.
    """
    backend_of(device).device.use()


@contextmanager
def device(device: Any) -> Iterator[None]:
    """Inside, this device is the current one; with None nothing changes.

    Args:
        device: an index, ``"cuda:1"``, a device, or None.
    """
    with backend_of(device).device:
        yield


def synchronize(device: Any = None) -> None:
    """Wait until all work on the current or the given device is done, on all of its streams."""
    backend_of(device).synchronize()


@dataclass(frozen=True)
class DeviceProperties:
    """What a GPU is: sizes are in bytes, and what is named "per multiprocessor" or "per block" is the most of it."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    L2_cache_size: int
    warp_size: int
    max_threads_per_multi_processor: int
    regs_per_multiprocessor: int
    shared_memory_per_block: int
    shared_memory_per_block_optin: int
    shared_memory_per_multiprocessor: int


def get_device_properties(device: Any = None) -> DeviceProperties:
    """What the current or the given device is."""
    index = backend_of(device).ordinal
    import cupy

    found = cupy.cuda.runtime.getDeviceProperties(index)
    return DeviceProperties(
        name=found["name"].decode(),
        major=found["major"],
        minor=found["minor"],
        total_memory=found["totalGlobalMem"],
        multi_processor_count=found["multiProcessorCount"],
        L2_cache_size=found["l2CacheSize"],
        warp_size=found["warpSize"],
        max_threads_per_multi_processor=found["maxThreadsPerMultiProcessor"],
        regs_per_multiprocessor=found["regsPerMultiprocessor"],
        shared_memory_per_block=found["sharedMemPerBlock"],
        shared_memory_per_block_optin=found["sharedMemPerBlockOptin"],
        shared_memory_per_multiprocessor=found["sharedMemPerMultiprocessor"],
    )


def get_device_name(device: Any = None) -> str:
    """The name of the current or the given device."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of the current or the given device, such as (9, 0)."""
    found = get_device_properties(device)
    return found.major, found.minor


def versions(device: Any = None) -> dict[str, str]:
    """What results on the current or the given device depend on: the GPU, its driver, CuPy, CUDA and its compiler."""
    from gpunn.backend.cuda_versions import versions

    return versions(backend_of(device).ordinal)


def backend_of(device: Any) -> CudaBackend:
    """The backend of a device; of the current one for None.

    Raises:
        ValueError: this is no CUDA device.
        ImportError: CuPy is not installed.
        DeviceError: there is no such device, or no driver.
    """
    backend: CudaBackend = cuda_device(device).backend
    return backend
