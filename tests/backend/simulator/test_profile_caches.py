"""Counts of what caches would keep, of how many contend, and of some blocks only."""

from __future__ import annotations

import numpy as np
import pytest

from gpunn.backend.simulator import RawModule, SimulatorError

# What caches would keep ---------------------------------------------------------------------------------------------

REUSE = """
extern "C" __global__ void again(const float* x, float* y, int n) {
    const int t = threadIdx.x;
    float sum = 0;
    for (int k = 0; k < n; ++k) sum += x[t + k / n];   // 4 sectors of a line, and n - 1 = 3 times again at once
    for (int k = 0; k < 3; ++k) sum += x[32 * k + t];  // the first once more; two new lines of 4 sectors
    y[t] = sum + x[t + n / 5];                         // the first again, with two lines in between
}
extern "C" __global__ void by_turns(const float* x, float* y, int n) {
    const int t = threadIdx.x;
    float sum = 0;
    for (int k = 0; k < 8; ++k) sum += x[8 * (k % 2)];  // all warps take turns: two sectors of one line
    y[t] = sum;
}
"""


@pytest.mark.parametrize(
    ("kernel", "threads", "reads"),
    [
        ("again", 32, [12, 4 * 3 + 4, 0, 4]),
        # Two warps take turns with lines 0 and 1, four times each; then with 0 and 1, 1 and 2, 2 and 3; then 0 and 1.
        ("again", 64, [16, 4 + 4, 6 * 4 + 8 + 0, 0 + 8]),
        ("by_turns", 128, [2, 8 * 4 - 2]),
    ],
)
def test_reuse(kernel, threads, reads) -> None:
    module = RawModule(code=REUSE, mode="profile")
    x, y = np.zeros(1024, np.float32), np.zeros(128, np.float32)
    module.get_function(kernel)((3,), (threads,), (x, y, 4))
    (found,) = module.profiles
    assert found.reuse[: len(reads)] == [3 * n for n in reads]
    assert sum(found.reuse) == 3 * sum(reads)


def test_sectors_of_a_block() -> None:
    module = RawModule(code=REUSE, mode="profile")
    x, y = np.zeros(1024, np.float32), np.zeros(128, np.float32)
    module.get_function("again")((3,), (32,), (x, y, 4))
    (found,) = module.profiles
    assert [array.block_sectors for array in found.arrays] == [12.0, 4.0]


def test_only_counted_blocks_run() -> None:
    module = RawModule(code=REUSE, mode="profile", counted_blocks=2, only_counted=True)
    x, y = np.ones(1024, np.float32), np.zeros(128, np.float32)
    module.get_function("again")((1000,), (32,), (x, y, 4))
    (found,) = module.profiles
    assert (found.counted_blocks, found.reuse[0]) == (2, 12 * 1000)


def test_contention() -> None:
    text = """
    extern "C" __global__ void count(int* y) { atomicAdd(y + threadIdx.x / 16, 1); atomicAdd(y, 1); }
    """
    module = RawModule(code=text, mode="profile")
    module.get_function("count")((5,), (64,), (np.zeros(4, np.int32),))
    assert module.profiles[0].contention == 5 * (16 + 64)


@pytest.mark.slow
@pytest.mark.parametrize("body", ["for (volatile int go = 1; go;) {}", "while (x[0] == 0.0f) {}"])
def test_a_loop_without_end_is_an_error(body) -> None:
    code = f"""#line 1 "t.cu"
extern "C" __global__ void f(volatile float* x) {{
    {body}
}}"""
    x = np.zeros(1, np.float32)
    with pytest.raises(SimulatorError, match=r"t.cu:2: no end in kernel f: ") as error:
        RawModule(code=code, mode="profile").get_function("f")((1,), (1,), (x,))
    assert error.value.kind == "no end"
