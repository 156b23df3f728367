"""Every kernel compiles for GPUs without spilling registers, for the oldest, a recent or the newest architecture, and
for a choice of types. `make predicted` compiles what is used most for a recent one, and `make arch` everything. NVRTC
needs no GPU."""

from __future__ import annotations

import zlib

import pytest

from gpunn.backend.compilations import THOROUGH, is_sampled, jobs
from gpunn.backend.kernel_texts import kernel_names, kernel_text
from gpunn.backend.nvrtc import Job, NvrtcMissing, compile_job, version
from gpunn.backend.signature import only_architecture

NEWEST = "sm_120"
ARCHITECTURES = (*THOROUGH, NEWEST)


def _chosen(text: str) -> Job:
    """By the text's name one of those that are sampled; a third of the texts are compiled for each architecture.

    On the one that `make predicted` compiles for it is the last, which is not what is used most.
    """
    alone = only_architecture(kernel_text(text))
    number = zlib.crc32(text.encode())
    arch = alone[:-1] or ARCHITECTURES[number % len(ARCHITECTURES)]
    sampled = [job for job in jobs([arch], [text]) if is_sampled(job)]
    return sampled[-1 if arch == THOROUGH[-1] else number // len(ARCHITECTURES) % len(sampled)]


def _cuda(arch: str) -> int | None:
    """For the newest architecture the newer compiler, if it is there."""
    try:
        return version(13)[0] if arch == NEWEST else None
    except NvrtcMissing:
        return None


CHOSEN = [_chosen(name) for name in kernel_names() if name.endswith(".cu")]


@pytest.mark.parametrize("job", CHOSEN, ids=str)
def test_compiles_without_spills_or_warnings(cuda_compiler: None, job: Job) -> None:
    made = compile_job(job, _cuda(job.arch))
    assert made.kernels
    assert {name: usage for name, usage in made.kernels.items() if usage.spills} == {}
    assert made.warnings == []
