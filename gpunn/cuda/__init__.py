"""The GPU: which devices there are, their memory, streams and events. PyTorch's names and meanings, over CuPy.

CUDA's state is shared with CuPy: the current device and the current stream are CuPy's, and so is the memory pool.

The host does not wait for what checks find, such as a label that is no class: the error comes when it waits anyway, to
read an element or in `synchronize`, and up to then gpunn's optimizers change nothing. See `gpunn.backend.errors`.

Everything here can be imported without CuPy and without a GPU; `is_available` says whether one can be used, and
`why_unavailable` why not.
"""

from gpunn.backend.device import DeviceError, OutOfMemoryError

from . import nvtx
from .devices import (
    DeviceProperties,
    current_device,
    device,
    device_count,
    get_device_capability,
    get_device_name,
    get_device_properties,
    is_available,
    set_device,
    synchronize,
    versions,
    why_unavailable,
)
from .memory import (
    empty_cache,
    free_memory,
    max_memory_allocated,
    mem_get_info,
    memory_allocated,
    memory_reserved,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
)
from .streams import Event, Stream, current_stream, default_stream, stream

__all__ = [
    "is_available",
    "why_unavailable",
    "device_count",
    "current_device",
    "set_device",
    "device",
    "synchronize",
    "get_device_name",
    "get_device_capability",
    "get_device_properties",
    "DeviceProperties",
    "versions",
    "memory_allocated",
    "memory_reserved",
    "max_memory_allocated",
    "reset_peak_memory_stats",
    "mem_get_info",
    "free_memory",
    "empty_cache",
    "set_per_process_memory_fraction",
    "OutOfMemoryError",
    "DeviceError",
    "Stream",
    "Event",
    "stream",
    "current_stream",
    "default_stream",
    "nvtx",
]
