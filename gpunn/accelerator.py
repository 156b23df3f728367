"""The GPU, under names that do not say whose it is; as `torch.accelerator`."""

from __future__ import annotations

from typing import Any

from gpunn import cuda
from gpunn.backend.device import device
from gpunn.backend.dtypes import DTYPES

__all__ = [
    *("is_available", "current_accelerator", "device_count", "synchronize", "device_index", "set_device_index"),
    *("current_device_index", "current_device_idx", "set_device_idx", "current_stream", "memory_allocated"),
    *("max_memory_allocated", "memory_reserved", "reset_peak_memory_stats", "get_memory_info", "empty_cache"),
    *("empty_host_cache", "get_device_capability", "max_memory_reserved", "memory_stats"),
    "reset_accumulated_memory_stats",
]


def is_available() -> bool:
    """Whether there is a GPU that can be used."""
    return cuda.is_available()


def current_accelerator(check_available: bool = False) -> device | None:
    """The kind of device, ``cuda``; None where there is none."""
    return device("cuda") if cuda.is_available() else None


def device_count() -> int:
    """How many there are."""
    return cuda.device_count()


def synchronize(device: Any = None) -> None:
    """Wait for all work on it; at once where there is none."""
    if cuda.is_available():
        cuda.synchronize(device)


device_index = cuda.device
"""A context in which another device is the current one."""


def set_device_index(device: Any) -> None:
    """Make a device the current one."""
    cuda.set_device(device)


def current_device_index() -> int:
    """The index of the current device.

    Raises:
        DeviceError: there is none.
    """
    return cuda.current_device()


current_device_idx, set_device_idx = current_device_index, set_device_index


def current_stream(device: Any = None) -> cuda.Stream:
    """The stream on which work is done."""
    return cuda.current_stream(device)


def memory_allocated(device_index: Any = None) -> int:
    """The bytes in use on a device."""
    return cuda.memory_allocated(device_index)


def max_memory_allocated(device_index: Any = None) -> int:
    """The most bytes that were in use at a time."""
    return cuda.max_memory_allocated(device_index)


def memory_reserved(device_index: Any = None) -> int:
    """The bytes that the pool holds, in use or not."""
    return cuda.memory_reserved(device_index)


def reset_peak_memory_stats(device_index: Any = None) -> None:
    """Count `max_memory_allocated` anew from here."""
    cuda.reset_peak_memory_stats(device_index)


def get_memory_info(device_index: Any = None) -> tuple[int, int]:
    """The bytes that are free on a device, and all that it has."""
    return cuda.mem_get_info(device_index)


def empty_cache() -> None:
    """Give what the pool holds and nobody uses back to the device; nothing where there is none."""
    if cuda.is_available():
        cuda.empty_cache()


def empty_host_cache() -> None:
    """Nothing: no memory of the host is kept."""


def get_device_capability(device_index: Any = None) -> dict[str, set[Any]]:
    """The types that a device computes with, as ``{"supported_dtypes": {...}}``.

    Raises:
        DeviceError: there is no device.
    """
    cuda.get_device_capability(device_index)
    return {"supported_dtypes": set(DTYPES)}


def max_memory_reserved(device_index: Any = None) -> int:
    """The bytes that the pool holds: it gives none back by itself, so that it never held more since `empty_cache`."""
    return cuda.memory_reserved(device_index)


def memory_stats(device_index: Any = None) -> dict[str, int]:
    """What the functions above say, by PyTorch's keys; empty where there is no GPU."""
    if not cuda.is_available():
        return {}
    return {
        "allocated_bytes.all.current": cuda.memory_allocated(device_index),
        "allocated_bytes.all.peak": cuda.max_memory_allocated(device_index),
        "reserved_bytes.all.current": cuda.memory_reserved(device_index),
    }


def reset_accumulated_memory_stats(device_index: Any = None) -> None:
    """Nothing: no sums are kept."""
