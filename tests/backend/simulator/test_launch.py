"""What a launch takes, and what it refuses."""

import ml_dtypes
import numpy as np
import pytest

from gpunn.backend.simulator import RawModule, SimulatorError

F, I = np.float32, np.int32

CODE = r"""
struct Layout { int size[2]; };
struct half_t { unsigned short bits; };
constexpr int BOUND = 64;
extern "C" __global__ void axpy(const float* __restrict__ x, float* __restrict__ y, float a, int n /* elements */) {
    if (threadIdx.x < n) y[threadIdx.x] += a * x[threadIdx.x];
}
extern "C" __global__ void numbers(double* out, bool b, signed char c, unsigned char d, short e, unsigned f,
                                   long long g, unsigned long long h, double i) {
    out[0] = b; out[1] = c; out[2] = d; out[3] = e; out[4] = f; out[5] = (double)g; out[6] = (double)h; out[7] = i;
}
extern "C" __global__ void structure(int* y, Layout layout) { y[0] = layout.size[0] + layout.size[1]; }
extern "C" __global__ void halves(const half_t* x, unsigned short* y) { y[threadIdx.x] = x[threadIdx.x].bits; }
extern "C" __global__ void anything(void* p, int bytes) { for (int i = 0; i < bytes; ++i) ((char*)p)[i] = 1; }
extern "C" __global__ void __launch_bounds__(BOUND) bounded(float* p) { p[0] = blockDim.x; }
__launch_bounds__(96, 2) extern "C" __global__ void bounded_before(float* p) { p[0] = blockDim.x; }
extern "C" __global__ void shares(float* p) {
    __shared__ float s[1024];
    extern __shared__ float t[];
    s[threadIdx.x] = t[threadIdx.x] = 1.0f;
    __syncthreads();
    p[0] = s[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void nothing() {}
"""


@pytest.fixture(scope="module")
def module():
    return RawModule(code=CODE)


@pytest.fixture(scope="module")
def axpy(module):
    return module.get_function("axpy")


def launch(kernel, *args, block=(4,)):
    kernel((1,), block, args)


def x4(dtype=F):
    return np.ones(4, dtype)


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("args", "position", "name", "message"),
    [
        ((x4(), x4(), 2.0, 4), 3, "a", "Python float is passed as a double; use numpy.float32"),
        ((x4(), x4(), 2, 4), 3, "a", "Python int is passed as an integer; use numpy.float32"),
        ((x4(), x4(), np.float64(2), 4), 3, "a", "takes a number .float., got .*float64"),
        ((x4(), x4(), True, 4), 3, "a", "bool"),
        ((x4(), x4(), F(2), 2**31), 4, "n", "not from -2147483648 to 2147483647"),
        ((x4(), x4(), F(2), np.int64(4)), 4, "n", "takes a number .int., got .*int64"),
        ((x4(), x4(), F(2), F(4)), 4, "n", "got .*float32"),
        ((x4(), x4(), F(2), "4"), 4, "n", "got '4' .str."),
        ((x4(), x4(), F(2), None), 4, "n", "got None"),
        ((x4(np.float64), x4(), F(2), 4), 1, "x", r"array of float32 \(float\*\) or None, got an array of float64"),
        ((x4(), x4(I), F(2), 4), 2, "y", "got an array of int32"),
        ((np.ones(8, F)[::2], x4(), F(2), 4), 1, "x", r"view of shape \(4,\) with strides \(8,\)"),
        ((np.ones((4, 4), F).T[0:2], x4(), F(2), 4), 1, "x", "strides"),
        (([1.0], x4(), F(2), 4), 1, "x", r"got \[1.0\] \(list\)"),
        ((x4(), F(1), F(2), 4), 2, "y", "got a float32 of float32"),
        ((x4(), read_only(x4()), F(2), 4), 2, "y", "read-only array, to a parameter that is not const"),
    ],
)
@pytest.mark.parametrize("direct", [True, False])
def test_an_argument_that_does_not_fit(axpy, direct, args, position, name, message, monkeypatch):
    monkeypatch.setattr(axpy, "_direct", direct)
    with pytest.raises(SimulatorError, match=message) as caught:
        launch(axpy, *args)
    assert caught.value.kind == "argument"
    assert f"kernel axpy: argument {position} '{name}' takes" in str(caught.value)


def test_the_number_of_arguments(axpy, module):
    with pytest.raises(SimulatorError, match=r"axpy takes 4 arguments \(x, y, a, n\), got 2"):
        launch(axpy, x4(), x4())
    with pytest.raises(SimulatorError, match="takes 0 arguments"):
        launch(module.get_function("nothing"), 1)
    launch(module.get_function("nothing"))


@pytest.mark.parametrize("direct", [True, False])
def test_arguments_that_fit(axpy, direct, monkeypatch):
    monkeypatch.setattr(axpy, "_direct", direct)
    y = x4()
    launch(axpy, read_only(x4()), y, F(2), 4)
    launch(axpy, x4().reshape(2, 2), y, F(2), I(4))
    axpy((1,), (4,), [x4(), y, F(2), np.array(4, I)])
    assert (y == 7).all()
    launch(axpy, None, None, F(2), 0)
    launch(axpy, np.zeros(0, F), np.zeros((0, 3), F), F(2), 0)


@pytest.mark.parametrize("convert", [False, True])
def test_numbers_of_every_type(module, convert):
    values = [True, -3, 200, -30000, 4_000_000_000, -(2**40), 2**63, 0.1]
    types = [np.bool_, np.int8, np.uint8, np.int16, np.uint32, np.int64, np.uint64, np.float64]
    out = np.zeros(8)
    launch(module.get_function("numbers"), out, *([t(v) for t, v in zip(types, values)] if convert else values))
    assert out.tolist() == [float(v) for v in values]
    for i, value in ((2, 128), (3, -1), (5, -1), (7, 2**64), (1, 2)):
        wrong = list(values)
        wrong[i - 1] = value
        with pytest.raises(SimulatorError, match=f"argument {i + 1} .* not from"):
            launch(module.get_function("numbers"), out, *wrong)


def test_structures_by_value(module):
    y, kernel = np.zeros(1, I), module.get_function("structure")
    for value in (np.array([2, 3], I), np.array([([4, 5],)], [("size", I, 2)]), np.array(7 << 32, np.int64)):
        launch(kernel, y, value)
    assert y[0] == 7
    with pytest.raises(SimulatorError, match=r"argument 2 'layout' takes a NumPy array of 8 bytes, .* got 12 bytes"):
        launch(kernel, y, np.zeros(3, I))
    with pytest.raises(SimulatorError, match="got 5"):
        launch(kernel, y, 5)


def test_arrays_of_the_kernels_own_classes(module):
    y, kernel = np.zeros(4, np.uint16), module.get_function("halves")
    for dtype in (np.float16, ml_dtypes.bfloat16, np.uint16, np.float16):
        x = np.array([1, 2, 3, 4], dtype)
        launch(kernel, x, y)
        assert (y == x.view(np.uint16)).all()
    with pytest.raises(SimulatorError, match="whole elements of 2 bytes"):
        launch(kernel, np.zeros(3, np.uint8), y)


def test_a_pointer_to_void_takes_any_array(module):
    for dtype in (np.int8, np.complex64, "S3", ml_dtypes.bfloat16):
        p = np.zeros(6, dtype)
        for _ in range(2):
            launch(module.get_function("anything"), p, p.nbytes, block=(1,))
        assert (p.view(np.uint8) == 1).all()


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        ((0,), (4,), r"grid of \(0, 1, 1\)"),
        ((2**31,), (4,), "grid of"),
        ((1, 65536), (4,), "grid of"),
        ((1, 1, 65536), (4,), "grid of"),
        ((-1,), (4,), "grid of"),
        ((1,), (1025,), "blocks of"),
        ((1,), (0,), "blocks of"),
        ((1,), (1, 1, 65), "blocks of"),
        ((1,), (32, 64), "at most 1024"),
        ((1, 1, 1, 1), (4,), "from one to three sizes"),
        ((), (4,), "from one to three sizes"),
        ((1.5,), (4,), "sizes are integers, got 1.5"),
    ],
)
def test_sizes_that_no_device_has(axpy, grid, block, message):
    with pytest.raises(SimulatorError, match=message) as caught:
        axpy(grid, block, (x4(), x4(), F(1), I(4)))
    assert caught.value.kind == "sizes"


def test_sizes_may_be_numpy_integers(axpy):
    y = x4()
    axpy((np.int64(1), np.int32(1)), (np.uint8(4),), (x4(), y, F(1), I(4)), shared_mem=np.int64(16))
    assert (y == 2).all()


def test_launch_bounds(module):
    p = np.zeros(1, F)
    for name, bound in (("bounded", 64), ("bounded_before", 96)):
        kernel = module.get_function(name)
        assert kernel.max_threads_per_block == bound == kernel.attributes["max_threads_per_block"]
        launch(kernel, p, block=(bound,))
        assert p[0] == bound
        with pytest.raises(SimulatorError, match=rf"blocks of {bound + 1} threads, .*__launch_bounds__ allows {bound}"):
            launch(kernel, p, block=(bound + 1,))


def test_shared_memory_limits(module):
    p, kernel = np.zeros(1, F), module.get_function("shares")
    assert kernel.shared_size_bytes == 4096
    kernel((1,), (1,), (p,), shared_mem=48 * 1024)
    with pytest.raises(SimulatorError, match=r"49156 bytes of dynamic .* 49152 are allowed; .* to 228352"):
        kernel((1,), (1,), (p,), shared_mem=48 * 1024 + 4)
    with pytest.raises(SimulatorError, match="dynamic shared memory"):
        kernel((1,), (1,), (p,), shared_mem=-4)
    with pytest.raises(SimulatorError, match="at most 228352"):
        kernel.max_dynamic_shared_size_bytes = 227 * 1024
    kernel.max_dynamic_shared_size_bytes = 223 * 1024
    kernel((1,), (1,), (p,), shared_mem=223 * 1024)
    assert module.get_function("shares").max_dynamic_shared_size_bytes == 48 * 1024


def test_orders_have_names(axpy):
    with pytest.raises(SimulatorError, match="forward, reverse, random, got 'backward'"):
        axpy.order = "backward"
    axpy.seed = 7
    assert axpy.order == "forward" and axpy.seed == 7


def test_the_order_of_threads():
    code = """extern "C" __global__ void order(int* next, int* seen) {
        seen[atomicAdd(next, 1)] = threadIdx.x + 8 * blockIdx.x; }"""
    kernel = RawModule(code=code).get_function("order")
    seen = {}
    for order, seed in (("forward", 1), ("reverse", 1), ("random", 1), ("random", 2), ("random", 1)):
        kernel.order, kernel.seed = order, seed
        got = np.zeros(24, I)
        kernel((3,), (8,), (np.zeros(1, I), got))
        assert sorted(got) == list(range(24))
        assert seen.setdefault((order, seed), got.tolist()) == got.tolist()
    assert seen["forward", 1] == list(range(24)) and seen["reverse", 1] == list(range(24))[::-1]
    assert len({tuple(order) for order in seen.values()}) == 4


def test_check_mode_refuses_restricted_arrays_that_share_memory():
    kernel = RawModule(code=CODE, mode="check").get_function("axpy")
    both = np.zeros(8, F)
    with pytest.raises(SimulatorError, match="argument 1 'x' and argument 2 'y' share memory") as caught:
        launch(kernel, both[:5], both[4:], F(1), 4)
    assert caught.value.kind == "aliased arguments"
    both[:4] = 1
    launch(kernel, both[:4], both[4:], F(2), 4)
    assert both.tolist() == [1, 1, 1, 1, 2, 2, 2, 2]


def test_check_mode_lets_other_arrays_share_memory():
    code = """extern "C" __global__ void add(const float* x, float* y) { y[threadIdx.x + 1] = x[threadIdx.x]; }"""
    kernel = RawModule(code=code, mode="check").get_function("add")
    both = np.arange(8, dtype=F)
    kernel((1,), (1,), (both[2:], both[1:4]))
    assert both.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(SimulatorError, match="race"):
        kernel((1,), (4,), (both[2:], both[2:]))
