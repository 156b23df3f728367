"""Largest and smallest elements, and sorting, over kernels."""

import numpy as np
import pytest
from ml_dtypes import bfloat16, finfo

from gpunn.backend.kernel.ladder import rung

from .harness import FAST, compare, simulator

SIM = simulator("fast", "forward")
RNG = np.random.default_rng(0)
NAN, INF = np.nan, np.inf


def with_ties(*shape, dtype="float32"):
    return np.round(3 * RNG.standard_normal(shape)).astype(dtype)


SHAPES = [
    ((3, 5), 1),
    ((3, 5), 0),
    ((2, 37, 3), 1),
    ((1, 300), 1),
    ((300, 1), 1),
    ((0, 4), 1),
    ((2, 3, 70), 1),
    ((9, 20), 1),
    ((5, 129), 1),
    ((7,), 0),
]


@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
def test_any_axis(shape, axis):
    x = with_ties(*shape)
    for keepdims in (False, True):
        compare("argmax", x, axis, keepdims, ladder="extreme")
        compare("argmin", x, axis, keepdims, ladder="extreme")
    compare("sort", x, axis, False, exact=True)
    compare("sort", x, axis, True, exact=True)


def test_among_all():
    for shape in ((4, 5), (1,), (), (2, 3, 40)):
        compare("argmax", np.asarray(with_ties(*shape)), None, False, ladder="extreme", modes=FAST)
        compare("argmin", np.asarray(with_ties(*shape)), None, True, ladder="extreme", modes=FAST)


def test_strided_inputs():
    x = with_ties(12, 3, 8)[::2, :, ::-3].transpose(2, 0, 1)
    for axis in (0, 1, 2):
        compare("argmax", x, axis, False, modes=FAST)
        compare("sort", x, axis, True, exact=True, modes=FAST)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", bfloat16, "float64"])
def test_types(dtype):
    x = with_ties(3, 40, dtype=dtype)
    if x.dtype.kind in "iu":
        x[0, 3], x[1, 5] = np.iinfo(dtype).min, np.iinfo(dtype).max
    elif x.dtype.name != "bool":
        x[0, 3], x[1, 5], x[2, :20] = -INF, INF, -0.0
        largest = float(finfo(dtype).max)
        x[1, 7:9] = largest / 2, largest
    for descending in (False, True):
        compare("sort", x, 1, descending, exact=True, modes=FAST)
    compare("argmax", x, 1, False, ladder="extreme", modes=FAST)
    compare("argmin", x, 1, False, ladder="extreme", modes=FAST)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", bfloat16])
def test_nan_is_larger_than_any_number(dtype):
    x = np.array([[1, NAN, INF, -INF, NAN, -0.0, 0.0], [3, -1, 0, 0, -1, 3, 2]]).astype(dtype)
    for name in ("naive", "columns", "warp", "block"):
        with rung("extreme", name):
            np.testing.assert_array_equal(SIM.argmax(x, 1, False), [1, 0])
            np.testing.assert_array_equal(SIM.argmin(x, 1, False), [1, 1])
    _, ascending = SIM.sort(x, 1, False)
    np.testing.assert_array_equal(ascending, [[3, 5, 6, 0, 2, 1, 4], [1, 4, 2, 3, 6, 0, 5]])
    values, descending = SIM.sort(x, 1, True)
    np.testing.assert_array_equal(descending, [[1, 4, 2, 0, 5, 6, 3], [0, 5, 6, 2, 3, 1, 4]])
    np.testing.assert_array_equal(values.astype(float), np.take_along_axis(x, descending, 1).astype(float))


def test_rows_of_more_than_a_tile():
    x = with_ties(2, 2500)
    compare("sort", x, 1, False, exact=True, modes=FAST)
    values, indices = SIM.sort(x, 1, True)
    assert (np.diff(values) <= 0).all()
    np.testing.assert_array_equal(np.sort(indices), np.broadcast_to(np.arange(2500), (2, 2500)))
    np.testing.assert_array_equal(np.take_along_axis(x, indices, 1), values)
    ties = np.diff(values) == 0
    assert (np.diff(indices)[ties] > 0).all()


def test_long_rows_are_cut_into_parts():
    x = RNG.integers(0, 1000, (3, 40_000))
    for backend in (SIM, simulator("fast", "random")):
        np.testing.assert_array_equal(backend.argmax(x, 1, False), np.argmax(x, 1))
        np.testing.assert_array_equal(backend.argmin(x, None, False), np.argmin(x))
    last = np.zeros(40_001, np.float32)
    last[-1] = 1
    assert SIM.argmax(last, 0, False) == 40_000


def test_too_long_to_sort():
    with pytest.raises(ValueError, match="at most 1073741824 elements"):
        SIM.pairs(1, 2**30 + 1)


def test_nonzero():
    x = RNG.random((4, 5)) < 0.4
    for got, expected in zip(SIM.nonzero(x), np.nonzero(x)):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == np.int64
