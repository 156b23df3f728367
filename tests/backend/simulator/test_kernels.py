"""What kernels compute on the simulator: the semantics of CUDA, in every mode and order of threads."""

import ml_dtypes
import numpy as np
import pytest

from gpunn.backend.simulator import RawModule

from .texts import KERNELS

F, I, U = np.float32, np.int32, np.uint32

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


@pytest.fixture(scope="module", params=["fast", "check", "ucontext"])
def module(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "ucontext":
            patch.setenv("GPUNN_SIMULATOR_FIBERS", "ucontext")
        mode = "check" if request.param == "check" else "fast"
        module = RawModule(code=CODE, options=("-std=c++17", f"-I{KERNELS}"), mode=mode)
        module.compile()
    return module


@pytest.fixture(params=["forward", "reverse", "random"])
def run(module, request):
    def launch(name, grid, block, *args, shared_mem=0):
        kernel = module.get_function(name)
        kernel.order, kernel.seed = request.param, 12345
        kernel(grid, block, args, shared_mem=shared_mem)

    return launch


def test_indices_in_three_dimensions(run):
    grid, block = (3, 2, 4), (5, 3, 2)
    got = [np.zeros((4, 2, 3, 2, 3, 5), I) for _ in range(3)]
    run("where", grid, block, *got)
    bz, by, bx, tz, ty, tx = np.indices(got[0].shape)
    for array, b, t in zip(got, (bx, by, bz), (tx, ty, tz)):
        assert (array == 1000 * b + t).all()


def test_shared_memory_and_barrier(run):
    p = np.arange(128 * 50, dtype=F)
    run("reversed", (50,), (128,), p)
    assert (p.reshape(50, 128)[:, ::-1] == np.arange(128 * 50).reshape(50, 128)).all()


@pytest.mark.parametrize("threads", [1, 31, 100, 1024])
def test_dynamic_shared_memory(run, threads):
    p = np.arange(threads, dtype=I)
    run("prefix_sum", (1,), (threads,), p, shared_mem=4 * threads)
    assert (p == np.arange(threads).cumsum()).all()


@pytest.mark.parametrize(("true", "want"), [(0, 0), (40, 4001), (70, 7011)])
def test_barriers_with_a_predicate(run, true, want):
    x, out = (np.arange(70) < true).astype(I), np.zeros(70, I)
    run("predicates", (1,), (70,), x, out)
    assert (out == want).all()


def test_operations_of_a_warp(run):
    x, out, votes = np.arange(32, dtype=I), np.zeros(256, I), np.zeros(96, U)
    run("shuffles", (1,), (32,), x, out, votes)
    l = np.arange(32)
    want = [
        np.full(32, 3),
        l ^ 5,
        np.where(l + 4 < 32, l + 4, l),
        np.where(l >= 4, l - 4, l),
        l // 8 * 8 + 1,
        np.where(l % 8 + 3 < 8, l + 3, l),
        np.full(32, 496),
        np.full(32, 31),
    ]
    assert (out == np.concatenate(want)).all()
    ballot = sum(1 << int(i) for i in l[::3])
    least = min(int(i) + (int(i) ^ 1) for i in range(16))
    assert (votes[:32] == ballot + np.where(l < 16, least, 0)).all()
    assert (votes[32:64] == 2).all()
    assert (votes[64:] == [sum(1 << k for k in range(32) if k % 4 == i % 4) for i in l]).all()


def test_atomics(run):
    n, u, f, d, w = np.zeros(4, I), np.zeros(4, U), np.zeros(1, F), np.zeros(1), np.zeros(1, np.uint64)
    run("atomics", (3,), (200,), n, u, f, d, w)
    assert n.tolist() == [600, 199, -199, -1200]
    assert u.tolist() == [2**32 - 1, 3 * 0 ^ np.bitwise_xor.reduce(np.arange(200)), 0, 199]
    assert f[0] == 300 and d[0] == 150 and w[0] == 600 << 40


def test_structures_and_vectors(run):
    x, y = np.arange(40, dtype=F), np.zeros(40, F)
    layout = np.zeros(1, np.dtype([("size", I), ("scale", "f8"), ("sign", "i1")], align=True))
    layout[0] = (9, 1.5, -1)
    bytes_ = np.zeros(10, np.uint8)
    for _ in range(2):  # the second time its type is known
        run("structure", (1,), (10,), x, y, layout, True, bytes_)
    assert (y[:36] == 1.5 * x[:36]).all() and not y[36:].any()
    assert bytes_.tolist() == [24] * 9 + [0]


def test_threads_that_return_early(run):
    y = np.zeros(100, F)
    run("returns_early", (2,), (64,), y, I(99))
    assert (y == [*([2.0, 1.0] * 49), 2.0, 0.0]).all()


def test_the_last_block_finishes(run):
    x, partial, count, total = np.arange(7, dtype=F), np.zeros(7, F), np.zeros(1, U), np.zeros(1, F)
    for _ in range(2):
        run("last_block", (7,), (32,), x, partial, count, total)
        assert total[0] == 42 and count[0] == 0


@pytest.mark.parametrize("blocks", [1, 5])
def test_grid_barrier(run, blocks):
    n = 32 * blocks
    y, z, counter = np.zeros(n, F), np.zeros(n, F), np.zeros(1, U)
    run("two_phases", (blocks,), (32,), y, z, counter)
    assert (y == n * (n - 1) / 2).all() and (z == np.arange(n)).all()


def test_mathematics(run):
    f, d, n, w = np.zeros(10, F), np.zeros(1), np.zeros(9, I), np.zeros(3, np.uint64)
    run("intrinsics", (1,), (1,), f, d, n, w)
    product = F(F(1 + 2**-12) * F(1 + 2**-12))
    want = [0.5, 0.25, 1, 0.5, 10, product - F(1), 3, 0.5204999 + 10]
    np.testing.assert_allclose(f[:8], np.array(want, F), rtol=2e-7)
    assert f[5] == F(product - F(1))
    assert np.isnan(f[8]) and np.isinf(f[9]) and d[0] == 1.25
    assert n.view(U).tolist() == [
        43108,
        1 << 31,
        2**32 - 18,
        2**31 - 1,
        7,
        0x77221100,
        0x18,
        6,
        0x3F800000 + 32,
    ]
    assert w.tolist() == [3, 2**64 - 1, 1 << 62]


def test_every_half_converts(module):
    h = np.arange(65536, dtype=np.uint16)
    f = np.zeros(65536, F)
    module.get_function("half_values")((64,), (1024,), (h, f))
    want = h.view(np.float16).astype(F)
    assert np.array_equal(f, want, equal_nan=True) and (np.signbit(f) == np.signbit(want)).all()


def test_floats_round_to_half_precision(module):
    assert_rounding(module)


def test_half_precision_where_the_processor_has_no_instruction_for_it(monkeypatch):
    monkeypatch.setenv("CXX", "g++ -mno-f16c")
    module = RawModule(code=HALVES, options=(f"-I{KERNELS}",))
    test_every_half_converts(module)
    assert_rounding(module)


def assert_rounding(module):
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2**32, 40000, dtype=U)
    # Around the ties, the subnormals and the largest of float16
    near = (np.arange(2000, dtype=F) * F(2**-25) + F(2**-14)).view(U) + rng.integers(-2, 3, 2000).astype(U)
    ties = (rng.integers(0, 2**16, 4000, dtype=U) << 16) + rng.choice(
        np.array([0, 0x7FFF, 0x8000, 0x8001, 0x1000], U), 4000
    )
    edges = np.array([0, 65504, 65519.996, 65520, 1e38, np.inf, np.nan, 2**-24, 2**-25, 2**-26, 1e-45], F)
    f = np.concatenate([bits.view(F), near.view(F), ties.view(F), edges, -edges])
    h, b, t = np.zeros(f.size, np.uint16), np.zeros(f.size, np.uint16), np.zeros(f.size, U)
    module.get_function("halves")((1,), (256,), (f, h, b, t, I(f.size)))
    finite = ~np.isnan(f)
    with np.errstate(all="ignore"):
        assert (h == f.astype(np.float16).view(np.uint16))[finite].all()
        assert (b == f.astype(ml_dtypes.bfloat16).view(np.uint16))[finite].all()
    assert np.isnan(h.view(np.float16)[~finite]).all() and np.isnan(b.view(ml_dtypes.bfloat16)[~finite]).all()
    u = f.view(U)
    normal = finite & np.isfinite(f)
    assert (t == ((u + U(0x1000)) & U(0xFFFFE000)))[normal].all()
    assert np.isnan(t.view(F)[~finite]).all()


def test_tensor_core_products(run):
    rng = np.random.default_rng(1)
    lanes = np.arange(32)
    g, t = lanes // 4, lanes % 4
    for width, kind, part in ((16, ml_dtypes.bfloat16, 0), (16, np.float16, 1), (8, F, 2)):
        a = rng.standard_normal((16, width)).astype(kind)
        b = rng.standard_normal((width, 8)).astype(kind)
        if width == 16:
            rows, columns = np.stack([g, g + 8, g, g + 8], 1), np.stack([2 * t, 2 * t, 2 * t + 8, 2 * t + 8], 1)
            fa = np.stack([a[rows, columns], a[rows, columns + 1]], -1).view(U).reshape(-1)
            k = np.stack([2 * t, 2 * t + 8], 1)
            fb = np.stack([b[k, g[:, None]], b[k + 1, g[:, None]]], -1).view(U).reshape(-1)
        else:
            a, b = ((x.view(U) & U(0xFFFFE000)).view(F) for x in (a, b))
            fa = a[np.stack([g, g + 8, g, g + 8], 1), np.stack([t, t, t + 4, t + 4], 1)].reshape(-1).view(U)
            fb = b[np.stack([t, t + 4], 1), g[:, None]].reshape(-1).view(U)
        d = np.zeros(384, F)
        run("products", (1,), (32,), np.ascontiguousarray(fa), np.ascontiguousarray(fb), d)
        got = d[128 * part : 128 * part + 128].reshape(32, 4)
        want = (a.astype(float) @ b.astype(float))[
            np.stack([g, g, g + 8, g + 8], 1), np.stack([2 * t, 2 * t + 1, 2 * t, 2 * t + 1], 1)
        ]
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_matrices_from_shared_memory(run):
    x, out = np.arange(256, dtype=np.uint16), np.zeros(256, U)
    run("matrices", (1,), (32,), x, out)
    rows = x.reshape(4, 8, 8).copy()
    rows[0, 5] = 0  # the copy that was not valid
    g, t = np.arange(32) // 4, np.arange(32) % 4 * 2
    for part, m in ((0, rows), (1, rows.transpose(0, 2, 1))):
        want = m[:, g, t].astype(U) | m[:, g, t + 1].astype(U) << 16
        assert (out[128 * part : 128 * part + 128].reshape(32, 4) == want.T).all()


def test_templates_by_name_expression():
    names = ["scaled<float, 3>", "scaled<int, 5>", "scaled<double, -1>"]
    module = RawModule(code=CODE, options=(f"-I{KERNELS}",), name_expressions=names)
    for name, dtype, factor in zip(names, (F, I, np.float64), (3, 5, -1)):
        p = np.arange(8, dtype=dtype)
        module.get_function(name)((1,), (8,), (p,))
        assert (p == np.arange(8) * factor).all()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_many_blocks_on_several_workers(workers):
    module = RawModule(code=CODE, options=(f"-I{KERNELS}",), workers=workers)
    p = np.arange(128 * 3000, dtype=F)
    module.get_function("reversed")((3000,), (128,), (p,))
    assert (p.reshape(-1, 128)[:, ::-1].reshape(-1) == np.arange(128 * 3000)).all()
    y = np.zeros(1_000_000, F)
    module.get_function("returns_early")((70_000,), (32,), (y, I(1_000_000)))
    assert (y.reshape(-1, 2) == [2, 1]).all()


def test_printf(capfd):
    code = r"""
    extern "C" __global__ void report(int n) { if (threadIdx.x == 1) printf("thread %u has %d\n", threadIdx.x, n); }
    """
    RawModule(code=code).get_function("report")((1,), (2,), (7,))
    assert capfd.readouterr().out == "thread 1 has 7\n"


def test_a_kernel_that_a_macro_makes():
    code = """
    #define KERNEL(name, op) extern "C" __global__ void name(float* p) { p[0] = p[0] op 2.0f; }
    KERNEL(twice, *)
    KERNEL(half_of, /)
    """
    module = RawModule(code=code)
    p = np.array([6], F)
    module.get_function("half_of")((1,), (1,), (p,))
    assert p[0] == 3
