"""Rows of a table by their indices, one-hot rows, and images picked from a data set, over kernels."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.recording import Recorder

from .harness import FAST, compare, simulator

SIM = simulator("fast", "forward")
RNG = np.random.default_rng(0)
SHAPES = [((5, 9), 7, 3), ((3,), 50, 8), ((), 5, 4), ((0, 3), 5, 4), ((70,), 1, 5), ((2, 2), 4, 1), ((9,), 300, 2)]
OPTIONS = [(-1, False), (1, False), (-1, True), (0, True)]


def normal(*shape, dtype="float32"):
    return np.asarray(RNG.standard_normal(shape)).astype(dtype)


def indices_of(shape, rows, low=0):
    return np.asarray(RNG.integers(low, rows, shape))


@pytest.mark.parametrize(("shape", "rows", "d"), SHAPES, ids=str)
def test_rows_and_their_gradients(shape, rows, d):
    indices = indices_of(shape, rows)
    compare("embedding", indices, normal(rows, d), exact=True)
    for skip, by_frequency in OPTIONS:
        dy = normal(*shape, d)
        # In the same order, so in the same bits
        compare("embedding_backward", dy, indices, rows, skip, by_frequency, ladder="embedding_backward", exact=True)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(dtype):
    indices = indices_of((4, 9), 6)
    for width in ("int64", "int32", "int16", "int8", "uint8"):
        compare("embedding", indices.astype(width), normal(6, 4, dtype=dtype), exact=True, modes=FAST)
    for skip, by_frequency in OPTIONS:
        args = (normal(4, 9, 4, dtype=dtype), indices.astype("int32"), 6, skip, by_frequency)
        compare("embedding_backward", *args, ladder="embedding_backward", exact=True, modes=FAST)


def test_strided_inputs():
    indices = indices_of((8, 6), 7).T[::2]
    compare("embedding", indices, normal(14, 10)[::-2, ::3], exact=True, modes=FAST)
    dy = normal(4, 8, 6).transpose(2, 1, 0)[::2]
    compare("embedding_backward", dy, indices, 7, -1, False, ladder="embedding_backward", exact=True, modes=FAST)


def test_the_gradient_adds_up_what_each_row_was_picked_for():
    indices, dy = RNG.integers(0, 300, 3000), RNG.standard_normal((3000, 5))
    indices[:300] = np.arange(300)
    expected = np.zeros((300, 5))
    for i, row in zip(indices, dy):
        expected[i] += row if i != 4 else 0
    for name in ("naive", "sorted"):
        with rung("embedding_backward", name):
            np.testing.assert_allclose(SIM.embedding_backward(dy, indices, 300, 4, False), expected, rtol=1e-10)
            frequency = np.bincount(indices, minlength=300)[:, None]
            np.testing.assert_allclose(
                SIM.embedding_backward(dy, indices, 300, 4, True), expected / frequency, rtol=1e-10
            )


def test_many_terms_of_one_row_are_added_precisely():
    dy = np.full((20_000, 1), 0.1, np.float32)  # one after the other they give 2000.66
    for name in ("naive", "sorted"):
        with rung("embedding_backward", name):
            y = SIM.embedding_backward(dy, np.zeros(20_000, int), 1, -1, False)
            np.testing.assert_allclose(y, [[2000]], rtol=1e-6)


def test_the_rung_that_the_size_asks_for():
    indices, dy = RNG.integers(0, 5000, 1000), normal(1000, 2)
    compare("embedding_backward", dy, indices, 5000, 7, False, exact=True, modes=FAST)


@pytest.mark.parametrize("dtype", ["bool", "int16", "float32", "int64"])
def test_one_hot(dtype):
    for shape in ((3, 4), (7,), (), (0, 2)):
        for axis in range(len(shape) + 1):
            compare("one_hot", indices_of(shape, 6, low=-1), 4, axis, np.dtype(dtype), False, exact=True, modes=FAST)
    compare("one_hot", indices_of((3, 4), 5).astype("uint8"), 5, 1, np.dtype(dtype), True, exact=True)
    compare("one_hot", indices_of((150,), 3), 3, 1, np.dtype(dtype), True, exact=True, modes=FAST)


BAD = [
    lambda b: b.embedding(np.array([[1, 2], [3, 5]]), np.zeros((5, 2))),
    lambda b: b.embedding(np.array(-1), np.zeros((5, 2))),
    lambda b: b.one_hot(np.array([[1, 2], [3, 5]]), 5, 2, np.int64, True),
    lambda b: b.one_hot(np.array([1, -2], np.int8), 5, 1, np.int64, True),
    lambda b: b.gather_images(*images(4, 3, 2), np.array([0, 4]), *factors(3), np.dtype("float32")),
]


@pytest.mark.parametrize("call", BAD)
def test_bad_indices_are_the_errors_of_the_cpu(call):
    messages = []
    for backend in (numpy_backend, SIM):
        with pytest.raises((IndexError, RuntimeError)) as error:
            call(backend)
            backend.synchronize()
        messages.append((type(error.value), str(error.value)))
    assert messages[0] == messages[1]


# Images ---------------------------------------------------------------------------------------------------------------


def images(*shape):
    return (RNG.integers(0, 256, shape, dtype=np.uint8),)


def factors(channels, dtype="float32"):
    return RNG.uniform(0.001, 0.02, channels).astype(dtype), normal(channels, dtype=dtype)


@pytest.mark.parametrize("shape", [(6, 3, 4, 5), (6, 2, 3, 3), (6, 1, 1), (6, 4)], ids=str)
def test_images_are_picked_and_normalised(shape):
    x, index = images(*shape)[0], np.array([5, 0, 5, 2, 1])
    channels = shape[1] if len(shape) > 2 else 1
    scale, shift = factors(channels)
    compare("gather_images", x, index, scale, shift, np.dtype("float32"), ladder="gather_images")
    sizes = (-1,) + (1,) * (len(shape) - 2) if channels > 1 else (1,)
    expected = x[index] * scale.astype(float).reshape(sizes) + shift.astype(float).reshape(sizes)
    got = SIM.gather_images(x, index, scale, shift, np.dtype("float32"))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_images_in_other_types(dtype):
    scale, shift = factors(3, "float64" if dtype == "float64" else "float32")
    for x in (images(4, 3, 2, 6)[0], images(4, 2, 3, 6)[0].transpose(0, 2, 1, 3)[::-1]):
        for index in (np.array([3, 0, 3]), np.zeros(0, int)):
            compare("gather_images", x, index, scale, shift, np.dtype(dtype), ladder="gather_images", modes=FAST)


def test_many_images():
    x, index = images(4, 2, 12)[0], indices_of((140,), 4)
    compare("gather_images", x, index, *factors(2), np.dtype("float32"), ladder="gather_images", modes=FAST)


def test_images_that_are_not_there_are_zeros():
    recorder = Recorder(SIM)
    for size in (8, 9):
        with recorder.call() as launches:
            y = SIM.gather_images(*images(3, size), np.array([3, -1, 2]), *factors(1), np.dtype("float32"))
        for launch in launches:
            launch.run()
        assert (y[:2] == 0).all() and (y[2] != 0).any()
