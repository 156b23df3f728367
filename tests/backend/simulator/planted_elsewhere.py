"""Bugs with memory that no one wrote, within warps, with cp.async, in arithmetic, and others."""

import numpy as np

from .planted import Bug, I, floats, ints

ELSEWHERE = [
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
