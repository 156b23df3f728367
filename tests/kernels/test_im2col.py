"""Patches as columns and back, over kernels."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from .harness import FAST, compare, simulator
from .windows import WINDOWS, Windows, normal, strided

FLOATS = ("float32", "float64", "float16", bfloat16)


def columns_by_loops(x, windows):
    y = np.zeros((*x.shape[:2], *windows.kernel, *windows.positions), x.dtype)
    for r, q in np.ndindex(*windows.positions):
        for i, j, row, column in windows.elements(r, q):
            y[:, :, i, j, r, q] = x[:, :, row, column]
    return y.reshape(x.shape[0], -1, np.prod(windows.positions))


def geometry(windows):
    return windows.positions, *windows[1:5]


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
def test_any_windows(windows):
    x = normal(2, 3, *windows.size)
    compare("im2col", x, *geometry(windows), ladder="im2col", exact=True)
    columns = normal(2, 3 * np.prod(windows.kernel), np.prod(windows.positions))
    compare("col2im", columns, windows.size, *geometry(windows), ladder="col2im", exact=True)


def test_more_rows_than_a_byte_counts():
    windows = Windows((131, 2), (2, 1))
    compare("im2col", normal(1, 2, *windows.size), *geometry(windows), ladder="im2col", exact=True, modes=FAST)


def test_more_planes_than_a_byte_counts():
    windows = Windows((2, 3), (1, 2))
    x, columns = normal(10, 13, *windows.size), normal(10, 13 * 2, 2 * 2)
    compare("im2col", x, *geometry(windows), ladder="im2col", exact=True, modes=FAST)
    compare("col2im", columns, windows.size, *geometry(windows), ladder="col2im", exact=True, modes=FAST)


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
def test_formula(windows):
    backend = simulator("fast", "forward")
    x = normal(1, 2, *windows.size, dtype="float64")
    columns = columns_by_loops(x, windows)
    np.testing.assert_array_equal(backend.im2col(x, *geometry(windows)), columns)
    g = normal(*columns.shape, dtype="float64", seed=1)  # <g, im2col(x)> = <col2im(g), x>
    image = backend.col2im(g, windows.size, *geometry(windows))
    np.testing.assert_allclose(np.sum(image * x), np.sum(g * columns), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [*FLOATS[1:], "uint8", "int64", "bool"])
def test_types(dtype):
    windows = WINDOWS["dilation"]
    x = (8 * normal(1, 2, *windows.size)).astype(dtype)
    compare("im2col", x, *geometry(windows), ladder="im2col", exact=True, modes=FAST)
    if dtype != "bool":
        columns = (8 * normal(1, 2 * np.prod(windows.kernel), np.prod(windows.positions))).astype(dtype)
        compare("col2im", columns, windows.size, *geometry(windows), ladder="col2im", exact=True, modes=FAST)


def test_strided_inputs():
    windows = WINDOWS["stride"]
    compare("im2col", strided(normal(2, 3, *windows.size)), *geometry(windows), exact=True)
    columns = strided(normal(2, 3 * np.prod(windows.kernel), np.prod(windows.positions)))
    compare("col2im", columns, windows.size, *geometry(windows), exact=True)


@pytest.mark.parametrize(("n", "c"), [(0, 2), (2, 0)])
def test_nothing(n, c):
    windows = WINDOWS["plain"]
    compare("im2col", normal(n, c, *windows.size), *geometry(windows), ladder="im2col")
    columns = normal(n, c * np.prod(windows.kernel), np.prod(windows.positions))
    compare("col2im", columns, windows.size, *geometry(windows), ladder="col2im")
