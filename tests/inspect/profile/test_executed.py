"""Executed machine instructions: as many as the text says, counted by hand, whatever the compiler made of its loops."""

from __future__ import annotations

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import sim
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.products import computing_in
from gpunn.backend.simulator import RawModule
from gpunn.inspect.profile import profile_launches
from gpunn.inspect.profile.code import launched_code
from gpunn.inspect.profile.executed import executed

pytestmark = pytest.mark.usefixtures("nvdisasm")

TEXT = """
extern "C" __global__ void straight(const float* x, float* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    y[t] = x[t] + 1.0f;
}
extern "C" __global__ void loop(const float* x, float* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) sum = fmaf(x[k * 256 + t], 0.5f, sum);
    y[t] = sum;
}
extern "C" __global__ void nested(const float* x, float* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) {
        const float a = x[i * 256 + t];
        for (int k = 0; k < 8; ++k) sum = fmaf(a, sum, 0.5f);
    }
    y[t] = sum;
}
extern "C" __global__ void shared_rows(const float* x, float* y, int n) {
    __shared__ float tile[32][33];
    const int t = threadIdx.x;
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) {
        tile[t / 32][t % 32] = x[i * 64 + t % 64];
        __syncthreads();
        for (int k = 0; k < 32; ++k) sum = fmaf(tile[k % 2][k], tile[t / 32][k], sum);
        __syncthreads();
    }
    y[blockIdx.x * blockDim.x + t] = sum;
}
extern "C" __global__ void half_of_warps(const float* x, float* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = x[t];
    if (threadIdx.x / 32 % 2)
        for (int k = 0; k < n; ++k) sum = fmaf(x[k * 256 + t], 0.5f, sum);
    y[t] = sum;
}
extern "C" __global__ void no_memory_in_it(const float* x, float* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = x[t];
    for (int k = 0; k < n; ++k) sum = fmaf(sum, 0.5f, 1.0f);
    y[t] = sum;
}
extern "C" __global__ void rolled(const float* x, float* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = x[t];
    #pragma unroll 1
    for (int k = 0; k < n; ++k) sum = fmaf(sum, 0.5f, 1.0f);
    y[t] = sum;
}
extern "C" __global__ void whole_numbers(const float* x, float* y, int n) {
    unsigned h = threadIdx.x, g = blockIdx.x;
    #pragma unroll 1
    for (int k = 0; k < n; ++k) h = (h ^ g) * 31u + (h >> 3), g = (g ^ h) * 33u + (g >> 5);
    y[blockIdx.x * blockDim.x + threadIdx.x] = h;
}
extern "C" __global__ void lanes_part(const float* x, float* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = x[t];
    for (int k = 0; k < n + t % 4; ++k) sum = fmaf(x[k * 256 + t], 0.5f, sum);
    y[t] = sum;
}
__device__ __noinline__ float turns(float x, int n) {
    float sum = x;
    for (int k = 0; k < n; ++k) sum = fmaf(sum, x, 1.0f);
    return sum;
}
extern "C" __global__ void called(const float* x, float* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    y[t] = turns(x[t], n) + turns(x[t] + 2.0f, n) + turns(x[t] + 3.0f, n);
}
"""
# Of a warp, with n = 37: fused multiply-adds, and bytes that a thread reads and writes in global and shared memory.
EXPECTED = {
    "straight": (0, 4, 4, 0, 0),
    "loop": (37, 4 * 37, 4, 0, 0),
    "nested": (8 * 37, 4 * 37, 4, 0, 0),
    "shared_rows": (32 * 37, 4 * 37, 4, None, 4 * 37),
    "half_of_warps": (37 / 2, 4 + 4 * 37 / 2, 4, 0, 0),
    "no_memory_in_it": (37, 4, 4, 0, 0),
    "whole_numbers": (0, 0, 4, 0, 0),
    "rolled": (37, 4, 4, 0, 0),
    "called": (3 * 37, 4, 4, 0, 0),
    "lanes_part": (40, 4 + 4 * 40, 4, 0, 0),  # as often as the lane that goes round most often
}


def count(kernel: str, n: int = 37):
    module = RawModule(code=TEXT, mode="profile")
    x, y = np.zeros(64 * 256, np.float32), np.zeros(256, np.float32)
    module.get_function(kernel)((4,), (64,), (x, y, n))
    return module.profiles[0]


def moved(kinds: dict[str, float], name: str) -> float:
    """Bytes that a thread moves."""
    return sum(n * int(kind.partition(".")[2]) / 8 for kind, n in kinds.items() if kind.partition(".")[0] == name)


@pytest.mark.parametrize("arch", ["sm_75", "sm_90"])
@pytest.mark.parametrize("kernel", EXPECTED)
def test_executed_instructions(kernel, arch) -> None:
    launch = count(kernel)
    found = executed(launched_code(launch, arch)[0], launch)
    a_warp = {kind: n / 8 for kind, n in found.kinds.items()}
    multiply_adds, read, written, shared_read, shared_written = EXPECTED[kernel]
    assert a_warp.get("FFMA", 0) == pytest.approx(multiply_adds, rel=1e-6, abs=1e-6)
    assert moved(a_warp, "LDG") == pytest.approx(read, rel=1e-6)
    assert moved(a_warp, "STG") == pytest.approx(written, rel=1e-6)
    if shared_read is not None:  # what the compiler keeps in registers of it is its own choice
        assert moved(a_warp, "LDS") == pytest.approx(shared_read, abs=1e-6)
    assert moved(a_warp, "STS") == pytest.approx(shared_written, abs=1e-6)
    assert found.fit > (0.99 if shared_read is not None else 0)


def test_branches() -> None:
    launch = count("rolled", 40)
    branches = executed(launched_code(launch, "sm_90")[0], launch).branches
    # Of 8 warps each comes to the branch back 40 times, and jumps all times but the last.
    back = max(branches, key=lambda b: b.executed)
    assert (back.file, back.line) == ("kernel.cu", line_of("rolled(") + 4)
    assert (back.executed, back.taken) == (pytest.approx(8 * 40), pytest.approx(8 * 39))


def line_of(text: str) -> int:
    (number,) = (k for k, line in enumerate(TEXT.splitlines(), 1) if text in line)
    return number


def test_more_turns_are_more_instructions() -> None:
    few, many = (
        sum(executed(launched_code(c, "sm_90")[0], c).kinds.values()) for c in (count("loop", 8), count("loop", 40))
    )
    # 32 more turns of a loop whose body is a load, a product and at least an address; a share of a branch.
    assert 2 * 32 * 8 < many - few < 10 * 32 * 8


def test_without_scipy(monkeypatch) -> None:
    import sys

    from gpunn.inspect.profile import SolverMissing

    launch = count("straight")
    code, _ = launched_code(launch, "sm_90")
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(SolverMissing, match=r"pip install scipy \(or 'gpunn\[profile\]'\)"):
        executed(code, launch)


def test_what_no_warp_came_to_is_not_executed() -> None:
    """A convolution without the statistics of its result, for which there is as much code as for its products."""
    shapes = (4, 128, 8, 8), (128, 128, 3, 3)
    x, w = (np.ones(shape, np.float32) for shape in shapes)

    def work() -> None:
        with rung("conv2d", "sliding"):
            sim.backend().conv2d_forward(x, w, None, (8, 8), (1, 1), (1, 1), (1, 1), 1)

    (launch,) = (found for found in profile_launches(work) if found.kernel == "conv2d_sliding_three")
    kinds = executed(launched_code(launch, "sm_90")[0], launch).kinds
    assert kinds["FFMA"] == pytest.approx(4 * 8 * 8 * 128 * 128 * 9 / 32)  # those of the products


@pytest.mark.parametrize("lines", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize(
    ("dtype", "terms", "arch"), [(np.float32, 8, "sm_80"), (np.float32, 8, "sm_90"), (bfloat16, 16, "sm_90")]
)
def test_tensor_cores_multiply_what_there_is_to_multiply(dtype, terms, lines, arch) -> None:
    """Of the loops of a kernel, one for each way that lines run, just one is executed: 16 x 8 x terms at a time."""
    rows, columns, depth = 256, 128, 256
    x, y = np.ones((rows, depth), dtype), np.ones((depth, columns), dtype)
    x, y = (np.asfortranarray(m) if how == "t" else m for m, how in zip((x, y), lines))
    with computing_in("high"):
        launch = profile_launches(lambda: sim.backend().matmul(x, y))[0]
    assert launch.kernel.startswith("matmul_tensor")
    code, _ = launched_code(launch, arch)
    done = executed(code, launch)
    assert done.kinds["tensor"] == pytest.approx(rows * columns * depth / (16 * 8 * terms), rel=1e-3)
