"""Normalisation of channels over the batch, by kernels."""

import itertools

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel.ladder import rung

from .harness import FAST, compare, simulator

RNG = np.random.default_rng(0)
ALL = (True, True, True)
SHAPES = [(4, 3), (2, 3, 4), (2, 5, 3, 7), (1, 2, 3), (3, 1), (1, 40), (70, 33), (2, 3, 600)]


def normal(*shape, dtype="float32", mean=0.0):
    return (RNG.standard_normal(shape) + mean).astype(dtype)


def both(x, weight, bias, **options):
    """Forward, and backward from NumPy's statistics."""
    compare("batch_norm_forward", x, weight, bias, 1e-5, ladder="batch_norm", **options)
    mean, var = numpy_backend.batch_norm_forward(x, weight, bias, 1e-5)[1:]
    dy = normal(*x.shape, dtype=x.dtype)
    compare("batch_norm_backward", dy, x, weight, mean, var, 1e-5, ALL, ladder="batch_norm", **options)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape):
    both(normal(*shape, mean=1), normal(shape[1]), normal(shape[1]), rtol=1e-5, atol=1e-5)
    both(normal(*shape, mean=1), None, None, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [*SHAPES, (0, 3, 2), (2, 3, 0)])
def test_a_relu_behind_it(shape):
    c = shape[1]
    args = normal(*shape, mean=1), normal(c), normal(c), 1e-5
    compare("batch_norm_forward", *args, relu=True, ladder="batch_norm", rtol=1e-5, atol=1e-5)
    y, *statistics = simulator("fast", "forward").batch_norm_forward(*args)
    found = simulator("fast", "forward").batch_norm_forward(*args, relu=True)
    for a, b in zip(found, (np.where(y < 0, np.float32(0), y), *statistics), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("batches", [None, np.array(7)])
@pytest.mark.parametrize("shape", [*SHAPES, (2, 3, 0), (0, 3, 2)])
def test_running_statistics_behind_it(shape, batches):
    """To the bits of a norm without them, and then of the running statistics by themselves."""
    c = shape[1]
    args, shares = (normal(*shape, mean=1), normal(c), normal(c), 1e-5), (0.9, 0.1, 0.1 * 64 / 63)
    running = normal(c), normal(c), batches
    compare("batch_norm_forward", *args, running=(*running, *shares), ladder="batch_norm", rtol=1e-5, atol=1e-5)
    for name in ("fused", "split"):
        backend = simulator("fast", "forward")
        with rung("batch_norm", name):
            y, mean, var = backend.batch_norm_forward(*args)
            moved = backend.move_statistics(running[0], mean, running[1], var, batches, *shares)
            found = backend.batch_norm_forward(*args, running=(*running, *shares))
            state = tuple(a.copy() for a in running if a is not None)
            out = (*map(np.empty_like, (y, mean, var)), *state)
            backend.batch_norm_forward(*args, running=(*state, *[None] * (3 - len(state)), *shares), out=out)
        for a, b, in_place in zip((y, mean, var, *moved), found, out, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, in_place)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_through_a_relu_behind_it(shape, affine):
    """To the bits of the gradient of the ReLU, by its result, and then of the norm."""
    x, dy = normal(*shape, mean=1), normal(*shape)
    weight, bias = (normal(shape[1]), normal(shape[1])) if affine else (None, None)
    backend = simulator("fast", "forward")
    y, mean, var = backend.batch_norm_forward(x, weight, bias, 1e-5, relu=True)
    args = x, weight, mean, var, 1e-5, ALL
    compare("batch_norm_backward", dy, *args, bias, True, ladder="batch_norm", rtol=1e-5, atol=1e-5)
    for name in ("fused", "split"):
        with rung("batch_norm", name):
            expected = backend.batch_norm_backward(np.where(y > 0, dy, np.float32(0)), *args)
            for a, b in zip(backend.batch_norm_backward(dy, *args, bias, True), expected, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_what_a_relu_let_through_is_what_was_stored(dtype):
    """Numbers so small that half types store 0 for them do not count as positive."""
    x = (np.arange(-8, 8).reshape(16, 1, 1) * np.array([1.0, -1.0]).reshape(2, 1)).astype(dtype)
    weight, bias = (np.array(v, np.float64 if dtype == "float64" else np.float32) for v in ([1e-9, 1.0], [0.0, 0.1]))
    backend = simulator("fast", "forward")
    y, mean, var = backend.batch_norm_forward(x, weight, bias, 1e-5, relu=True)
    dy = normal(*x.shape, dtype=dtype)
    args = x, weight, mean, var, 1e-5, ALL
    expected = backend.batch_norm_backward(np.where(y > 0, dy, np.zeros((), dtype)), *args)
    for a, b in zip(backend.batch_norm_backward(dy, *args, bias, True), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_gradient_that_is_infinite_ends_at_a_relu_that_is_closed():
    x = np.array([[1.0, -1.0], [2.0, 3.0], [4.0, 5.0]], np.float32)
    y, mean, var = simulator("fast", "forward").batch_norm_forward(x, None, None, 1e-5, relu=True)
    dy = np.where(y > 0, np.float32(1), np.float32(np.inf))
    for a in simulator("fast", "forward").batch_norm_backward(dy, x, None, mean, var, 1e-5, ALL, relu=True):
        assert np.isfinite(a).all()


def test_what_is_no_number_stays_so_behind_a_relu():
    x = normal(6, 3)
    x[2, 1] = np.nan
    y = simulator("fast", "forward").batch_norm_forward(x, None, None, 1e-5, relu=True)[0]
    np.testing.assert_array_equal(np.isnan(y), [[False, True, False]] * 6)


@pytest.mark.parametrize("shape", [*SHAPES, (0, 3, 2), (2, 0, 2), (2, 3, 0)])
def test_inference(shape):
    c = shape[1]
    statistics = normal(c), np.abs(normal(c)) + 1
    compare("batch_norm_inference", normal(*shape), *statistics, normal(c), normal(c), 1e-5)
    compare("batch_norm_inference", normal(*shape), *statistics, None, None, 0.0)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(dtype):
    for weight_type in {np.dtype(dtype), np.dtype("float64" if dtype == "float64" else "float32")}:
        both(normal(6, 5, 3, dtype=dtype), normal(5, dtype=weight_type), normal(5, dtype=weight_type), modes=FAST)
    x, mean, var = normal(6, 5, dtype=dtype), normal(5, dtype=dtype), np.abs(normal(5, dtype=dtype))
    compare("batch_norm_inference", x, mean, var, None, None, 1e-2, modes=FAST)


@pytest.mark.parametrize("wanted", [w for w in itertools.product((True, False), repeat=3) if any(w)])
def test_what_is_wanted(wanted):
    x, dy, mean, var = normal(5, 3, 4), normal(5, 3, 4), normal(3), np.abs(normal(3)) + 1
    compare("batch_norm_backward", dy, x, normal(3), mean, var, 1e-5, wanted, ladder="batch_norm")


def test_more_channels_than_a_byte_counts():
    both(normal(3, 140, 2), normal(140), normal(140), rtol=1e-5, atol=1e-5, modes=FAST)


def test_strided_inputs():
    x, weight = normal(3, 4, 10).transpose(2, 1, 0)[::2], normal(8)[::-2]
    both(x, weight, weight, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (2, 3, 0)])
def test_empty(shape):
    c = shape[1]
    compare("batch_norm_forward", normal(*shape), normal(c), normal(c), 1e-5, ladder="batch_norm")
    args = (normal(*shape), normal(*shape), normal(c), normal(c), np.ones(c, np.float32), 1e-5, ALL)
    compare("batch_norm_backward", *args, ladder="batch_norm")


@pytest.mark.parametrize("shape", [(700, 3), (5, 2, 9000), (1, 1, 20_000), (3000, 40, 2)])
def test_large_ones_against_formulas(shape):
    x, dy, weight = normal(*shape, dtype="float64") * 3 + 50, normal(*shape, dtype="float64"), normal(shape[1])
    axes = (0, *range(2, len(shape)))
    spread = (-1, *(1,) * (len(shape) - 2))
    mean, var = x.mean(axes), x.var(axes)
    xhat = (x - mean.reshape(spread)) / np.sqrt(var.reshape(spread) + 1e-5)
    g = dy * weight.reshape(spread)
    dx = (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True)) / np.sqrt(
        var.reshape(spread) + 1e-5
    )
    backend = simulator("fast", "forward")
    for got, expected in zip(
        backend.batch_norm_forward(x, weight.astype("d"), None, 1e-5), (xhat * weight.reshape(spread), mean, var)
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)
    for got, expected in zip(
        backend.batch_norm_backward(dy, x, weight.astype("d"), mean, var, 1e-5, ALL),
        (dx, (dy * xhat).sum(axes), dy.sum(axes)),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


STATISTICS = ["float32", "float64", "float16", bfloat16]


@pytest.mark.parametrize("batches", [None, np.array(7)])
@pytest.mark.parametrize("dtype", STATISTICS)
def test_running_statistics_to_the_bit(dtype, batches):
    work = "float64" if dtype == "float64" else "float32"
    for c in (1, 3, 300):
        running = normal(c, dtype=dtype), normal(c, dtype=dtype)
        args = running[0], normal(c, dtype=work), running[1], normal(c, dtype=work)
        compare("move_statistics", *args, batches, 0.9, 0.1, 0.1 * 64 / 63, exact=True)


@pytest.mark.parametrize("dtype", STATISTICS)
def test_running_statistics_in_place(dtype):
    work = "float64" if dtype == "float64" else "float32"
    mean, mu, var, v = normal(40, dtype=dtype), normal(40, dtype=work), normal(40, dtype=dtype), normal(40, dtype=work)
    for backend in (numpy_backend, simulator("fast", "forward"), simulator("check", "reverse")):
        expected = backend.move_statistics(mean, mu, var, v, np.array(2), 0.75, 0.25, 0.3)
        out = mean.copy(), var.copy(), np.array(2)
        backend.move_statistics(out[0], mu, out[1], v, out[2], 0.75, 0.25, 0.3, out=out)
        for got, wanted in zip(out, expected, strict=True):
            assert got.tobytes() == wanted.tobytes()
        assert out[2] == 3


def test_batches_of_no_channel_are_counted():
    none = np.empty(0, np.float32)
    for backend in (numpy_backend, simulator("fast", "forward")):
        assert backend.move_statistics(none, none, none, none, np.array(4), 0.9, 0.1, 0.1)[2] == 5


@pytest.mark.parametrize("name", ["fused", "split"])
def test_a_large_mean_does_not_cancel(name):
    x = normal(500, 2, 40) + np.array([1e4, -3e3], np.float32).reshape(2, 1)
    with rung("batch_norm", name):
        _, mean, var = simulator("fast", "forward").batch_norm_forward(x, None, None, 1e-5)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean((0, 2)), rtol=1e-7)
    np.testing.assert_allclose(var, exact.var((0, 2)), rtol=1e-5)
