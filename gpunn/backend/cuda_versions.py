"""What results on a CUDA device depend on."""

from __future__ import annotations

from . import nvrtc


def versions(ordinal: int) -> dict[str, str]:
    """The GPU of that number, its driver, CuPy, CUDA and its compiler."""
    import cupy

    runtime = cupy.cuda.runtime
    found = runtime.getDeviceProperties(ordinal)
    cuda = runtime.runtimeGetVersion()
    return {
        "gpu": found["name"].decode(),
        "compute_capability": f"{found['major']}.{found['minor']}",
        "cuda_driver": version(runtime.driverGetVersion()),
        "cupy": cupy.__version__,
        "cuda_runtime": version(cuda),
        "nvrtc": "{}.{}".format(*nvrtc.version(cuda // 1000)),
    }


def times_depend_on(ordinal: int) -> dict[str, str]:
    """Of these, what the times of kernels depend on."""
    found = versions(ordinal)
    return {name: found[name] for name in ("gpu", "cuda_driver", "nvrtc")}


def version(number: int) -> str:
    """A version of CUDA, such as "12.8" for 12080."""
    return f"{number // 1000}.{number % 1000 // 10}"
