"""Products of float32 whose factors are rounded, to TF32 or to bfloat16: by kernels as by NumPy, and how exact."""

import warnings

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel import gemm
from gpunn.backend.kernel.gemm import schedule
from gpunn.backend.products import computing_in

from .harness import FAST, MODES, compare, simulator
from .test_matmul import layouts, normal
from .test_tensor import preferred

LADDER = {"ladder": "half_product"}
ERROR = {"high": 1e-3, "medium": 1e-2}
WANTED = ((True, True, True), (False, True, False), (True, False, False), (False, False, True))


@pytest.fixture(params=["wide", "large", "small"])
def tile(request, replan):
    """Tiles of this size, but where matrices are not of whole chunks."""
    replan(gemm, "TF32_TILES", preferred(gemm.TF32_TILES, request.param))
    return request.param


@pytest.fixture(autouse=True)
def high():
    with computing_in("high"):
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("x", "y"), [((3, 5), (5, 7)), ((70, 40), (40, 130)), ((130, 33), (33, 66)), ((1, 300), (300, 1)), ((5, 0), (0, 4))]
)
def test_shapes(x, y, tile):
    compare("matmul", normal(*x), normal(*y), modes=MODES)


def test_layouts(tile):
    """All ways in which lines run, and those where chunks can't be copied at once."""
    for x in layouts(70, 20):
        for y in layouts(20, 72):
            compare("matmul", x, y, modes=FAST[:1])
    x = normal(5, 40, 33)[:, ::2, 1:]
    compare("matmul", x, normal(5, 32, 9), modes=FAST[:1])
    compare("matmul", np.broadcast_to(x[:1], x.shape), normal(32, 9), modes=FAST[:1])


def test_sums_in_parts(tile):
    x, y = normal(40, 700), normal(700, 36)
    assert schedule(40, 36, 700, tensor=True, tf32=True).parts > 1
    compare("matmul", x, y, modes=MODES)
    compare("linear_activation", x, np.ascontiguousarray(y.T), normal(36), "relu", 0.0, modes=FAST)


@pytest.mark.parametrize("precision", ERROR)
@pytest.mark.parametrize("sizes", [(40, 33, 36), (130, 64, 40), (0, 5, 3), (5, 0, 3), (5, 3, 0)])
def test_the_affine_map(sizes, precision):
    rows, inputs, outputs = sizes
    x, w, b, dz = (normal(*shape) for shape in ((rows, inputs), (outputs, inputs), (outputs,), (rows, outputs)))
    with computing_in(precision):
        compare("linear_activation", x, w, b, "leaky_relu", 0.3, modes=FAST)
        compare("linear_activation", x, w, None, "none", 0.0, modes=FAST)
        for wanted in WANTED:
            given = (x if wanted[1] else None, w if wanted[0] else None)
            compare("linear_backward", dz, *given, wanted, modes=FAST)
        positive = np.maximum(x, 0)
        compare("activation_linear_backward", dz, positive, w, "relu", 0.0, (True, True, True), modes=FAST)


def by_hand(x, bits):
    """Rounded to nearest to so many bits of mantissa behind the first, ties away from zero; in float64."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    scaled = np.abs(mantissa) * 2.0 ** (bits + 1)
    return np.copysign(np.ldexp(np.floor(scaled + 0.5), exponent - bits - 1), x)


@pytest.mark.parametrize("backend", ["numpy", "sim"])
def test_factors_are_rounded_to_ten_bits_and_nothing_else(backend):
    """Exact sums of few terms show that."""
    backend = numpy_backend if backend == "numpy" else simulator("fast", "forward")
    x = np.diag(np.r_[normal(30), 1 + 2.0**-11, -1 - 2.0**-11, 1 + 2.0**-11 - 2.0**-23, 1e-30, 3.3e38]).astype("f")
    one = np.eye(len(x), dtype="f")
    for got in (backend.matmul(x, one), backend.matmul(one, x), backend.linear_activation(x, one, None, "none", 0.0)):
        np.testing.assert_array_equal(got, by_hand(x, 10))
    assert backend.matmul(x, one)[30, 30] == 1 + 2.0**-10 and backend.matmul(x, one)[32, 32] == 1
    bias = normal(len(x))
    got = backend.linear_activation(np.zeros_like(x), one, bias, "none", 0.0)
    np.testing.assert_array_equal(got, np.broadcast_to(bias, x.shape))
    (db,) = backend.linear_backward(x, None, None, (False, False, True))
    np.testing.assert_array_equal(db, x.sum(0))


@pytest.mark.parametrize("backend", ["numpy", "sim"])
def test_infinities_and_nan(backend):
    backend = numpy_backend if backend == "numpy" else simulator("fast", "forward")
    with np.errstate(invalid="ignore"):
        got = backend.matmul(np.float32([[np.inf], [np.nan], [-np.inf], [2.0]]), np.ones((1, 3), "f"))
    np.testing.assert_array_equal(got[:, 0], [np.inf, np.nan, -np.inf, 2])


def test_the_largest_nan_does_not_become_zero():
    x = np.array([[0x7FFFFFFF], [0xFFFFFFFF], [0x7F800001]], "u4").view("f")
    with np.errstate(invalid="ignore"):
        assert np.isnan(numpy_backend.matmul(x, np.ones((1, 2), "f"))).all()


@pytest.mark.slow
def test_bfloat16_factors():
    x, y = normal(33, 40), normal(40, 20)
    expected = x.astype(bfloat16).astype("f8") @ y.astype(bfloat16).astype("f8")
    with computing_in("medium"):
        for backend in (numpy_backend, simulator("fast", "forward")):
            got = backend.matmul(x, y)
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
        compare("matmul", normal(3, 8, 20), normal(3, 20, 5), modes=MODES)


@pytest.mark.parametrize("precision", ERROR)
def test_error_against_float64(precision):
    x, y = normal(60, 256), normal(256, 70)
    exact = x.astype("f8") @ y.astype("f8")
    with computing_in(precision):
        got = simulator("fast", "forward").matmul(x, y)
    error = np.linalg.norm(got - exact) / np.linalg.norm(exact)
    assert 1e-5 < error < ERROR[precision]


def test_what_lies_beyond_an_edge_is_zero(tile):
    big = np.full((80, 48), np.nan, "f")
    big[:70, :40] = 1
    got = simulator("fast", "forward").matmul(big[:70, :40], np.ones((40, 9), "f"))
    assert (got == 40).all()


def test_a_device_without_tensor_cores_stays_in_float32_and_says_so(monkeypatch):
    backend, launched = simulator("fast", "forward"), []
    monkeypatch.setattr(type(backend), "launch", lambda self, text, *rest, **types: launched.append(text))
    backend.matmul(normal(8, 8), normal(8, 8))
    monkeypatch.setattr(type(backend), "tensor_cores", False)
    with pytest.warns(UserWarning, match="no tensor cores for TF32"):
        backend.matmul(normal(8, 8), normal(8, 8))
    with warnings.catch_warnings(), computing_in("highest"):
        warnings.simplefilter("error")
        backend.matmul(normal(8, 8), normal(8, 8))
    assert launched == ["matmul_tensor.cu", "matmul_vectorised.cu", "matmul_vectorised.cu"]


def test_float64_and_whole_numbers_stay_what_they_are():
    x, y = normal(8, 8, dtype="f8"), normal(8, 8, dtype="f8")
    for backend in (numpy_backend, simulator("fast", "forward")):
        np.testing.assert_allclose(backend.matmul(x, y), x @ y, rtol=1e-13, atol=1e-13)
    whole = np.arange(16).reshape(4, 4) * 12345
    np.testing.assert_array_equal(simulator("fast", "forward").matmul(whole, whole), whole @ whole)
