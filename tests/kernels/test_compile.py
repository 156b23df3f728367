"""Every kernel compiles for GPUs without spilling registers, for the oldest, a recent or the newest architecture, and
for some choices of types. `make arch` takes all types and all architectures. NVRTC needs no GPU."""

from __future__ import annotations

import zlib

import pytest

from gpunn.backend.compilations import THOROUGH, is_sampled, jobs
from gpunn.backend.kernel_texts import kernel_names, kernel_text
from gpunn.backend.nvrtc import Job, NvrtcMissing, compile_text, version
from gpunn.backend.signature import only_architecture

NEWEST = "sm_120"
ARCHITECTURES = (*THOROUGH, NEWEST)


def _architecture(text: str) -> str:
    """A third of the texts are compiled for each."""
    alone = only_architecture(kernel_text(text))
    return alone[:-1] or ARCHITECTURES[zlib.crc32(text.encode()) % len(ARCHITECTURES)]


def _cuda(arch: str) -> int | None:
    """For the newest architecture the newer compiler, if it is there."""
    try:
        return version(13)[0] if arch == NEWEST else None
    except NvrtcMissing:
        return None


CHOSEN = [job for job in jobs(ARCHITECTURES) if is_sampled(job) and job.arch == _architecture(job.text)]


def test_every_text_is_among_them() -> None:
    assert {job.text for job in CHOSEN} == {name for name in kernel_names() if name.endswith(".cu")}


@pytest.mark.parametrize("job", CHOSEN, ids=str)
def test_compiles_without_spills_or_warnings(cuda_compiler: None, job: Job) -> None:
    made = compile_text(job.text, dict(job.types), job.arch, _cuda(job.arch))
    assert made.kernels
    assert {name: usage for name, usage in made.kernels.items() if usage.spills} == {}
    assert made.warnings == []
