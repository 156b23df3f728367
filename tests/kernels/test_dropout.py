"""Dropout over kernels: the bits of numpy.random.Philox."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

import gpunn
from gpunn.backend.kernel.ladder import rung

from .harness import FAST, MODES, compare, simulator

RNG = np.random.default_rng(0)
RUNGS = ("naive", "octets")


def normal(*shape, dtype="float32"):
    return np.asarray(RNG.standard_normal(shape), dtype)


def uniforms(seed, call, offset, count):
    """The numbers that NumPy's own generator draws, from its own counter and key."""
    bits = np.random.Philox(key=np.array([seed, 1], np.uint64), counter=np.array([0, call, 0, 0], np.uint64))
    return np.random.Generator(bits).random(offset + count, dtype=np.float32)[offset:]


@pytest.mark.parametrize("name", RUNGS)
@pytest.mark.parametrize(
    ("seed", "call", "offset"), [(0, 0, 0), (7, 3, 8), (2**64 - 1, 2**40, 13), (1, 2**63, 1000003)]
)
def test_the_numbers_are_those_of_numpy(name, seed, call, offset):
    x = np.ones(1101, np.float32)  # more than 127 octets
    u = uniforms(seed, call, offset, x.size)
    for p in (0.1, 0.5, float(u[17]), float(np.nextafter(u[17], np.float32(1)))):
        with rung("dropout", name):
            y = simulator("fast", "forward").dropout(x, p, seed, call, offset)
        np.testing.assert_array_equal(y != 0, u >= p)
        np.testing.assert_array_equal(y[y != 0], np.float32(1 / (1 - p)))


def test_the_stream_is_that_of_the_generator():
    words = gpunn.random.philox(5, gpunn.random.DROPOUT, 2, 4).random(16, dtype=np.float32)
    y = simulator("fast", "forward").dropout(np.ones(16), 0.25, 5, 2, 32)
    np.testing.assert_array_equal(y != 0, words >= 0.25)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", bfloat16])
@pytest.mark.parametrize("shape", [(4, 5), (0, 3), (), (1,), (3, 1, 11), (8, 64)])
def test_shapes_and_types(shape, dtype):
    modes = MODES if dtype == "float32" else FAST
    for offset in (0, 3, 16):
        compare("dropout", normal(*shape, dtype=dtype), 0.3, 7, 2, offset, ladder="dropout", exact=True, modes=modes)


@pytest.mark.parametrize("p", [0.0, 1e-9, 1 - 2**-25, 1.0])
def test_probabilities_at_the_ends(p):
    compare("dropout", normal(50), p, 7, 2, 5, ladder="dropout", exact=True)


def test_strided_and_misaligned_inputs():
    compare("dropout", normal(5, 6).T, 0.5, 1, 1, 0, ladder="dropout", exact=True)
    compare("dropout", normal(30)[1:], 0.5, 1, 1, 0, ladder="dropout", exact=True)


def test_what_is_not_finite():
    x = np.array([np.inf, -np.inf, np.nan, -1.0] * 5, np.float32)
    compare("dropout", x, 0.5, 1, 1, 0, ladder="dropout", exact=True)


def test_a_part_of_the_batch_has_the_mask_of_its_place():
    backend, x = simulator("fast", "forward"), normal(37, 3)
    whole = backend.dropout(x, 0.5, 9, 4, 0)
    parts = [backend.dropout(x[i : i + 5], 0.5, 9, 4, 3 * i) for i in range(0, 37, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
