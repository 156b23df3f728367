"""What there is of NVIDIA on a machine, asked of the driver and the libraries themselves: CuPy need not be there."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunn.backend import cuda_library

_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h."""


@dataclass(frozen=True)
class Gpu:
    """One device: its name, its compute capability, and its memory in bytes (free is None where it can't be asked)."""

    name: str
    capability: tuple[int, int]
    total: int
    free: int | None


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver.

    Attributes:
        cuda: the newest CUDA that it runs, such as (12, 4).
        release: its own version, such as "550.54.15"; empty where it does not say.
        gpus: the devices that it has.
        error: why it has none, in its own words; empty if it works.
    """

    cuda: tuple[int, int]
    release: str
    gpus: list[Gpu]
    error: str = ""


def driver(library: str = "libcuda.so.1") -> Driver | None:
    """The driver and its devices; None where there is no driver."""
    try:
        c: Any = ctypes.CDLL(library)
    except OSError:
        return None
    number = ctypes.c_int()
    c.cuDriverGetVersion(ctypes.byref(number))
    cuda = _version(number.value)
    if failed := c.cuInit(0):
        return Driver(cuda, _release(), [], _error(c, failed))
    c.cuDeviceGetCount(ctypes.byref(number))
    return Driver(cuda, _release(), [_gpu(c, i) for i in range(number.value)])


def _gpu(c: Any, index: int) -> Gpu:
    device, number = ctypes.c_int(), ctypes.c_int()
    name, total = ctypes.create_string_buffer(256), ctypes.c_size_t()
    c.cuDeviceGet(ctypes.byref(device), index)
    c.cuDeviceGetName(name, len(name), device)
    c.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    capability = []
    for attribute in (_MAJOR, _MINOR):
        c.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        capability.append(number.value)
    return Gpu(name.value.decode(), (capability[0], capability[1]), total.value, _free_memory(c, device))


def _free_memory(c: Any, device: Any) -> int | None:
    """What is free; it takes a context, which takes some memory itself and is left again."""
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    if c.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return None
    try:
        c.cuCtxPushCurrent_v2(context)
        failed = c.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        c.cuCtxPopCurrent_v2(ctypes.byref(context))
        return None if failed else free.value
    finally:
        c.cuDevicePrimaryCtxRelease_v2(device)


def _error(c: Any, code: int) -> str:
    text = ctypes.c_char_p()
    c.cuGetErrorString(code, ctypes.byref(text))
    return text.value.decode() if text.value else f"error {code}"


def _release() -> str:
    """The driver's own version; in WSL, where the driver is Windows's, there is no such file."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text().split()
    except OSError:
        return ""
    return next((w for w in words if w[:1].isdigit() and "." in w), "")


def _version(number: int) -> tuple[int, int]:
    """12040 is 12.4."""
    return number // 1000, number % 1000 // 10


def libraries(major: int | None = None) -> dict[str, tuple[str, str] | None]:
    """Version and file of NVRTC, cuBLAS and the CUDA runtime; None for one that is not there.

    Args:
        major: of CUDA; by default the newest one of each library.
    """
    found: dict[str, tuple[str, str] | None] = {}
    for name, version_of in _LIBRARIES.items():
        library = cuda_library.load(name, cuda_library.MAJORS if major is None else (major,))
        found[name] = None if library is None else (version_of(library), library._name)
    return found


def _nvrtc(c: Any) -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    c.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def _cublas(c: Any) -> str:
    numbers = []
    for part in range(3):  # libraryPropertyType of library_types.h: major, minor, patch
        number = ctypes.c_int()
        c.cublasGetProperty(part, ctypes.byref(number))
        numbers.append(str(number.value))
    return ".".join(numbers)


def _cudart(c: Any) -> str:
    number = ctypes.c_int()
    c.cudaRuntimeGetVersion(ctypes.byref(number))
    return "{}.{}".format(*_version(number.value))


_LIBRARIES: dict[str, Callable[[Any], str]] = {"nvrtc": _nvrtc, "cublas": _cublas, "cudart": _cudart}
