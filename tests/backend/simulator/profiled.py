"""Kernels that are profiled."""

from __future__ import annotations

# One warp reads `T` from x at an index. By name: T, the index of lane t, the lanes that take part; then by hand
# (requests, sectors, bytes asked for).
GLOBAL = {
    "stride_1": ("float", "t", "true", (1, 4, 128)),
    "stride_2": ("float", "2 * t", "true", (1, 8, 128)),
    "stride_4": ("float", "4 * t", "true", (1, 16, 128)),
    "stride_8": ("float", "8 * t", "true", (1, 32, 128)),
    "stride_32": ("float", "32 * t", "true", (1, 32, 128)),
    "stride_33": ("float", "33 * t", "true", (1, 32, 128)),
    "reversed_lanes": ("float", "31 - t", "true", (1, 4, 128)),
    "off_by_one": ("float", "t + 1", "true", (1, 5, 128)),
    "off_by_a_sector": ("float", "t + 8", "true", (1, 4, 128)),
    "one_for_all": ("float", "5", "true", (1, 1, 4)),
    "one_for_two": ("float", "t / 2", "true", (1, 2, 64)),
    "bytes": ("unsigned char", "t", "true", (1, 1, 32)),
    "bytes_off_by_one": ("unsigned char", "t + 1", "true", (1, 2, 32)),
    "halves": ("short", "t", "true", (1, 2, 64)),
    "doubles": ("double", "t", "true", (1, 8, 256)),
    "quads": ("float4", "t", "true", (1, 16, 512)),
    "every_other_quad": ("float4", "2 * t", "true", (1, 32, 512)),
    "quads_for_all": ("float4", "3", "true", (1, 1, 16)),
    "half_a_warp": ("float", "t", "t < 16", (1, 2, 64)),
    "every_other_lane": ("float", "t", "t % 2 == 0", (1, 4, 64)),
    "nobody": ("float", "t", "t > 40", None),
    "triples": ("float3", "t", "true", (3, 3 * 12, 384)),  # 12 bytes a lane: three accesses over the same 384 bytes
    "columns": ("float", "(t % 8) * 32 + t / 8", "true", (1, 8, 128)),  # 4 neighbours in each of 8 rows
}


# The same with an array in shared memory: T, the index, the lanes; then by hand (passes, conflicts).
SHARED = {
    "s_stride_1": ("float", "t", "true", (1, 0)),
    "s_stride_2": ("float", "2 * t", "true", (2, 1)),
    "s_stride_4": ("float", "4 * t", "true", (4, 3)),
    "s_stride_32": ("float", "32 * t", "true", (32, 31)),
    "s_padded_to_33": ("float", "33 * t", "true", (1, 0)),
    "s_stride_3": ("float", "3 * t", "true", (1, 0)),  # odd strides meet every bank once
    "s_swizzled": ("float", "32 * t + (5 ^ t)", "true", (1, 0)),  # column 5 of rows whose columns are permuted
    "s_one_for_all": ("float", "7", "true", (1, 0)),
    "s_one_for_two": ("float", "t / 2", "true", (1, 0)),
    "s_two_words_of_a_bank": ("float", "t == 1 ? 32 : 0", "true", (2, 1)),
    "s_rows_of_a_tile": ("float", "(t / 8) * 32 + t % 8", "true", (4, 3)),  # 4 rows of pitch 32: the same 8 banks
    "s_rows_of_a_padded_tile": ("float", "(t / 8) * 40 + t % 8", "true", (1, 0)),
    "s_half_a_warp": ("float", "2 * t", "t < 16", (1, 0)),
    "s_bytes": ("unsigned char", "t", "true", (1, 0)),  # four lanes ask for one word
    "s_halves_stride_2": ("short", "2 * t", "true", (1, 0)),
    "s_halves_stride_4": ("short", "4 * t", "true", (2, 1)),
    "s_doubles": ("double", "t", "true", (2, 0)),  # two halves of a warp
    "s_doubles_stride_2": ("double", "2 * t", "true", (4, 2)),
    "s_quads": ("float4", "t", "true", (4, 0)),  # four quarters
    "s_quads_stride_2": ("float4", "2 * t", "true", (8, 4)),
    "s_quads_of_pitch_20": ("float4", "5 * t", "true", (4, 0)),  # 20 words on: 8 lanes meet every bank once
    "s_quads_of_pitch_16": ("float4", "4 * t", "true", (16, 12)),  # 16 words on: lanes 0, 2, 4, 6 share banks
    "s_quads_for_all": ("float4", "1", "true", (2, 0)),  # neighbours agree: a half at once
    "s_quads_for_pairs": ("float4", "t / 2", "true", (2, 0)),  # 8 different quads of each half meet every bank once
    "s_quads_for_every_second": ("float4", "t / 4 * 2 + t % 2", "true", (2, 0)),  # lanes i and i^2 agree
    "s_quads_for_fours": ("float4", "t % 4", "true", (4, 0)),  # i and i^4 agree only: as if none did
    "s_quads_for_pairs_of_pitch_16": ("float4", "t / 2 * 4", "true", (8, 6)),  # 8 quads, 4 in the same banks
    "s_pairs_for_pairs": ("double", "t / 2", "true", (1, 0)),  # the warp at once
    "s_quads_for_four_apart": ("float4", "t / 8 * 4 + t % 4", "true", (4, 0)),
    "s_quads_for_active_neighbours": ("float4", "t", "t % 2 == 0", (4, 2)),  # in a half 8 of every other quad
    "s_quads_for_neighbours_stride_2": ("float4", "t / 2 * 2", "true", (4, 2)),
}


def kernels() -> str:
    text = [
        f'extern "C" __global__ void {name}(const {T}* x, {T}* y) {{ const int t = threadIdx.x;\n'
        f"    if ({lanes}) y[t] = x[{index}];  // {name}\n}}"
        for name, (T, index, lanes, _) in GLOBAL.items()
    ] + [
        f'extern "C" __global__ void {name}(const {T}* x, {T}* y) {{ const int t = threadIdx.x;\n'
        f"    __shared__ {T} s[1100];\n"
        f"    for (int i = t; i < 1100; i += 32) s[i] = x[i];\n"
        f"    __syncthreads();\n"
        f"    if ({lanes}) y[t] = s[{index}];  // {name}\n}}"
        for name, (T, index, lanes, _) in SHARED.items()
    ]
    return '#include "ptx.cuh"\n' + "\n".join(text) + MORE


MORE = r"""
extern "C" __global__ void write(float* y) {
    y[threadIdx.x * 2] = 1;                                                     // write: strided
}
extern "C" __global__ void copy(const float* x, float* y) {
    const int t = blockIdx.x * 64 + threadIdx.x;
    y[t] = x[t];                                                                // copy: body
}
extern "C" __global__ void loop(const float* x, float* y, int n) {
    float sum = 0;
    for (int k = 0; k < n; ++k)
        sum += x[k * 32 + threadIdx.x];                                         // loop: body
    y[threadIdx.x] = sum;                                                       // loop: end
}
extern "C" __global__ void triangle(const float* x, float* y) {
    float sum = 0;
    for (int k = 0; k <= threadIdx.x; ++k)
        sum += x[k];                                                            // triangle: body
    y[threadIdx.x] = sum;
}
extern "C" __global__ void branches(const float* x, float* y, float* z) {
    const int t = threadIdx.x;
    if (t < 40)
        y[t] = x[t];                                                            // branches: first
    else
        z[t] = 2 * x[t];                                                        // branches: second
}
extern "C" __global__ void count(int* x) {
    atomicAdd(x + threadIdx.x % 4, 1);                                          // count: body
}
__device__ float __noinline__ helper(const float* x, int i) {
    return x[i];                                                                // helper
}
extern "C" __global__ void called(const float* x, float* y) {
    const int t = threadIdx.x;
    y[t] = helper(x, t) + helper(x, 2 * t);
}
extern "C" __global__ void dynamic(const float* x, float* y) {
    extern __shared__ float s[];
    const int t = threadIdx.x;
    for (int step = 0; step < 3; ++step) {
        s[t] = x[t + step];                                                     // dynamic: write
        __syncthreads();
        y[t] += s[(t * 2) % 32];                                                // dynamic: read
        __syncthreads();
    }
}
extern "C" __global__ void copied(const float4* x, float4* y) {
    __shared__ float4 s[64];
    cp_async_16(&s[2 * threadIdx.x], &x[threadIdx.x], true);                    // copied: copy
    cp_async_commit();
    cp_async_wait<0>();
    y[threadIdx.x] = s[2 * threadIdx.x];
}
extern "C" __global__ void meeting(const float* x, float* y, unsigned* counter) {
    const int t = blockIdx.x * 32 + threadIdx.x;
    y[t] = x[t];                                                                // meeting: before
    grid_barrier(counter);
    y[t] += x[63 - t];                                                          // meeting: after
}
extern "C" __global__ void matrices(unsigned* y) {
    __shared__ __align__(16) unsigned s[32 * 8];
    for (int i = threadIdx.x; i < 32 * 8; i += 32) s[i] = i;
    __syncthreads();
    unsigned r[4];
    ldmatrix_x4(r, s + 4 * threadIdx.x);                                        // matrices: close
    y[threadIdx.x] = r[0];
    ldmatrix_x4(r, s + 8 * threadIdx.x);                                        // matrices: apart
    y[threadIdx.x] += r[0];
}
__device__ __forceinline__ float element(const float* x, int i) {
    return x[i];                                                                // inlined
}
extern "C" __global__ void twice(const float* x, float* y) {
    const int t = threadIdx.x;
    float v = element(x, t);                                                    // first call
    for (int k = 0; k < 3; ++k)
        v += element(x, t + 8 * k);                                             // second call
    y[t] = v;
}
extern "C" __global__ void sums(const float* x, float* y) {
    float v = x[threadIdx.x];
    for (int k = 16; k > 0; k /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, k);                                // sums: shuffle
    if (threadIdx.x == 0)
        y[0] = v;                                                               // sums: end
}
extern "C" __global__ void local(const int* x, int* y) {
    int v[8];
    for (int i = 0; i < 8; ++i) v[i] = x[i];
    y[threadIdx.x] = v[x[threadIdx.x] & 7];                                     // local: end
}
"""


TEXT = kernels()
