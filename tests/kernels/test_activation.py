"""Activations and their gradients over kernels."""

import math

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel.activation import KINDS
from gpunn.ops.activation import DEFAULTS, FROM_OUTPUT, NAMES

from .harness import FAST, compare, simulator

X = np.array([np.nan, np.inf, -30, -3, -1.2, -0.1, -0.0, 0, 0.1, 0.5, 1.2, 3, 30], "f")


def parameters(kind):
    return (DEFAULTS[kind], 2.5) if kind in DEFAULTS else (0.0,)


def test_every_activation_has_a_number():
    assert sorted(KINDS) == sorted(NAMES)
    assert len(set(KINDS.values())) == len(KINDS)


@pytest.mark.parametrize("kind", NAMES)
def test_forward(kind):
    for parameter in (*parameters(kind), *((-1.5,) if kind == "softplus" else ())):
        compare("activation", X, kind, parameter, atol=1e-7)
    compare("activation", X.astype(bfloat16), kind, parameter, modes=FAST)
    compare("activation", X.astype("float64"), kind, parameter, modes=FAST, atol=1e-15)


@pytest.mark.parametrize("kind", [name for name in NAMES if name != "none"])
@pytest.mark.parametrize("from_output", [False, True])
def test_backward(kind, from_output):
    if from_output and kind not in FROM_OUTPUT:
        return
    s = np.tanh(X) / 2 + 0.5 * (kind == "sigmoid") if from_output else X
    dy = np.linspace(-2, 3, X.size, dtype="f")
    if not from_output and kind in ("tanh", "sigmoid"):
        return  # whose derivative is always taken from the output
    for parameter in parameters(kind):
        compare("activation_backward", dy, s, kind, parameter, from_output, atol=1e-6)
    compare("activation_backward", dy.astype("d"), s.astype("d"), kind, parameter, from_output, modes=FAST, atol=1e-14)


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("gelu", lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2))),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        ("softplus", lambda x: math.log(1 + math.exp(2 * x)) / 2),
        ("elu", lambda x: x if x > 0 else 2 * (math.exp(x) - 1)),
    ],
)
def test_formulas_and_their_slopes(kind, function):
    sim = simulator("fast", "forward")
    x, h = np.linspace(-3, 3, 14), 1e-5
    np.testing.assert_allclose(sim.activation(x, kind, 2.0), [function(v) for v in x], rtol=1e-12)
    slope = [(function(v + h) - function(v - h)) / (2 * h) for v in x]
    dx = sim.activation_backward(np.full(14, 3.0), x, kind, 2.0, False)
    np.testing.assert_allclose(dx, np.multiply(3, slope), rtol=1e-8, atol=1e-9)


def test_views_and_nothing():
    x = np.random.default_rng(0).standard_normal((6, 9)).astype("f")
    compare("activation", x[::2, ::-1].T, "gelu", 0.0)
    compare("activation_backward", x[:, ::3], x[::-1, :3], "relu", 0.0, True)
    compare("activation", x[:0], "silu", 0.0)
    compare("activation", np.arange(-3, 4), "relu", 0.0, modes=FAST)


def test_in_place():
    sim = simulator("fast", "forward")
    x = np.linspace(-2, 2, 11, dtype="f")
    expected = sim.activation(x, "tanh", 0.0)
    assert sim.activation(x, "tanh", 0.0, out=x) is x
    np.testing.assert_array_equal(x, expected)
