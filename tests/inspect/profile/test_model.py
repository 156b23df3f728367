"""Predictions of kernels whose limits are worked out by hand from the GPU's figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpunn.backend.simulator import RawModule
from gpunn.inspect.profile import gpu, predict
from gpunn.inspect.profile.advice import advice
from gpunn.inspect.profile.model import _beyond

H100, A6000 = gpu("h100"), gpu("rtx a6000")
TEXT = """
extern "C" __global__ void copy(const float4* x, float4* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    y[t] = x[t];
}
extern "C" __global__ void arithmetic(const float4* x, float4* y, int n) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    float4 a = x[t], b = x[t + 1];
    for (int k = 0; k < n; ++k) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            a.x = fmaf(a.x, b.x, b.y), a.y = fmaf(a.y, b.x, b.y), a.z = fmaf(a.z, b.x, b.y), a.w = fmaf(a.w, b.x, b.y);
            b.z = fmaf(b.z, b.x, b.y), b.w = fmaf(b.w, b.x, b.y);
        }
    }
    y[t] = make_float4(a.x + b.z, a.y + b.w, a.z, a.w);
}
extern "C" __global__ void chase(const int4* x, int4* y, int n) {
    int at = threadIdx.x;
    for (int k = 0; k < n; ++k) at = x[at].x;
    y[threadIdx.x].x = at;
}
extern "C" __global__ void one_sum(const float* x, float* y, int n) {
    atomicAdd(y, x[blockIdx.x * blockDim.x + threadIdx.x]);
}
extern "C" __global__ void columns(const float* x, float* y, int n) {
    y[blockIdx.x * blockDim.x + threadIdx.x] = x[(threadIdx.x % 32) * n + threadIdx.x / 32];
}
template <int PITCH> __device__ void turn(const float* x, float* y, int n) {
    __shared__ float tile[32 * PITCH];
    const int t = threadIdx.x, row = t / 32, column = t % 32;
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) {
        for (int i = 0; i < 32; i += 8) tile[(row + i) * PITCH + column] = x[t] + k;
        __syncthreads();
        for (int i = 0; i < 32; i += 8) sum += tile[column * PITCH + row + i];
        __syncthreads();
    }
    y[blockIdx.x * 256 + t] = sum;
}
extern "C" __global__ void turn_padded(const float* x, float* y, int n) { turn<33>(x, y, n); }
extern "C" __global__ void turn_in_conflict(const float* x, float* y, int n) { turn<32>(x, y, n); }
"""


def count(kernel: str, blocks: int, threads: int, n: int, floats: int = 1 << 16):
    module = RawModule(code=TEXT, mode="profile", counted_blocks=4, only_counted=True)
    dtype = np.int32 if kernel == "chase" else np.float32
    x, y = np.zeros(floats, dtype), np.zeros(floats, dtype)
    module.get_function(kernel)((blocks,), (threads,), (x, y, n))
    return module.profiles[0]


def test_a_copy_takes_what_dram_takes(nvdisasm) -> None:
    floats = 1 << 24
    found = predict(count("copy", floats // 1024, 256, 0, floats), H100)
    assert found.limiter == "DRAM"
    assert found.microseconds == pytest.approx(1e6 * 2 * 4 * floats / (3352e9 * H100.copy_share), rel=0.002)
    assert found.dram_bytes == 2 * 4 * floats
    assert found.floor == pytest.approx(found.microseconds)
    # The range ends where the two longest resources come one after the other.
    assert found.low == pytest.approx(found.microseconds) and found.high > 1.1 * found.microseconds


def test_a_copy_that_stays_in_the_cache_does_not(nvdisasm) -> None:
    launch = count("copy", 1024, 256, 0, 1 << 20)
    assert predict(launch, H100).dram_bytes == 2 << 22
    resident = predict(launch, H100, resident=True)
    assert (resident.dram_bytes, resident.floor) == (0, 0) and resident.limiter != "DRAM"


@pytest.mark.parametrize("board", [H100, A6000], ids=lambda b: b.name)
def test_arithmetic_takes_what_its_units_take(nvdisasm, board) -> None:
    blocks = 8 * board.multiprocessors
    found = predict(count("arithmetic", blocks, 256, 200, 4 * (256 * blocks + 1)), board)
    multiply_adds = blocks * 256 * 200 * 8 * 6
    clock = 1e6 * (board.base_mhz + board.boost_mhz) / 2
    assert found.resources["fp32"] == pytest.approx(
        1e6 * multiply_adds / (128 * board.multiprocessors * clock), rel=0.01
    )
    # 48 of its 51 or so instructions a turn are these, and an instruction of a warp is issued a cycle and part.
    assert found.limiter in ("issue", "fp32")
    assert found.resources["fp32"] < found.resources["issue"] < 1.15 * found.resources["fp32"]
    assert found.low < found.microseconds < found.high


def test_loads_that_wait_for_one_another_take_their_latency(nvdisasm) -> None:
    found = predict(count("chase", 1, 32, 1000, 4 * 32), H100)
    clock = (H100.base_mhz + H100.boost_mhz) / 2
    # The same 4 lines again and again: all but the first come from the first-level cache, a shift and more behind each.
    least = 1000 * H100.architecture.latency["l1"] / clock
    assert found.limiter == "latency" and least < found.microseconds < 1.6 * least
    assert found.busy == pytest.approx(1 / 132) and found.rounds == 1
    assert "1 blocks for 132 multiprocessors" in advice(
        count("chase", 1, 32, 100000, 128), replace(found, microseconds=9.0), H100
    )


def test_a_column_takes_a_line_for_each_lane(nvdisasm) -> None:
    launch = count("columns", 1320, 1024, 32, 1320 * 1024)
    found = predict(launch, H100)
    clock = (H100.base_mhz + H100.boost_mhz) / 2
    # Of each of the 32 warps of 10 blocks on a multiprocessor: 32 lines read and one written.
    assert found.resources["global accesses"] == pytest.approx(10 * 32 * 33 / clock, rel=0.001)
    assert "32 lines of 128 bytes" in advice(launch, replace(found, limiter="global accesses", microseconds=99.0), H100)


def test_conflicts_between_banks_take_their_cycles(nvdisasm) -> None:
    padded, conflict = (count(name, 1320, 256, 20, 1320 * 256) for name in ("turn_padded", "turn_in_conflict"))
    times = [predict(launch, H100).resources["shared memory"] for launch in (padded, conflict)]
    clock = (H100.base_mhz + H100.boost_mhz) / 2
    # 10 blocks of 8 warps, 20 turns, 4 stores in one cycle each and 4 loads in one or in 32; and few global accesses.
    assert times[0] == pytest.approx(10 * 8 * 20 * 8 / clock, rel=0.15)
    assert times[1] == pytest.approx(10 * 8 * 20 * 4 * (1 + 32) / clock, rel=0.02)
    found = predict(conflict, H100)
    assert found.limiter == "shared memory"
    assert "conflicts between banks, most at kernel.cu:36: pad or swizzle" in advice(conflict, found, H100)


def test_atomics_on_one_address_are_done_one_by_one(nvdisasm) -> None:
    launch = count("one_sum", 1 << 16, 256, 0, 1 << 24)
    found = predict(launch, H100)
    assert found.limiter == "atomics"
    assert found.resources["atomics"] == pytest.approx((1 << 24) / ((H100.base_mhz + H100.boost_mhz) / 2))
    assert advice(launch, found, H100).startswith("16,777,216 atomic operations fall on one address")


def test_a_block_that_does_not_fit(nvdisasm) -> None:
    launch = replace(count("copy", 4, 256, 0), shared=200 << 10)
    assert predict(launch, H100).occupancy.blocks == 1
    with pytest.raises(ValueError, match="a block of copy does not fit a multiprocessor of RTX A6000: shared memory"):
        predict(launch, A6000)


@pytest.mark.parametrize(
    ("bits", "lines", "missed"),
    [(0, 0, 1), (0, 1, 0), (3, 4, 1), (3, 6, 0.5), (3, 8, 0), (3, 100, 0), (10, 512 + 128, 0.75)],
)
def test_what_a_cache_has_not(bits, lines, missed) -> None:
    assert _beyond(bits, lines) == missed  # distances of 2^(bits-1) to 2^bits - 1 lines
