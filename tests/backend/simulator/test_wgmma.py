"""The twin of wgmma against the layouts that the PTX ISA gives as tables, for both majors, and against NumPy.

The layouts are those of "Canonical Layouts" (9.7.15.5.1.2.1.3), shapes and strides in elements of 16 bits, T = 8; the
accumulator's is CUTLASS's ``CLayout_64xN`` (cute/atom/mma_traits_sm90_gmma.hpp).
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.simulator import RawModule

from .texts import KERNELS

CODE = """
#include "ptx_sm90.cuh"

template <bool A_ACROSS, bool B_ACROSS, bool HALF, int COLUMNS> __device__ void multiply(
    const unsigned short* memory, const float* before, float* after, int bytes, int* where, int terms) {
    extern __shared__ __align__(16) unsigned char all[];
    unsigned short* s = (unsigned short*)(all + (0u - shared_address(all)) % 1024);
    for (int i = threadIdx.x; i < bytes / 2; i += 128) s[i] = memory[i];
    constexpr int SUMS = COLUMNS / 2;
    float d[SUMS / 4][4];
    for (int i = 0; i < SUMS; ++i) d[i / 4][i % 4] = before[threadIdx.x * SUMS + i];
    fence_async_proxy();
    __syncthreads();
    wgmma_fence();
    for (int t = 0; t < terms; ++t) {
        const int* place = where + 6 * t;
        const unsigned long long a = wgmma_matrix((char*)s + place[0], place[1], place[2]);
        const unsigned long long b = wgmma_matrix((char*)s + place[3], place[4], place[5]);
        if constexpr (COLUMNS == 128) {
            if (HALF) wgmma_m64n128k16_f16<A_ACROSS, B_ACROSS>(d, a, b);
            else wgmma_m64n128k16_bf16<A_ACROSS, B_ACROSS>(d, a, b);
        } else {
            if (HALF) wgmma_m64n256k16_f16<A_ACROSS, B_ACROSS>(d, a, b);
            else wgmma_m64n256k16_bf16<A_ACROSS, B_ACROSS>(d, a, b);
        }
    }
    wgmma_commit();
    wgmma_wait<0>();
    for (int i = 0; i < SUMS; ++i) after[threadIdx.x * SUMS + i] = d[i / 4][i % 4];
}
""" + "".join(
    f"""
extern "C" __global__ void multiply_{a}{b}{half}_{columns}(
    const unsigned short* memory, const float* before, float* after, int bytes, int* where, int terms) {{
    multiply<{a}, {b}, {half}, {columns}>(memory, before, after, bytes, where, terms);
}}
"""
    for a, b, half, columns in itertools.product((0, 1), (0, 1), (0, 1), (128, 256))
)


@cache
def module(mode: str) -> RawModule:
    return RawModule(code=CODE, options=(f"-I{KERNELS}",), mode=mode)


def offsets(shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """The offsets of a CuTe layout: its first mode runs fastest."""
    index = np.unravel_index(np.arange(np.prod(shape)), shape, order="F")
    return np.sum([i * stride for i, stride in zip(index, strides)], axis=0)


def places(across: bool, size: int, first: int, leading: int, stride: int) -> np.ndarray:
    """Where a matrix (size, 16) has its elements in shared memory, in bytes, swizzled."""
    if across:  # MN-major, 128B: ((T,8,m),(8,k)):((1,T,LBO),(8T,SBO))
        i, k = offsets((8, 8, size // 64), (1, 8, leading // 2)), offsets((8, 2), (64, stride // 2))
    else:  # K-major, 128B: ((8,m),(T,2k)):((8T,SBO),(1,T))
        i, k = offsets((8, size // 8), (64, stride // 2)), offsets((8, 2), (1, 8))
    linear = first + 2 * (i[:, None] + k)
    return linear ^ ((linear & 0b111 << 7) >> 3)  # Swizzle<3,4,3>


def sums(columns: int) -> np.ndarray:
    """Of thread t the places of its sums in D, in column-major order: ((4,8,4),(2,2,N/8)):((128,1,16),(64,8,512))."""
    return offsets((4, 8, 4, 2, 2, columns // 8), (128, 1, 16, 64, 8, 512)).reshape(columns // 2, 128).T


CASES = {  # A and B: where they begin, leading, stride, of one product or several
    (False, False): [[0, 16, 1024, 8192, 16, 1024], [32, 16, 1024, 8192 + 96, 16, 1024]],
    (False, True): [[64, 16, 2048, 16384, 8192, 1024], [96, 16, 2048, 16384 + 2048, 8192, 1024]],
    (True, False): [[1024, 16, 3072, 8192, 16, 1024]],
    (True, True): [[0, 16, 1024, 4096, 3072, 6144], [2048, 16, 1024, 5120, 3072, 6144]],
}


@pytest.mark.parametrize("mode", ["fast", "check"])
@pytest.mark.parametrize("dtype", [bfloat16, np.float16])
@pytest.mark.parametrize("columns", [128, 256])
@pytest.mark.parametrize("across", CASES)
def test_products_of_canonical_layouts(across, columns, dtype, mode):
    random, products, size = np.random.default_rng(1), CASES[across], 32768 * (columns // 128) + 8192
    memory = random.integers(-4, 5, size // 2).astype(dtype)
    before = random.integers(-50, 50, (128, columns // 2)).astype(np.float32)
    expected, place = np.zeros(64 * columns), sums(columns)
    expected[place] = before
    expected = expected.reshape(columns, 64).T
    for a, a_leading, a_stride, b, b_leading, b_stride in products:
        left, right = places(across[0], 64, a, a_leading, a_stride), places(across[1], columns, b, b_leading, b_stride)
        expected = expected + memory.astype(float)[left // 2] @ memory.astype(float)[right // 2].T
    after = np.zeros_like(before)
    function = module(mode).get_function(f"multiply_{across[0]:d}{across[1]:d}{dtype is np.float16:d}_{columns}")
    function.max_dynamic_shared_size_bytes = size + 1024
    where = np.array(products, np.int32)
    function(
        *((1,), (128,), (memory.view(np.uint16), before, after, np.int32(size), where, np.int32(len(products)))),
        shared_mem=size + 1024,
    )
    np.testing.assert_array_equal(after, expected.T.reshape(-1)[place])


def test_the_layout_of_sums_has_each_once():
    assert sorted(sums(256).reshape(-1)) == list(range(64 * 256))
