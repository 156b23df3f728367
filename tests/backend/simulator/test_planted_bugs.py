"""Kernels with one bug each: every one is caught, and its file and line are named.

The line with the bug ends in ``// BUG``. What would be right in its place follows in lines that begin with ``//+``
(without any, the bug is what another line should have prevented). Other lines that the right kernel has not end in
``// GOES``. So each text is two kernels, and the right one has to run clean, in every order of threads.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pytest

from gpunn.backend.simulator import RawModule, SimulatorError

from .texts import KERNELS

F, I = np.float32, np.int32


def floats(n=64):
    return np.arange(n, dtype=F)


def ints(n=64):
    return np.arange(n, dtype=I)


@dataclass
class Bug:
    """A kernel with a bug: how it is launched, and what kind of error is expected."""

    name: str
    kind: str
    code: str
    args: object
    block: int = 64
    grid: int = 1
    shared_mem: int = 0
    fixed_args: object = None  # for the right kernel, where they differ
    fast: bool = False  # caught in the mode "fast" too
    lines: list = field(default_factory=list)


BUGS = [
    # ---- Barriers
    Bug("missing_barrier", "race", """
        __global__ void missing_barrier(float* p) {
            __shared__ float s[64];
            s[threadIdx.x] = p[threadIdx.x];
            p[threadIdx.x] = s[63 - threadIdx.x];  // BUG
            //+ __syncthreads(); p[threadIdx.x] = s[63 - threadIdx.x];
        }""", lambda: (floats(),)),
    Bug("missing_second_barrier", "race", """
        __global__ void missing_second_barrier(float* p) {
            __shared__ float s[64];
            float sum = 0.0f;
            for (int k = 0; k < 3; ++k) {
                s[threadIdx.x] = p[threadIdx.x] + k;  // BUG
                //+ __syncthreads(); s[threadIdx.x] = p[threadIdx.x] + k;
                __syncthreads();
                sum += s[63 - threadIdx.x];
            }
            p[threadIdx.x] = sum;
        }""", lambda: (floats(),)),
    Bug("divergent_barrier", "divergent barrier", """
        __global__ void divergent_barrier(float* p) {
            __shared__ float s[64];
            s[threadIdx.x] = p[threadIdx.x];
            if (threadIdx.x < 32)
                __syncthreads();  // BUG
                //+ ;
            else
                __syncthreads();  // BUG
                //+ ;
            __syncthreads();
            p[threadIdx.x] = s[63 - threadIdx.x];
        }""", lambda: (floats(),), fast=True),
    Bug("barrier_of_some", "exited threads at a barrier", """
        __global__ void barrier_of_some(float* p) {
            __shared__ float s[64];
            s[threadIdx.x] = p[threadIdx.x];
            if (threadIdx.x < 40) {
                __syncthreads();  // BUG
                //+ } __syncthreads(); if (threadIdx.x < 40) {
                p[threadIdx.x] = s[39 - threadIdx.x];
            }
        }""", lambda: (floats(),), fast=True),
    Bug("early_return", "exited threads at a barrier", """
        __global__ void early_return(float* p, int n) {
            __shared__ float s[64];
            if (threadIdx.x >= n) return;
            s[threadIdx.x] = p[threadIdx.x];
            __syncthreads();  // BUG
            p[threadIdx.x] = s[n - 1 - threadIdx.x];
        }""", lambda: (floats(), I(50)), fixed_args=lambda: (floats(), I(64)), fast=True),
    Bug("uneven_loops", "exited threads at a barrier", """
        __global__ void uneven_loops(float* p) {
            const int rounds = threadIdx.x < 32 ? 1 : 2;
            for (int k = 0; k < 2; ++k) {
                if (k >= rounds) break;
                __syncthreads();  // BUG
                //+ __syncwarp();
            }
            p[threadIdx.x] = 1.0f;
        }""", lambda: (floats(),), fast=True),
    Bug("deadlock", "deadlock", """
        __global__ void deadlock(float* p) {
            if (threadIdx.x % 32 < 16)
                __syncwarp();  // BUG
                //+ __syncwarp(0x0000ffffu);
            __syncthreads();
            p[threadIdx.x] = 1.0f;
        }""", lambda: (floats(),), fast=True),
    Bug("spinning_lock", "endless loop", """
        __global__ void spinning_lock(int* lock, int* count) {
            while (atomicCAS(lock, 0, 1) != 0) {}  // BUG
            atomicAdd(count, 1);
            if (threadIdx.x != 0) atomicExch(lock, 0);  // GOES
            //+ atomicExch(lock, 0);
        }""", lambda: (np.zeros(1, I), np.zeros(1, I)), block=2),
    # ---- Bounds
    Bug("missing_tail_check", "out of bounds", """
        __global__ void missing_tail_check(float* y, int n) {
            const int i = blockIdx.x * blockDim.x + threadIdx.x;
            y[i] = 1.0f;  // BUG
            //+ if (i < n) y[i] = 1.0f;
        }""", lambda: (floats(100), I(100)), grid=2),
    Bug("off_by_one", "out of bounds", """
        __global__ void off_by_one(const float* x, float* y, int n) {
            for (int i = threadIdx.x; i < n; i += blockDim.x)
                y[i] = x[i + 1];  // BUG
                //+ y[i] = i + 1 < n ? x[i + 1] : 0.0f;
        }""", lambda: (floats(100), floats(100), I(100))),
    Bug("before_the_beginning", "out of bounds", """
        __global__ void before_the_beginning(const float* x, float* y) {
            const int i = threadIdx.x;
            y[i] = x[i - 1];  // BUG
            //+ y[i] = i > 0 ? x[i - 1] : 0.0f;
        }""", lambda: (floats(), floats())),
    Bug("past_a_vector", "out of bounds", """
        __global__ void past_a_vector(const float* x, float* y, int n) {
            const int i = threadIdx.x * 4;
            if (i < n) {
                const float4 v = *(const float4*)(x + i);  // BUG
                //+ if (i + 4 > n) return; const float4 v = *(const float4*)(x + i);
                y[threadIdx.x] = v.x + v.w;
            }
        }""", lambda: (floats(62), floats(), I(62))),
    Bug("past_shared", "out of bounds", """
        __global__ void past_shared(float* p) {
            __shared__ float s[64];
            s[threadIdx.x] = p[threadIdx.x];
            __syncthreads();
            p[threadIdx.x] = s[threadIdx.x + 1];  // BUG
            //+ p[threadIdx.x] = s[(threadIdx.x + 1) % 64];
        }""", lambda: (floats(),)),
    Bug("past_shared_row", "out of bounds", """
        __global__ void past_shared_row(float* p) {
            __shared__ float s[4][16];
            s[threadIdx.x / 16][threadIdx.x % 16] = p[threadIdx.x];
            __syncthreads();
            const int c = threadIdx.x % 16 + 1;
            p[threadIdx.x] = s[0][c];  // BUG
            //+ p[threadIdx.x] = s[0][c % 16];
        }""", lambda: (floats(),)),
    Bug("into_the_neighbour", "out of bounds", """
        __global__ void into_the_neighbour(float* p, int which) {
            __shared__ float s[64];
            __shared__ float t[64];
            float* const both[2] = {s, t};
            s[threadIdx.x] = t[threadIdx.x] = 0.0f;
            __syncthreads();
            float* q = both[which & 1];
            q[threadIdx.x + 64] = 1.0f;  // BUG
            //+ q[threadIdx.x] = 1.0f;
            __syncthreads();
            p[threadIdx.x] = s[threadIdx.x] + t[threadIdx.x];
        }""", lambda: (floats(), I(0))),
    Bug("past_dynamic_shared", "out of bounds", """
        __global__ void past_dynamic_shared(float* p) {
            extern __shared__ float s[];
            s[threadIdx.x] = p[threadIdx.x];  // BUG
            //+ if (threadIdx.x < 60) s[threadIdx.x] = p[threadIdx.x];
        }""", lambda: (floats(),), shared_mem=240),
    Bug("past_a_local_array", "out of bounds", """
        __global__ void past_a_local_array(float* p, int n) {
            float v[4] = {};
            for (int k = 0; k <= n; ++k)
                v[k] += p[k];  // BUG
                //+ if (k < n) v[k] += p[k];
            p[threadIdx.x] = v[0] + v[3];
        }""", lambda: (floats(), I(4)), block=1),
    Bug("past_a_constant_table", "out of bounds", """
        __constant__ float table[4] = {1.0f, 2.0f, 3.0f, 4.0f};
        __global__ void past_a_constant_table(float* p) {
            p[threadIdx.x] = table[threadIdx.x];  // BUG
            //+ p[threadIdx.x] = table[threadIdx.x % 4];
        }""", lambda: (floats(),)),
    Bug("wrong_width", "out of bounds", """
        __global__ void wrong_width(const float* x, float* y) {
            y[threadIdx.x] = (float)((const double*)x)[threadIdx.x];  // BUG
            //+ y[threadIdx.x] = x[threadIdx.x];
        }""", lambda: (floats(), floats())),
    Bug("write_to_const", "write to const", """
        __global__ void write_to_const(const float* x, float* y) {
            y[threadIdx.x] = x[threadIdx.x];
            ((float*)x)[threadIdx.x] = 0.0f;  // BUG
            //+ y[threadIdx.x] += 0.0f;
        }""", lambda: (floats(), floats())),
    Bug("null_pointer", "null pointer", """
        __global__ void null_pointer(const float* bias, float* y) {
            y[threadIdx.x] += bias[threadIdx.x];  // BUG
            //+ if (bias) y[threadIdx.x] += bias[threadIdx.x];
        }""", lambda: (None, floats()), fast=True),
    Bug("misaligned_vector", "misaligned access", """
        __global__ void misaligned_vector(const float* x, float* y) {
            const float4 v = *(const float4*)(x + threadIdx.x);  // BUG
            //+ const float4 v = *(const float4*)(x + threadIdx.x / 4 * 4);
            y[threadIdx.x] = v.x;
        }""", lambda: (floats(68), floats())),
    # ---- Races
    Bug("race_of_counters", "race", """
        __global__ void race_of_counters(const int* x, int* y) {
            __shared__ int count[4];
            if (threadIdx.x < 4) count[threadIdx.x] = 0;
            __syncthreads();
            count[x[threadIdx.x] % 4] += 1;  // BUG
            //+ atomicAdd(&count[x[threadIdx.x] % 4], 1);
            __syncthreads();
            if (threadIdx.x < 4) y[threadIdx.x] = count[threadIdx.x];
        }""", lambda: (ints(), ints())),
    Bug("atomics_before_zero", "race", """
        __global__ void atomics_before_zero(const int* x, int* y) {
            __shared__ int count[4];
            if (threadIdx.x < 4) count[threadIdx.x] = 0;
            atomicAdd(&count[x[threadIdx.x] % 4], 1);  // BUG
            //+ __syncthreads(); atomicAdd(&count[x[threadIdx.x] % 4], 1);
            __syncthreads();
            if (threadIdx.x < 4) y[threadIdx.x] = count[threadIdx.x];
        }""", lambda: (ints(), ints())),
    Bug("read_beside_atomics", "race", """
        __global__ void read_beside_atomics(int* total, int* y) {
            atomicAdd(total, 1);
            y[threadIdx.x] = *total;  // BUG
            //+ __syncthreads(); y[threadIdx.x] = *total;
        }""", lambda: (np.zeros(1, I), ints())),
    Bug("race_in_place", "race", """
        __global__ void race_in_place(float* p) {
            const int i = threadIdx.x;
            const float left = p[(i + 63) % 64];
            p[i] += left;  // BUG
            //+ __syncthreads(); p[i] += left;
        }""", lambda: (floats(),)),
    Bug("warp_without_sync", "race", """
        __global__ void warp_without_sync(float* p) {
            __shared__ volatile float s[32];
            const int l = threadIdx.x;
            s[l] = p[l];
            __syncwarp();
            float v = s[(l + 1) % 32];
            s[l] = v;  // BUG
            //+ __syncwarp(); s[l] = v;
            __syncwarp();
            p[l] = s[(l + 1) % 32];
        }""", lambda: (floats(32),), block=32),
    Bug("all_blocks_write_one", "race between blocks", """
        __global__ void all_blocks_write_one(float* total, const float* x) {
            if (threadIdx.x == 0)
                total[0] = x[blockIdx.x];  // BUG
                //+ total[blockIdx.x] = x[blockIdx.x];
        }""", lambda: (floats(), floats()), grid=3),
    Bug("other_blocks_result", "race between blocks", """
        __global__ void other_blocks_result(float* y) {
            const int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
            y[i] = i;
            y[n + i] = y[(i + blockDim.x) % n];  // BUG
            //+ y[n + i] = (i + blockDim.x) % n;
        }""", lambda: (np.zeros(256, F),), grid=2),
    Bug("last_block_without_fence", "race between blocks", """
        __global__ void last_block_without_fence(float* partial, int* done, float* total) {
            __shared__ int last;
            if (threadIdx.x == 0) {
                partial[blockIdx.x] = blockIdx.x + 1.0f;
                //+ __threadfence();
                last = atomicAdd(done, 1) == gridDim.x - 1;
            }
            __syncthreads();
            if (last && threadIdx.x == 0) {
                float sum = 0.0f;
                for (int b = 0; b < gridDim.x; ++b)
                    sum += partial[b];  // BUG
                total[0] = sum;
            }
        }""", lambda: (floats(), np.zeros(1, I), floats()), grid=3),
    Bug("missing_grid_barrier", "race between blocks", """
        __global__ void missing_grid_barrier(float* y, float* z, unsigned* counter) {
            const int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
            y[i] = i;
            if (z == y) grid_barrier(counter);
            z[i] = y[n - 1 - i];  // BUG
            //+ grid_barrier(counter); z[i] = y[n - 1 - i];
        }""", lambda: (floats(128), floats(128), np.zeros(1, np.uint32)), grid=2),
    # ---- Shared memory that no one wrote
    Bug("uninitialised_shared", "uninitialised shared memory", """
        __global__ void uninitialised_shared(float* p) {
            __shared__ float s[64];
            if (threadIdx.x < 60) s[threadIdx.x] = p[threadIdx.x];  // GOES
            //+ s[threadIdx.x] = p[threadIdx.x];
            __syncthreads();
            p[threadIdx.x] = s[63 - threadIdx.x];  // BUG
        }""", lambda: (floats(),)),
    Bug("uninitialised_sum", "uninitialised shared memory", """
        __global__ void uninitialised_sum(float* p) {
            extern __shared__ __align__(16) float sum[];
            //+ if (threadIdx.x == 0) sum[0] = 0.0f;
            __syncthreads();
            atomicAdd(&sum[0], p[threadIdx.x]);  // BUG
        }""", lambda: (floats(),), shared_mem=16),
    # ---- Warps
    Bug("wrong_mask", "wrong mask", """
        __global__ void wrong_mask(float* p) {
            p[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, p[threadIdx.x], 1);  // BUG
            //+ p[threadIdx.x] = __shfl_xor_sync(0xffffffffu, p[threadIdx.x], 1);
        }""", lambda: (floats(),), fast=True),
    Bug("shuffle_from_inactive", "shuffle from an inactive lane", """
        __global__ void shuffle_from_inactive(float* p) {
            if (threadIdx.x % 32 < 16)
                p[threadIdx.x] += __shfl_down_sync(0x0000ffffu, p[threadIdx.x], 8);  // BUG
                //+ p[threadIdx.x] += __shfl_down_sync(0x0000ffffu, p[threadIdx.x], 8, 16);
        }""", lambda: (floats(),), fast=True),
    Bug("shuffle_in_part_of_a_warp", "shuffle from an inactive lane", """
        __global__ void shuffle_in_part_of_a_warp(float* p) {
            float v = p[threadIdx.x];
            for (int o = 16; o > 0; o >>= 1)
                v += __shfl_down_sync(0xffffffffu, v, o);  // BUG
                //+ v += __shfl_down_sync(0xffffffffu, v, o, 8);
            p[threadIdx.x] = v;
        }""", lambda: (floats(),), block=40, fast=True),
    Bug("divergent_warp", "divergent warp operation", """
        __global__ void divergent_warp(float* p) {
            if (threadIdx.x < 16)
                p[threadIdx.x] = __shfl_xor_sync(0xffffffffu, p[threadIdx.x], 1);  // BUG
                //+ p[threadIdx.x] = __shfl_xor_sync(0x0000ffffu, p[threadIdx.x], 1);
            else
                p[threadIdx.x] = __any_sync(0xffffffffu, 1);  // BUG
                //+ p[threadIdx.x] = __any_sync(0xffff0000u, 1);
        }""", lambda: (floats(),), block=32, fast=True),
    Bug("mma_of_half_a_warp", "divergent warp operation", """
        __global__ void mma_of_half_a_warp(float* p, int lanes) {
            float d[4] = {};
            unsigned a[4] = {}, b[2] = {};
            if (threadIdx.x < lanes)
                mma_m16n8k16_bf16(d, a, b);  // BUG
            p[threadIdx.x] = d[0];
        }""", lambda: (floats(), I(16)), block=32, fixed_args=lambda: (floats(), I(32)), fast=True),
    Bug("misaligned_ldmatrix", "misaligned access", """
        __global__ void misaligned_ldmatrix(float* p) {
            __shared__ __align__(16) unsigned short s[32][9];  // GOES
            //+ __shared__ __align__(16) unsigned short s[32][8];
            for (int c = 0; c < 8; ++c) s[threadIdx.x][c] = c;
            __syncthreads();
            unsigned r[4];
            ldmatrix_x4(r, &s[threadIdx.x][0]);  // BUG
            p[threadIdx.x] = r[0];
        }""", lambda: (floats(32),), block=32, fast=True),
    Bug("ldmatrix_before_barrier", "race", """
        __global__ void ldmatrix_before_barrier(float* p) {
            __shared__ __align__(16) unsigned short s[32][8];
            for (int c = 0; c < 8; ++c) s[(threadIdx.x + 7) % 32][c] = c;
            unsigned r[4];
            ldmatrix_x4(r, &s[threadIdx.x][0]);  // BUG
            //+ __syncwarp(); ldmatrix_x4(r, &s[threadIdx.x][0]);
            p[threadIdx.x] = r[0];
        }""", lambda: (floats(32),), block=32),
    # ---- cp.async
    Bug("missing_wait", "missing cp.async wait", """
        __global__ void missing_wait(float* p) {
            __shared__ __align__(16) float s[64];
            cp_async_4(s + threadIdx.x, p + threadIdx.x, true);
            cp_async_commit();
            p[threadIdx.x] = 2.0f * s[threadIdx.x];  // BUG
            //+ cp_async_wait<0>(); p[threadIdx.x] = 2.0f * s[threadIdx.x];
            cp_async_wait<0>();
        }""", lambda: (floats(),)),
    Bug("weak_wait", "missing cp.async wait", """
        __global__ void weak_wait(const float* x, float* y) {
            __shared__ __align__(16) float s[2][64];
            for (int k = 0; k < 2; ++k) {
                cp_async_4(&s[k][threadIdx.x], x + 64 * k + threadIdx.x, true);
                cp_async_commit();
            }
            cp_async_wait<1>();
            y[threadIdx.x] = s[0][threadIdx.x];
            y[64 + threadIdx.x] = s[1][threadIdx.x];  // BUG
            //+ cp_async_wait<0>(); y[64 + threadIdx.x] = s[1][threadIdx.x];
            cp_async_wait<0>();
        }""", lambda: (floats(128), floats(128))),
    Bug("wait_without_barrier", "race", """
        __global__ void wait_without_barrier(const float* x, float* y) {
            __shared__ __align__(16) float s[256];
            cp_async_16(s + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
            cp_async_commit();
            cp_async_wait<0>();
            y[threadIdx.x] = s[threadIdx.x];  // BUG
            //+ __syncthreads(); y[threadIdx.x] = s[threadIdx.x];
        }""", lambda: (floats(256), floats())),
    Bug("misaligned_copy", "misaligned access", """
        __global__ void misaligned_copy(const float* x, float* y) {
            __shared__ __align__(16) float s[64];
            if (threadIdx.x < 16) {
                cp_async_16(s + 4 * threadIdx.x, x + 4 * threadIdx.x + 1, true);  // BUG
                //+ cp_async_16(s + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
                cp_async_commit();
                cp_async_wait<0>();
                y[threadIdx.x] = s[4 * threadIdx.x];
            }
        }""", lambda: (floats(128), floats()), fast=True),
    # ---- Arithmetic
    Bug("index_overflow", "integer overflow", """
        __global__ void index_overflow(float* p, int rows, int columns) {
            const long long i = rows * columns + threadIdx.x;  // BUG
            //+ const long long i = (long long)rows * columns + threadIdx.x;
            if (i < 64) p[i] = 1.0f;
        }""", lambda: (floats(), I(70000), I(70000))),
    Bug("division_by_zero", "division by zero", """
        __global__ void division_by_zero(int* p, int width) {
            p[threadIdx.x] = p[threadIdx.x] / width;  // BUG
            //+ if (width != 0) p[threadIdx.x] = p[threadIdx.x] / width;
        }""", lambda: (ints(), I(0)), fast=True),
    Bug("wide_shift", "shift out of range", """
        __global__ void wide_shift(unsigned* p) {
            p[threadIdx.x] = 1u << threadIdx.x;  // BUG
            //+ p[threadIdx.x] = 1u << (threadIdx.x & 31);
        }""", lambda: (np.zeros(64, np.uint32),)),
    Bug("float_to_int", "conversion overflow", """
        __global__ void float_to_int(const float* x, int* y) {
            y[threadIdx.x] = (int)(x[threadIdx.x] * 1e9f);  // BUG
            //+ y[threadIdx.x] = __float2int_rz(x[threadIdx.x] * 1e9f);
        }""", lambda: (floats(), ints())),
    # ---- Others
    Bug("stack_overflow", "stack overflow", """
        __device__ __noinline__ int deep(int n) {
            volatile int here[256]; here[n % 256] = n; return n < 0 ? 0 : deep(n + 1) + here[n % 256];  // BUG
            //+ volatile int here[256]; here[n % 256] = n; return n > 9 ? 0 : deep(n + 1) + here[n % 256];
        }
        __global__ void stack_overflow(int* p) { p[threadIdx.x] = deep(0); }""", lambda: (ints(),), fast=True),
    Bug("failed_assertion", "assertion", """
        __global__ void failed_assertion(int* p) {
            assert(p[threadIdx.x] < 50);  // BUG
            //+ assert(p[threadIdx.x] < 64);
        }""", lambda: (ints(),), fast=True),
    Bug("trap", "trap", """
        __global__ void trap(int* p) {
            if (p[threadIdx.x] == 63) __trap();  // BUG
            //+ if (p[threadIdx.x] == 64) __trap();
        }""", lambda: (ints(),), fast=True),
]  # fmt: skip


def text_of(bugs, fixed):
    """One kernel text of all bugs, or of their fixes; notes in each bug the lines that are marked."""
    lines = ['#line 1 "planted.cu"', '#include "ptx.cuh"']
    for bug in bugs:
        code = bug.code.strip("\n").replace("__global__", 'extern "C" __global__').split("\n")
        marked = [i for i, line in enumerate(code) if line.endswith("// BUG")]
        if fixed:
            replaced = [i for i in range(len(code) - 1) if i in marked and code[i + 1].strip().startswith("//+")]
            code = [line for i, line in enumerate(code) if i not in replaced and not line.endswith("// GOES")]
            code = [line.replace("//+", "") for line in code]
        else:
            bug.lines = [len(lines) + i for i in marked]
        lines += code
    return "\n".join(lines)


@lru_cache(maxsize=1)
def modules():
    """The bugs and the fixes, compiled side by side. A grid barrier keeps a module on one worker, so it goes apart."""
    halves = [BUGS[::2], BUGS[1::2]]
    jobs = [(half, fixed, "check") for half in halves for fixed in (False, True)]
    jobs.append(([bug for bug in BUGS if bug.fast], False, "fast"))
    found = {}
    with ThreadPoolExecutor() as pool:
        compiled = pool.map(lambda job: (job, compiled_module(*job)), jobs)
        for (bugs, fixed, mode), (module, lines) in compiled:
            for bug in bugs:
                found[bug.name, fixed, mode] = module.get_function(bug.name), lines.get(bug.name)
    return found


def compiled_module(bugs, fixed, mode):
    text = text_of(bugs, fixed)
    lines = {bug.name: bug.lines for bug in bugs}
    module = RawModule(code=text, options=(f"-I{KERNELS}",), mode=mode)
    module.compile()
    return module, lines


def launch(kernel, bug, args):
    kernel((bug.grid,), (bug.block,), args(), shared_mem=bug.shared_mem)


def assert_caught(bug, mode):
    kernel, lines = modules()[bug.name, False, mode]
    with pytest.raises(SimulatorError) as caught:
        launch(kernel, bug, bug.args)
    error = caught.value
    assert error.kind == bug.kind, error
    assert error.file == "planted.cu"
    # Of two accesses that race, both are named.
    named = [int(n) for n in re.findall(r"planted\.cu:(\d+)", str(error))]
    assert named[0] == error.line
    assert set(lines) & set(named), f"{lines} not in {error}"
    if "race" not in bug.kind:
        assert error.line in lines, error


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_check_mode_catches(bug):
    assert_caught(bug, "check")


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.fast], ids=lambda bug: bug.name)
def test_fast_mode_catches(bug):
    assert_caught(bug, "fast")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_fixed_kernel_is_clean_in_every_order(bug):
    kernel, _ = modules()[bug.name, True, "check"]
    for order in ("forward", "reverse", "random"):
        kernel.order = order
        launch(kernel, bug, bug.fixed_args or bug.args)


def test_races_are_caught_in_every_order():
    for bug in BUGS:
        if "race" in bug.kind:
            kernel, _ = modules()[bug.name, False, "check"]
            for order in ("reverse", "random"):
                kernel.order = order
                with pytest.raises(SimulatorError, match="race"):
                    launch(kernel, bug, bug.args)
            kernel.order = "forward"
