"""What there is of CUDA, and what keeps gpunn from a GPU that is there."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

from gpunn.backend.nvrtc import INSTALL
from gpunn.printing import bytes_text

from .finding import ABSENT, WRONG, Finding
from .nvidia import Driver, driver, libraries

OLDEST = (7, 5)
"""The lowest compute capability that the kernels are compiled for: Turing."""
_LIBRARIES = {
    "nvrtc": ("NVRTC", "it compiles the kernels"),
    "cublas": ("cuBLAS", "without it cupy.matmul, dot and linalg fail; gpunn has kernels of its own"),
    "cudart": ("CUDA runtime", "CuPy compiles with its headers"),
}


def findings() -> Iterator[Finding]:
    """Driver, devices, CuPy, libraries."""
    found, installed = driver(), installed_cupy()
    yield from driver_findings(found, gpu_is_there())
    yield cupy_finding(installed, found)
    major = major_of(installed[0][0]) if len(installed) == 1 else None
    extra = _extra(found) if major is None else f"cuda{major}"
    yield from library_findings(libraries(major), cupy_is_there=bool(installed), extra=extra)


def driver_findings(found: Driver | None, hardware: bool) -> Iterator[Finding]:
    """The driver and its devices.

    Args:
        found: the driver, or None.
        hardware: whether the machine has an NVIDIA GPU.
    """
    what = "NVIDIA driver"
    if found is None and hardware:
        yield Finding(what, "not found, but there is a GPU", WRONG, "install it from https://www.nvidia.com/drivers")
    elif found is None:
        yield Finding(what, "not found, and no NVIDIA GPU", ABSENT)
    elif found.error:
        yield Finding(what, f"{_version(found)}: {found.error}", WRONG, "nvidia-smi")
    else:
        yield Finding(what, _version(found))
        for i, gpu in enumerate(found.gpus):
            major, minor = gpu.capability
            free = "" if gpu.free is None else f", {bytes_text(gpu.free)} free"
            text = f"{gpu.name}, compute capability {major}.{minor}, {bytes_text(gpu.total)}{free}"
            if gpu.capability < OLDEST:
                yield Finding(f"GPU {i}", f"{text}; the kernels need 7.5 (Turing) or newer", WRONG)
            else:
                yield Finding(f"GPU {i}", text)


def cupy_finding(installed: list[tuple[str, str]], found: Driver | None) -> Finding:
    """CuPy: one wheel, of a version that gpunn is made for, for a CUDA that the driver runs.

    Args:
        installed: name and version of every CuPy that is installed.
        found: the driver, or None.
    """
    install = f"pip install 'gpunn[{_extra(found)}]'"
    if not installed:
        return Finding("CuPy", "not installed; the device cuda needs it", ABSENT, install)
    text = ", ".join(f"{name} {version}" for name, version in installed)
    replace = f"pip uninstall -y {' '.join(name for name, _ in installed)} && {install}"
    if len(installed) > 1:
        return Finding("CuPy", f"{text}: they overwrite one another", WRONG, replace)
    name, version = installed[0]
    if int(version.split(".")[0]) < 14:
        return Finding("CuPy", f"{text}; gpunn needs 14", WRONG, replace)
    major = major_of(name)
    if major is not None and found is not None and found.cuda[0] < major:
        text += f"; it needs a driver for CUDA {major}, and this one runs up to {found.cuda[0]}.{found.cuda[1]}"
        return Finding("CuPy", text, WRONG, replace)
    try:
        importlib.import_module("cupy")
    except Exception as error:  # CuPy's own words, whatever they are
        return Finding("CuPy", f"{text} can't be imported: {error}", WRONG, replace)
    return Finding("CuPy", text)


def library_findings(
    found: dict[str, tuple[str, str] | None], cupy_is_there: bool, extra: str = "cuda12"
) -> Iterator[Finding]:
    """NVRTC, cuBLAS, and the runtime, whose headers come with it. NVRTC by itself can check the kernels anywhere."""
    for name, library in found.items():
        what, purpose = _LIBRARIES[name]
        if library is not None:
            yield Finding(what, f"{library[0]} ({library[1]})")
            continue
        state = WRONG if cupy_is_there and name != "cublas" else ABSENT
        alone = name == "nvrtc" and not cupy_is_there
        wanted = f"{extra}-blas" if name == "cublas" else extra
        yield Finding(what, f"not found: {purpose}", state, INSTALL if alone else f"pip install 'gpunn[{wanted}]'")


def installed_cupy() -> list[tuple[str, str]]:
    """Name and version of every CuPy in this environment: there are several names for it."""
    names = {(d.metadata["Name"] or "", d.version) for d in importlib.metadata.distributions()}
    return sorted((name, version) for name, version in names if re.fullmatch(r"cupy(-cuda\w+|-rocm\S+)?", name))


def gpu_is_there() -> bool:
    """Whether the machine has an NVIDIA GPU, driver or not: by PCI's list, where the maker is 0x10de."""
    for device in Path("/sys/bus/pci/devices").glob("*"):
        try:
            maker, kind = ((device / part).read_text().strip() for part in ("vendor", "class"))
        except OSError:
            continue
        if maker == "0x10de" and kind.startswith("0x03"):  # a display controller, which computing GPUs are too
            return True
    return False


def major_of(name: str) -> int | None:
    """The CUDA that a wheel of CuPy is for: 12 for cupy-cuda12x; None where its name does not say."""
    match = re.fullmatch(r"cupy-cuda(\d+)x", name)
    return int(match[1]) if match else None


def _extra(found: Driver | None) -> str:
    """gpunn's extra that fits the driver."""
    return "cuda13" if found is not None and found.cuda >= (13, 0) else "cuda12"


def _version(found: Driver) -> str:
    return f"{found.release or 'version not known'}, runs CUDA up to {found.cuda[0]}.{found.cuda[1]}"
