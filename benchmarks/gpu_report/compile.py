"""All kernels compiled for the device, on all cores, so that what follows measures kernels and not their compiler."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gpunn.backend import compilations, nvrtc

from .setup import Row, Setup


def compile_kernels(setup: Setup) -> Iterator[Row]:
    """A row for each kernel that does not compile, and how many did, in what time; what is kept takes none."""
    if setup.device.type != "cuda":
        yield {"compiled": 0, "seconds": 0.0}  # the simulator has a compiler of its own
        return
    arch, major = setup.device.backend.launcher.target
    jobs = compilations.each_kernel(compilations.jobs([arch], ["fill.cu"] if setup.tiny else None))
    start = time.perf_counter()
    made = nvrtc.compile_all(jobs, major=major)
    failed = {str(job): error for job, error in made.items() if isinstance(error, nvrtc.CompileError)}
    for name, error in failed.items():
        yield {"kernel": name, "error": str(error)[:300]}
    yield {"compiled": len(made) - len(failed), "seconds": round(time.perf_counter() - start, 1)}
