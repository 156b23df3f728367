"""Every kernel text compiles for GPUs, for every choice of types, without spilling registers: NVRTC needs no GPU."""

from __future__ import annotations

import pytest

from gpunn.backend.nvrtc import THOROUGH, Job, NvrtcMissing, compile_text, jobs


@pytest.mark.parametrize("job", jobs(THOROUGH), ids=str)  # `make arch` takes all architectures
def test_compiles_without_spills_or_warnings(job: Job) -> None:
    try:
        made = compile_text(job.text, dict(job.types), job.arch)
    except NvrtcMissing as missing:
        pytest.skip(str(missing))
    assert made.kernels
    assert {name: usage for name, usage in made.kernels.items() if usage.spills} == {}
    assert made.warnings == []
