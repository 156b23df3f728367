"""Slices, joins, triangles, diagonals and rearrangements over kernels."""

import numpy as np
import pytest

from gpunn.backend import numpy as numpy_backend

from .harness import FAST, compare, simulator

SIM = simulator("fast", "forward")
RNG = np.random.default_rng(0)


def numbers(*shape, dtype="float32"):
    return RNG.integers(0, 100, shape).astype(dtype)


ARRAYS = {
    "all": numbers(3, 5, 7),
    "transposed": numbers(7, 5, 3).transpose(2, 1, 0),
    "turned around": numbers(3, 5, 14)[::-1, :, ::-2],
    "one row": numbers(1, 1, 7),
    "one column": numbers(3, 5, 1),
    "none": numbers(3, 0, 7),
}
of_any_strides = pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)


@of_any_strides
def test_slices_in_the_place_of_others(x):
    n, m, k = x.shape
    key = ((1, 1 + 2 * n, 2), (0, m, 1), (0, k, 1))
    compare("place", x, key, (2 * n + 1, m + 2, k + 1), 7, exact=True)
    compare("place", x[0], (2, (0, m, 1), (1, k + 1, 1)), (4, m, k + 1), 0, exact=True)
    compare("slice_scatter", numbers(2 * n + 2, m, k), x, key, exact=True)
    compare("slice_scatter", x, x[0, ::-1], (n - 1, (0, m, 1), (0, k, 1)), exact=True)
    compare("slice_scatter", x, 7, ((0, n, 2), (0, 0, 1), (0, k, 1)), exact=True)
    compare("slice_scatter", x, 7, ((0, n, 2), (0, m, 1), (0, k, 3)), exact=True)


def test_slice_scatter_over_its_argument():
    x = numbers(4, 6)
    expected = x.copy()
    expected[1:] = x[:-1]
    assert SIM.slice_scatter(x, x[:-1], ((1, 4, 1), (0, 6, 1)), out=x) is x  # v lies in the memory that is written
    np.testing.assert_array_equal(x, expected)


@of_any_strides
def test_views(x):
    for key in (((0, 2, 1), None, (0, 0, 1), (1, 7, 3)), (0, (0, 5, 2), (0, 7, 1)), (0, (0, 5, 1), 0)):
        expected = numpy_backend.slice_view(x, key)
        np.testing.assert_array_equal(SIM.slice_view(x, key), expected)
        assert SIM.is_view(x, SIM.slice_view(x, key))
    for got, expected in zip(SIM.split(x, (3, 0, 4), 2), numpy_backend.split(x, (3, 0, 4), 2)):
        np.testing.assert_array_equal(got, expected)
    for offset in (-9, -2, 0, 1, 20):
        for axes in ((0, 1), (2, 0), (1, 2)):
            got, expected = SIM.diagonal(x, offset, *axes), numpy_backend.diagonal(x, offset, *axes)
            np.testing.assert_array_equal(got, expected)
            assert SIM.is_view(x, got)
            compare("diagonal_place", expected, offset, *axes, x.shape, exact=True, modes=FAST)


@of_any_strides
def test_joins(x):
    for axis in (0, 1, 2):
        compare("concatenate", (x, x[:, :, ::-1], x), axis, exact=True)
        compare("stack", (x, x[::-1]), axis, exact=True)
    compare("stack", (x, x), 3, exact=True)


@of_any_strides
@pytest.mark.parametrize("name", ["tril", "triu"])
def test_triangles(x, name):
    for k in (-3, 0, 2, 99):
        compare(name, x, k, exact=True)


@pytest.mark.parametrize("dtype", ["bool", "int16", "float64"])
def test_triangles_of_other_types(dtype):
    for shape in ((2, 4, 5), (3, 300)):
        compare("triu", numbers(*shape, dtype=dtype), 1, exact=True, modes=FAST)


def test_a_triangle_by_hand():
    np.testing.assert_array_equal(SIM.tril(np.ones((3, 3)), 0), [[1, 0, 0], [1, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(SIM.triu(np.ones((2, 3)), 1), [[0, 1, 1], [0, 0, 1]])


@of_any_strides
def test_elements_in_another_order(x):
    for axes in ((), (1,), (0, 2), (0, 1, 2)):
        compare("flip", x, axes, exact=True)
    for shifts, axes in (((2,), (2,)), ((-1, 8), (0, 2)), ((1, 1), (1, 1)), ((), ()), ((0,), (1,))):
        compare("roll", x, shifts, axes, exact=True)
    for repeats in ((2, 1, 3), (2, 1, 1, 3), (1, 0, 2), (1, 1, 1)):
        compare("tile", x, repeats, exact=True)


def test_numbers_are_rearranged_too():
    x = np.array(3.0)
    compare("stack", (x, x), 0, exact=True, modes=FAST)
    compare("flip", x, (), exact=True, modes=FAST)
    assert SIM.roll(x, (), ()).shape == ()
    compare("tile", x, (), exact=True, modes=FAST)
    compare("tile", x, (2, 3), exact=True, modes=FAST)
