"""What kernels compute on the simulator: the semantics of CUDA, in every mode and order of threads."""

import ml_dtypes
import numpy as np
import pytest

from gpunn.backend.simulator import RawModule

from .texts import CODE, HALVES, KERNELS

F, I, U = np.float32, np.int32, np.uint32


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
