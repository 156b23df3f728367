"""Bugs of barriers, bounds and races."""

import numpy as np

from .planted import Bug, F, I, floats, ints

IN_MEMORY = [
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
]  # fmt: skip
