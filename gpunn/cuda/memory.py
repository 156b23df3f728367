"""Memory of a device. It is CuPy's memory pool that is asked, in bytes.

Where CuPy was given another allocator (such as RMM's), its pool is empty, and that allocator knows what is in use.
"""

from __future__ import annotations

from typing import Any

from .devices import backend_of, is_available


def memory_allocated(device: Any = None) -> int:
    """What arrays take on the current or the given device, gpunn's and CuPy's."""
    return backend_of(device).memory().used


def memory_reserved(device: Any = None) -> int:
    """What CuPy's pool has taken from the device: what arrays take, and what it keeps for the next ones."""
    return backend_of(device).memory().reserved


def max_memory_allocated(device: Any = None) -> int:
    """The most that `memory_allocated` was, since the start or `reset_peak_memory_stats`.

    CuPy keeps no such number. From the first call of this function or of `reset_peak_memory_stats` on gpunn looks each
    time that it takes memory itself, so what CuPy's own functions took and gave back in between is not seen. For the
    time before that call it is `memory_reserved`, which may be more than the peak was.
    """
    peak: int = backend_of(device).peak()
    return peak


def reset_peak_memory_stats(device: Any = None) -> None:
    """Begin anew with what is in use now."""
    backend_of(device).reset_peak()


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total memory of the device, of which other programs take their part too."""
    found = backend_of(device).memory()
    return found.free, found.total


def free_memory(device: Any = None) -> int:
    """What new arrays can take: what is free on the device, and what CuPy's pool keeps, up to the pool's limit."""
    found = backend_of(device).memory()
    free = found.free + found.reserved - found.used
    return min(free, found.limit - found.used) if found.limit else free


def empty_cache() -> None:
    """Give back what CuPy's pool keeps on the current device; without a GPU do nothing."""
    if is_available():
        backend_of(None).empty_cache()


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Let CuPy's pool take at most this part of the device's memory.

    Raises:
        ValueError: it is not above 0 and up to 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is above 0 and up to 1, got {fraction}")
    backend_of(device).limit_memory(fraction)
