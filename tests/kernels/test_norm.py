"""Layer, group and instance norm over kernels."""

import itertools

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel.ladder import rung

from .harness import FAST, compare, simulator

RNG = np.random.default_rng(0)
ALL = (True, True, True)
SPLITS = [
    (3, 1, 8, 1),
    (4, 2, 3, 5),
    (1, 1, 1, 1),
    (5, 3, 1, 4),
    (2, 1, 40, 1),
    (1, 4, 2, 17),
    (9, 1, 1, 1),
    (2, 2, 1, 300),
    (9, 1, 20, 1),
    (5, 1, 33, 3),
]


def normal(*shape, dtype="float32", mean=0.0):
    return (RNG.standard_normal(shape) + mean).astype(dtype)


def both(x, weight, bias, split, affine_shape, **options):
    """Forward, and backward from NumPy's statistics."""
    compare("row_norm_forward", x, weight, bias, split, 1e-5, ladder="row_norm", **options)
    with np.errstate(invalid="ignore"):
        mean, var = numpy_backend.row_norm_forward(x, weight, bias, split, 1e-5)[1:]
    args = (normal(*x.shape, dtype=x.dtype), x, weight, mean, var, split, affine_shape, 1e-5, ALL)
    compare("row_norm_backward", *args, ladder="row_norm", **options)


@pytest.mark.parametrize("split", SPLITS)
def test_shapes(split):
    rows, groups, k, m = split
    channels = groups * k
    both(normal(*split, mean=1), normal(channels), normal(channels), split, (channels,), rtol=1e-5, atol=1e-5)
    both(normal(rows, channels, m), None, None, split, (channels,), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(dtype):
    for weight_type in {np.dtype(dtype), np.dtype("float64" if dtype == "float64" else "float32")}:
        parameters = normal(6, dtype=weight_type), normal(6, dtype=weight_type)
        both(normal(5, 6, 3, dtype=dtype), *parameters, (5, 2, 3, 3), (6,), modes=FAST)


def test_weights_in_the_shape_of_the_last_dimensions():
    both(normal(4, 3, 5), normal(3, 5), normal(3, 5), (4, 1, 15, 1), (3, 5), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wanted", [w for w in itertools.product((True, False), repeat=3) if any(w)])
def test_what_is_wanted(wanted):
    mean, var = normal(5, 2), np.abs(normal(5, 2)) + 1
    args = (normal(5, 6, 2), normal(5, 6, 2), normal(6), mean, var, (5, 2, 3, 2), (6,), 1e-5, wanted)
    compare("row_norm_backward", *args)


def test_strided_inputs():
    x, weight = normal(3, 4, 10).transpose(2, 1, 0)[::2], normal(8)[::-2]
    both(x, weight, weight, (5, 2, 2, 3), (4,), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("split", [(0, 1, 4, 1), (3, 2, 2, 0), (0, 3, 2, 5), (2, 1, 0, 1)])
def test_empty(split):
    both(normal(*split), normal(split[1] * split[2]), None, split, (split[1] * split[2],))


@pytest.mark.parametrize(
    "split", [(700, 1, 5, 1), (300, 2, 20, 1), (9, 1, 2, 2000), (2, 2, 1, 9000), (600, 2, 3, 2), (4097, 2, 3, 6)]
)
def test_large_ones_against_formulas(split):
    groups, k = split[1:3]
    x, dy = normal(*split, dtype="float64") * 3 + 50, normal(*split, dtype="float64")
    weight, bias = normal(2, groups, k, 1, dtype="float64")
    mean, var = x.mean((2, 3)), x.var((2, 3))
    rstd = 1 / np.sqrt(var + 1e-5)[..., None, None]
    xhat, g = (x - mean[..., None, None]) * rstd, dy * weight
    dx = (g - g.mean((2, 3), keepdims=True) - xhat * (g * xhat).mean((2, 3), keepdims=True)) * rstd
    backend = simulator("fast", "forward")
    forward = backend.row_norm_forward(x, weight.reshape(-1), bias.reshape(-1), split, 1e-5)
    for got, expected in zip(forward, (xhat * weight + bias, mean, var)):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-11)
    affine = (groups, k)
    backward = backend.row_norm_backward(dy, x, weight.reshape(-1), mean, var, split, affine, 1e-5, ALL)
    for got, expected in zip(backward, (dx, (dy * xhat).sum((0, 3)), dy.sum((0, 3)))):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-10)


def test_shared_channels_are_clean_in_check_mode():
    for split in ((270, 1, 3, 1), (9, 1, 1, 1000)):
        channels = split[1] * split[2]
        mean, var = normal(*split[:2]), np.abs(normal(*split[:2])) + 1
        args = (normal(*split), normal(*split), normal(channels), mean, var, split, (channels,), 1e-5, ALL)
        compare("row_norm_backward", *args, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["naive", "lanes", "warp", "block"])
def test_a_large_mean_does_not_cancel(name):
    x = normal(3, 4000) + np.array([[1e4], [-3e3], [0]], np.float32)
    with rung("row_norm", name):
        _, mean, var = simulator("fast", "forward").row_norm_forward(x, None, None, (3, 1, 4000, 1), 1e-5)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean[:, 0], exact.mean(1), rtol=1e-7, atol=1e-5)
    np.testing.assert_allclose(var[:, 0], exact.var(1), rtol=1e-5)
