"""Copies of boxes of a tensor against NumPy: which elements they bring, and where these lie in shared memory."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from gpunn.backend.simulator import RawModule, SimulatorError
from gpunn.backend.tensor_map import Matrices, of_simulator

from .texts import KERNELS

CODE = """
#include "ptx_sm90.cuh"

extern "C" __global__ void copy(
    const __grid_constant__ TensorMap map, const unsigned short* tensor, const int* where, int boxes,
    unsigned short* found) {
    extern __shared__ __align__(16) unsigned char all[];
    unsigned short* s = (unsigned short*)(all + (0u - shared_address(all)) % 1024);
    __shared__ unsigned long long filled;
    if (threadIdx.x == 32) {
        mbarrier_init(&filled, 1);
        fence_async_proxy();
    }
    __syncthreads();
    for (int i = 0; i < boxes; i += 2) {
        if (threadIdx.x == 32) {
            copy_box(s, map, where[3 * i], where[3 * i + 1], where[3 * i + 2], &filled);
            mbarrier_arrive_expecting(&filled, 2 * 8192);
            copy_box(s + 4096, map, where[3 * i + 3], where[3 * i + 4], where[3 * i + 5], &filled);
        }
        mbarrier_wait(&filled, i / 2 % 2);
        for (int e = threadIdx.x; e < 2 * 4096; e += 64) found[i * 4096 + e] = s[e];
        __syncthreads();
    }
}
"""


@cache
def module(mode: str) -> RawModule:
    return RawModule(code=CODE, options=(f"-I{KERNELS}",), mode=mode)


def box(tensor: np.ndarray, x: int, y: int, z: int) -> np.ndarray:
    """The 64 x 64 elements from there on, with zeros outside, as they lie in memory: swizzled by Swizzle<3, 4, 3>."""
    padded = np.pad(tensor, ((8, 8), (128, 128), (128, 128)))
    lines = padded[z + 8, y + 128 : y + 192, x + 128 : x + 192]
    linear = 2 * np.arange(64 * 64)
    memory = np.empty(64 * 64, tensor.dtype)
    memory[(linear ^ (linear & 0b111 << 7) >> 3) // 2] = lines.reshape(-1)
    return memory


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fast", "check"])
@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_boxes_inside_and_beyond_the_edges(mode, order):
    matrices, lines, length, pitch = 3, 70, 100, 104
    memory = np.random.default_rng(3).integers(1, 60000, matrices * 72 * pitch).astype(np.uint16)
    tensor = memory.reshape(matrices, 72, pitch)[:, :lines, :length]
    where = [(0, 0, 0), (64, 0, 0), (36, 6, 1), (37, 7, 2), (90, 60, 2), (-5, -9, 1), (100, 0, 0), (0, 70, 0)]
    where += [(0, 0, 3), (0, 0, -1)]
    map = of_simulator(Matrices(memory.ctypes.data, "float16", length, lines, matrices, pitch, 72 * pitch))
    found = np.zeros((len(where), 4096), np.uint16)
    function = module(mode).get_function("copy")
    function.order = order
    args = (map, memory, np.array(where, np.int32), np.int32(len(where)), found)
    function((1,), (64,), args, shared_mem=2 * 8192 + 1024)
    for at, got in zip(where, found):
        np.testing.assert_array_equal(got, box(tensor, *at), err_msg=str(at))


@pytest.mark.parametrize("change", [{"pitch": 60}, {"lines": 0}, {"address": 8}, {"step": 4097}])
def test_a_map_that_breaks_the_rules_is_told(change):
    memory = np.zeros(8192, np.uint16)
    good = Matrices(memory.ctypes.data, "float16", 64, 64, 1, 64, 4096)
    bad = good._replace(**change) if "address" not in change else good._replace(address=good.address + 8)
    found, where = np.zeros(8192, np.uint16), np.zeros(6, np.int32)
    with pytest.raises(SimulatorError, match="wrong tensor map"):
        args = (of_simulator(bad), memory, where, np.int32(2), found)
        module("fast").get_function("copy")((1,), (64,), args, shared_mem=2 * 8192 + 1024)
