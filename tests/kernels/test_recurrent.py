"""Recurrent layers over kernels."""

import numpy as np
import pytest

from gpunn.backend import numpy as numpy_backend

from .harness import FAST, MODES, compare, simulator

RNG = np.random.default_rng(0)
GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}
SIZES = [(3, 5, 7), (1, 1, 1), (2, 4, 33), (2, 9, 1), (27, 5, 3)]
"""Steps, samples, units: a block with one sample of its own, warps with a rest, more rows than 127."""


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def inputs(mode, length, batch, size, dtype="float32"):
    """x, weight, bias, h, c."""
    gates = GATES[mode] * size
    weight = (normal(gates, size) / np.sqrt(size)).astype(dtype)
    states = normal(2, batch, size, dtype=dtype)
    return normal(length, batch, gates, dtype=dtype), weight, normal(gates, dtype=dtype), states[0], states[1]


def both(mode, x, weight, bias, h0, c0, reverse, given=(True, True, True), **options):
    """Forward, and backward from NumPy's states."""
    lstm = mode == "lstm"
    c0 = c0 if lstm else None
    options = {"rtol": 1e-5, "atol": 1e-5} | options
    compare("recurrent_forward", mode, x, weight, bias, h0, c0, reverse, **options)
    results = numpy_backend.recurrent_forward(mode, x, weight, bias, h0, c0, reverse)
    h, c, kept = results if lstm else (results[0], None, results[1] if mode == "gru" else None)
    d = [
        normal(*a.shape, dtype=x.dtype) if a is not None and wanted else None for a, wanted in zip((h, c, kept), given)
    ]
    compare("recurrent_backward", mode, *d, h, c, kept, weight, h0, c0, reverse, **options)


@pytest.mark.parametrize("mode", GATES)
def test_shapes(mode):
    for i, sizes in enumerate(SIZES):
        both(mode, *inputs(mode, *sizes), i % 2 == 0, modes=MODES if sizes[0] == 3 else FAST)


@pytest.mark.parametrize("mode", GATES)
def test_more_units_than_threads(mode):
    both(mode, *inputs(mode, 2, 2, 260), False, modes=(("check", "forward"),) if mode == "gru" else FAST)


@pytest.mark.parametrize("mode", GATES)
def test_float64(mode):
    both(mode, *inputs(mode, 4, 3, 6, "float64"), True, modes=FAST, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["lstm", "gru"])
@pytest.mark.parametrize("given", [(True, False, False), (False, True, False), (False, False, True)])
def test_gradients_that_are_not_there(mode, given):
    x, weight, _, h, c = inputs(mode, 2, 3, 4)
    both(mode, x, weight, None, h, c, False, given, modes=FAST)


def test_strided_inputs():
    x, weight, bias, h, c = inputs("lstm", 6, 4, 5)
    both("lstm", x[::2, ::-1], weight[:, ::-1], bias[::-1], h.T.copy().T, c[::-1], False)


@pytest.mark.parametrize("mode", GATES)
def test_no_samples(mode):
    both(mode, *inputs(mode, 2, 0, 3), False, modes=FAST)


def test_a_gru_against_formulas():
    """Cho et al. 2014, one sample and one unit, worked step by step in Python."""
    x, weight, bias, h, _ = inputs("gru", 5, 1, 1, "float64")
    got = simulator("fast", "forward").recurrent_forward("gru", x, weight, bias, h, None, False)[0]
    state = float(h[0, 0])
    for step in range(5):
        a, p = x[step, 0], weight[:, 0] * state + bias
        r, z = 1 / (1 + np.exp(-(a + p)[:2]))
        state = (1 - z) * np.tanh(a[2] + r * p[2]) + z * state
        np.testing.assert_allclose(got[step, 0, 0], state, rtol=1e-12)


def test_relu_passes_nan_on():
    x = np.array([[[np.nan]], [[1.0]]], np.float32)
    one = np.ones((1, 1), np.float32)
    both("relu", x, one, None, one, None, False)
