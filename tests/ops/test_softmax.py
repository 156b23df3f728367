"""Softmax: arguments, types and stability."""

import math

import numpy as np
import pytest

import gpunn
from gpunn import ops


@pytest.mark.parametrize("function", [ops.softmax, ops.log_softmax, ops.softmin])
def test_dimension_and_type_are_checked(function):
    x = gpunn.zeros(2, 3)
    with pytest.raises(IndexError, match=r"out of range.*2 dimensions"):
        function(x, 2)
    with pytest.raises(RuntimeError, match="takes floats"):
        function(x.long(), 1)
    assert function(x.long(), 1, dtype=gpunn.float64).dtype is gpunn.float64


@pytest.mark.parametrize(("shape", "dim"), [((3,), 0), ((2, 3), 1), ((2, 3, 2), 0), ((2, 3, 2, 2), 1)])
def test_without_dim_one_is_guessed_with_a_warning(shape, dim):
    x = gpunn.tensor(np.random.default_rng(0).normal(size=shape))
    with pytest.warns(UserWarning, match=f"dim={dim}"):
        guessed = ops.softmax(x)
    np.testing.assert_array_equal(guessed.numpy(), ops.softmax(x, dim).numpy())


@pytest.mark.parametrize("columns", [4, 100])
def test_both_memory_layouts_agree(columns):
    # Few classes are computed in another order of memory than many; shifting by a constant changes nothing.
    x = np.random.default_rng(0).normal(size=(5, columns)).astype("float32")
    y = ops.softmax(gpunn.tensor(x + 100), 1).numpy()
    e = np.exp(x.astype("float64"))
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), rtol=2e-5)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_infinite_logits_are_as_in_torch(torch, name):
    # -inf is probability 0; what has no answer is NaN.
    values = [[0.0, -math.inf], [-math.inf, -math.inf], [math.inf, 0.0]]
    expected = getattr(torch, name)(torch.tensor(values), 1).numpy()
    np.testing.assert_array_equal(getattr(ops, name)(gpunn.tensor(values), 1).numpy(), expected)


def test_bfloat16_is_computed_in_float32():
    x = gpunn.tensor(np.linspace(-3, 3, 12).reshape(3, 4), dtype="bfloat16")
    exact = ops.softmax(x.float(), 1)
    np.testing.assert_array_equal(ops.softmax(x, 1).float().numpy(), exact.to(gpunn.bfloat16).float().numpy())


def test_inplace_activations_change_the_input():
    x = gpunn.tensor([-2.0, 0.5, 9.0])
    y = ops.relu6(x, inplace=True)
    assert y is x
    np.testing.assert_array_equal(x.numpy(), [0, 0.5, 6])


def test_gradient_at_the_limits_is_0(torch):
    values = [-1.0, 1.0, 0.0, 2.0, math.nan]
    x, y = gpunn.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    ops.hardtanh(x).sum().backward()
    torch.nn.functional.hardtanh(y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.grad.numpy())


def test_logsigmoid_of_extreme_numbers():
    y = ops.logsigmoid(gpunn.tensor([-1e4, 1e4, -50.0, 30.0], dtype="float64"))
    np.testing.assert_allclose(y.numpy(), [-1e4, 0, -50, -math.log1p(math.exp(-30))], rtol=1e-12)


def test_activations_refuse_what_has_no_meaning():
    x = gpunn.zeros(3)
    with pytest.raises(ValueError, match="min_val"):
        ops.hardtanh(x, 1.0, -1.0)
    with pytest.raises(RuntimeError, match="even"):
        ops.glu(x)
    with pytest.raises(RuntimeError, match="alpha"):
        ops.celu(x, 0.0)
    with pytest.raises(RuntimeError, match="lambda"):
        ops.softshrink(x, -1.0)
    with pytest.raises(RuntimeError, match="4 channels"):
        ops.prelu(gpunn.zeros(2, 4), gpunn.zeros(3))
