"""Where the kernel texts are, and a text that uses what a kernel may use."""

from pathlib import Path

KERNELS = Path(__file__).parents[3] / "kernels"

HALVES = r"""
#include "ptx.cuh"

extern "C" __global__ void half_values(const unsigned short* h, float* f) {
    f[threadIdx.x + blockIdx.x * blockDim.x] = half_to_float(h[threadIdx.x + blockIdx.x * blockDim.x]);
}
extern "C" __global__ void halves(const float* f, unsigned short* h, unsigned short* b, unsigned* t, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        h[i] = float_to_half(f[i]);
        b[i] = float_to_bfloat16(f[i]);
        t[i] = float_to_tf32(f[i]);
    }
}
"""

CODE = (
    HALVES
    + r"""

extern "C" __global__ void where(int* x, int* y, int* z) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const int i = block * blockDim.x * blockDim.y * blockDim.z + thread;
    x[i] = 1000 * blockIdx.x + threadIdx.x;
    y[i] = 1000 * blockIdx.y + threadIdx.y;
    z[i] = 1000 * blockIdx.z + threadIdx.z;
}

extern "C" __global__ void __launch_bounds__(128) reversed(float* p) {
    __shared__ float s[128];
    s[threadIdx.x] = p[blockIdx.x * 128 + threadIdx.x];
    __syncthreads();
    p[blockIdx.x * 128 + threadIdx.x] = s[127 - threadIdx.x];
}

extern "C" __global__ void prefix_sum(int* p) {  // many barriers
    extern __shared__ __align__(16) int sums[];
    sums[threadIdx.x] = p[threadIdx.x];
    for (int d = 1; d < blockDim.x; d *= 2) {
        __syncthreads();
        const int add = threadIdx.x >= d ? sums[threadIdx.x - d] : 0;
        __syncthreads();
        sums[threadIdx.x] += add;
    }
    p[threadIdx.x] = sums[threadIdx.x];
}

extern "C" __global__ void predicates(const int* x, int* out) {
    const int v = x[threadIdx.x];
    const int count = __syncthreads_count(v);
    const int all = __syncthreads_and(v);
    const int any = __syncthreads_or(v);
    out[threadIdx.x] = count * 100 + all * 10 + any;
}

extern "C" __global__ void shuffles(const int* x, int* out, unsigned* votes) {
    const int l = threadIdx.x, v = x[l];
    out[l] = __shfl_sync(~0u, v, 3);
    out[32 + l] = __shfl_xor_sync(~0u, v, 5);
    out[64 + l] = __shfl_down_sync(~0u, v, 4);
    out[96 + l] = __shfl_up_sync(~0u, v, 4);
    out[128 + l] = __shfl_sync(~0u, v, 9, 8);
    out[160 + l] = __shfl_down_sync(~0u, v, 3, 8);
    out[192 + l] = __reduce_add_sync(~0u, v);
    out[224 + l] = __reduce_max_sync(~0u, v);
    votes[l] = __ballot_sync(~0u, v % 3 == 0);
    votes[32 + l] = __any_sync(~0u, v == 31) * 2 + __all_sync(~0u, v < 31);
    votes[64 + l] = __match_any_sync(~0u, v % 4);
    const double d = __shfl_xor_sync(~0u, (double)v, 1);
    if (l < 16) votes[l] += __reduce_min_sync(0xffffu, (unsigned)v + (unsigned)d);
}

extern "C" __global__ void atomics(int* n, unsigned* u, float* f, double* d, unsigned long long* l) {
    const int t = threadIdx.x;
    atomicAdd(&n[0], 1);
    atomicMax(&n[1], t);
    atomicMin(&n[2], -t);
    atomicSub(&n[3], 2);
    atomicOr(&u[0], 1u << (t % 32));
    atomicXor(&u[1], (unsigned)t);
    atomicInc(&u[2], 9u);
    atomicAdd(f, 0.5f);
    atomicAdd(d, 0.25);
    atomicAdd(l, 1ull << 40);
    while (true) {  // a maximum by compare and swap
        const unsigned seen = atomicAdd(&u[3], 0u);
        if (seen >= (unsigned)t || atomicCAS(&u[3], seen, (unsigned)t) == seen) break;
    }
}

struct Layout { int size; double scale; signed char sign; };
extern "C" __global__ void structure(const float4* x, float4* y, Layout layout, bool negate, unsigned char* bytes) {
    const int i = threadIdx.x;
    if (i >= layout.size) return;
    const float s = (float)layout.scale * layout.sign * (negate ? -1 : 1);
    y[i] = make_float4(s * x[i].x, s * x[i].y, s * x[i].z, s * x[i].w);
    bytes[i] = (unsigned char)(sizeof(float4) + alignof(float2));
}

template <class T, int N> __global__ void scaled(T* p) { p[threadIdx.x] = p[threadIdx.x] * (T)N; }

extern "C" __global__ void returns_early(float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    y[i] = 1.0f;
    if (i % 2) return;
    y[i] = 2.0f;
}

extern "C" __global__ void last_block(const float* x, float* partial, unsigned* count, float* total) {
    __shared__ bool last;
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = x[blockIdx.x] * 2.0f;
        __threadfence();
        last = atomicAdd(count, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        float sum = 0.0f;
        for (int b = 0; b < gridDim.x; ++b) sum += partial[b];
        total[0] = sum;
        *count = 0;
    }
}

extern "C" __global__ void two_phases(float* y, float* z, unsigned* counter) {
    __shared__ float mine[32];
    const int i = blockIdx.x * 32 + threadIdx.x, n = gridDim.x * 32;
    mine[threadIdx.x] = i;
    y[i] = i;
    grid_barrier(counter);
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) sum += y[k];
    grid_barrier(counter);
    y[i] = sum;
    z[i] = mine[threadIdx.x];
}

extern "C" __global__ void products(const unsigned* a, const unsigned* b, float* d) {
    const int l = threadIdx.x;
    unsigned x[4] = {a[4 * l], a[4 * l + 1], a[4 * l + 2], a[4 * l + 3]}, y[2] = {b[2 * l], b[2 * l + 1]};
    float p[4] = {}, q[4] = {}, r[4] = {};
    mma_m16n8k16_bf16(p, x, y);
    mma_m16n8k16_f16(q, x, y);
    mma_m16n8k8_tf32(r, x, y);
    for (int i = 0; i < 4; ++i) {
        d[4 * l + i] = p[i];
        d[128 + 4 * l + i] = q[i];
        d[256 + 4 * l + i] = r[i];
    }
}

extern "C" __global__ void matrices(const unsigned short* x, unsigned* out) {
    __shared__ __align__(16) unsigned short s[32][8];
    const int l = threadIdx.x;
    cp_async_16(&s[l][0], x + 8 * l, l != 5);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    unsigned r[4], t[4];
    ldmatrix_x4(r, &s[l][0]);
    ldmatrix_x4_trans(t, &s[l][0]);
    for (int i = 0; i < 4; ++i) {
        out[4 * l + i] = r[i];
        out[128 + 4 * l + i] = t[i];
    }
}

extern "C" __global__ void intrinsics(float* f, double* d, int* n, unsigned long long* w) {
    f[0] = rsqrtf(4.0f);
    f[1] = __fdividef(1.0f, 8.0f) + fdividef(1.0f, 8.0f);
    f[2] = __saturatef(1.5f) + __saturatef(-1.0f);
    f[3] = normcdff(0.0f);
    f[4] = __fmaf_rn(2.0f, 3.0f, 4.0f);
    f[5] = __fadd_rn(__fmul_rn(1.0f + 0x1p-12f, 1.0f + 0x1p-12f), -1.0f);  // not fused
    f[6] = fmaxf(max(1.0f, 2.0f), (float)min(3, 4));
    f[7] = erff(0.5f) + __expf(0.0f) + __logf(1.0f) + __powf(2.0f, 3.0f) + exp(0.0f);
    f[8] = __int_as_float(0x7fc00000);
    f[9] = __uint_as_float(0x7f800000u);
    d[0] = rsqrt(16.0) + __longlong_as_double(0x3ff0000000000000ll);
    n[0] = __popc(0xf0f0u) + 100 * __clz(1) + 10000 * __ffs(8);
    n[1] = (int)__brev(1u);
    n[2] = __float2int_rn(2.5f) + 10 * __float2int_rz(-2.9f);
    n[3] = __float2int_rz(1e20f);
    n[4] = isnan(f[8]) + 2 * isinf(f[9]) + 4 * isfinite(1.0f) + 8 * isnan(1.0);
    n[5] = (int)__byte_perm(0x33221100u, 0x77665544u, 0x7210u);
    n[6] = (int)__funnelshift_l(0x80000000u, 1u, 4u);
    n[7] = (int)__umulhi(0x80000000u, 6u) + abs(-3);
    n[8] = warpSize + (int)__float_as_uint(1.0f);
    w[0] = __umul64hi(1ull << 63, 6ull);
    w[1] = (unsigned long long)__mul64hi(-1ll, 2ll);
    w[2] = (unsigned long long)__double_as_longlong(2.0);
}
"""
)
