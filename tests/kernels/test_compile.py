"""Every kernel text compiles for GPUs, for every choice of types, without spilling registers: NVRTC needs no GPU."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from gpunn.backend.nvrtc import Compiled, Job, NvrtcMissing, compile_text, jobs, version

# The oldest architecture and the one that most is written for. `make arch` takes all.
JOBS = jobs(["sm_75", "sm_90"])


@pytest.fixture(scope="module")
def compiled(request) -> Iterator[dict[Job, Future[Compiled]]]:
    """All results to come: they are made on all cores, while the tests wait for theirs."""
    try:
        version()
    except NvrtcMissing as missing:
        pytest.skip(str(missing))
    wanted = {item.callspec.params["job"] for item in request.session.items if item.module is request.module}
    with ThreadPoolExecutor(2) as pool:
        yield {job: pool.submit(compile_text, job.text, dict(job.types), job.arch) for job in JOBS if job in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("job", JOBS, ids=str)
def test_compiles_without_spills_or_warnings(job: Job, compiled: dict[Job, Future[Compiled]]) -> None:
    made = compiled[job].result()
    assert made.kernels
    assert {name: usage for name, usage in made.kernels.items() if usage.spills} == {}
    assert made.warnings == []
