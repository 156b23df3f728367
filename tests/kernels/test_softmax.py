"""Softmax and its logarithm over kernels."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from .harness import FAST, compare, simulator

NAMES = ("softmax", "log_softmax")
RNG = np.random.default_rng(0)


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((3, 5), 1),
        ((3, 5), 0),
        ((2, 3, 35), 1),
        ((1, 300), 1),
        ((300, 1), 1),
        ((0, 4), 1),
        ((3, 0), 1),
        ((7,), 0),
        ((9, 20), 1),
        ((5, 97), 1),
    ],
)
def test_any_axis(name, shape, axis):
    compare(name, normal(*shape), axis, ladder="softmax")
    compare(f"{name}_backward", normal(*shape), np.exp(normal(*shape)) / 9, axis, ladder="softmax")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(name, dtype):
    options = {"ladder": "softmax", "modes": FAST}
    compare(name, normal(4, 33, dtype=dtype), 1, **options)
    compare(f"{name}_backward", normal(4, 33, dtype=dtype), normal(4, 33, dtype=dtype), 1, atol=0.1, **options)


@pytest.mark.parametrize("name", NAMES)
def test_strided_inputs(name):
    x = normal(12, 3, 8)[::2, :, ::-3].transpose(2, 0, 1)
    compare(name, x, 1)
    compare(f"{name}_backward", x, x[::-1], 2)


@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 9), 1), ((3, 700), 1), ((2, 3000), 1), ((4, 90, 5), 1), ((2, 9, 5), 1), ((8193, 20), 1)]
)
def test_the_rung_that_the_shape_asks_for(shape, axis):
    x = normal(*shape, dtype="float64")
    e = np.exp(x)
    expected = e / e.sum(axis, keepdims=True)
    got = simulator("fast", "forward").softmax(x, axis)
    np.testing.assert_allclose(got, expected, rtol=1e-13)
    got = simulator("fast", "forward").softmax_backward(x, expected, axis)
    np.testing.assert_allclose(got, expected * (x - (x * expected).sum(axis, keepdims=True)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite(name):
    nan, inf = np.nan, np.inf
    rows = [
        [1, nan, 2],
        [1, inf, 2],
        [-inf, 1, 2],
        [1, -inf, -inf],
        [-inf, -inf, -inf],
        [3e38, -3e38, 0],
        [inf, inf, 0],
    ]
    compare(name, np.array(rows, np.float32), 1, ladder="softmax")


def test_many_rows():
    compare("softmax", normal(1100, 3), 1, ladder="softmax", modes=FAST)


@pytest.mark.parametrize("name", NAMES)
def test_rows_below_all_that_float32_has(name):
    compare(name, np.array([[-1e300, -2e300, -1e300], [-1e300, 0, 1e300]]), 1, ladder="softmax", modes=FAST)


def test_large_numbers_do_not_overflow():
    backend = simulator("fast", "forward")
    x = np.array([[1e4, 1e4 - 1, -1e4]], np.float32)
    np.testing.assert_allclose(backend.softmax(x, 1), [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 0]], rtol=1e-6)
    np.testing.assert_allclose(backend.log_softmax(x, 1)[0, 2], -2e4 - np.log1p(np.exp(-1)), rtol=1e-6)
