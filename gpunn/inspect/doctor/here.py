"""What kernels are compiled for on this machine, found without CuPy being imported."""

from __future__ import annotations

from gpunn.backend import nvrtc

from .cuda import installed_cupy, major_of
from .nvidia import driver

ELSEWHERE = "sm_90"
"""Where there is no GPU: that which most is written for."""


def cuda_here() -> int | None:
    """The version of CUDA whose compiler the device cuda takes: that of the CuPy that is there; None without one."""
    installed = installed_cupy()
    return major_of(installed[0][0]) if len(installed) == 1 else None


def architectures_here(major: int | None) -> list[str]:
    """What to compile for on the GPUs of this machine.

    Args:
        major: of CUDA, whose NVRTC is to compile.

    Raises:
        NvrtcMissing: there is no NVRTC.
        CompileError: a GPU is older than all that it compiles for.
    """
    found = driver()
    gpus = found.gpus if found is not None else []
    capabilities = {10 * gpu.capability[0] + gpu.capability[1] for gpu in gpus}
    return [nvrtc.architecture(c, major) for c in sorted(capabilities)] or [ELSEWHERE]
