"""Textbook facts about softmax, cross entropy and batch normalisation, each with its source."""

import math

import numpy as np
import pytest

import gpunn
from gpunn import ops
from gpunn.autograd import grad


def jacobian(function, x):
    """Row i is the gradient of the i-th result."""
    x = gpunn.tensor(x, requires_grad=True)
    y = function(x)
    return np.stack([grad(y[i], x, retain_graph=True)[0].numpy() for i in range(len(y))])


def test_jacobian_of_softmax():
    """ds_i/dx_j = s_i ([i = j] - s_j): diag(s) - s s^T (Bishop 2006, eq. 4.106)."""
    x = np.random.default_rng(0).normal(size=5)
    s = np.exp(x) / np.exp(x).sum()
    np.testing.assert_allclose(jacobian(lambda v: ops.softmax(v, 0), x), np.diag(s) - np.outer(s, s), atol=1e-15)


def test_jacobian_of_log_softmax():
    """d ln s_i/dx_j = [i = j] - s_j: the derivative above, over s_i."""
    x = np.random.default_rng(0).normal(size=5)
    s = np.exp(x) / np.exp(x).sum()
    np.testing.assert_allclose(jacobian(lambda v: ops.log_softmax(v, 0), x), np.eye(5) - s, atol=1e-15)


def test_gradient_of_softmax_cross_entropy():
    """dL/dX = S - I_y, the softmax less the one-hot labels (Bishop 2006, eq. 4.109; Goodfellow et al. 2016, 6.2.2)."""
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(6, 4)), rng.integers(0, 4, 6)
    s = np.exp(values) / np.exp(values).sum(1, keepdims=True)
    one_hot = np.eye(4)[labels]
    x = gpunn.tensor(values, requires_grad=True)
    ops.cross_entropy(x, gpunn.tensor(labels), reduction="sum").backward()
    np.testing.assert_allclose(x.grad.numpy(), s - one_hot, atol=1e-15)
    x.grad = None
    ops.cross_entropy(x, gpunn.tensor(labels)).backward()
    np.testing.assert_allclose(x.grad.numpy(), (s - one_hot) / 6, atol=1e-15)


def test_hessian_of_softmax_cross_entropy():
    """d2L/dx dx^T = diag(s) - s s^T, whatever the label (Bishop 2006, eq. 4.110)."""
    values = np.random.default_rng(0).normal(size=4)
    s = np.exp(values) / np.exp(values).sum()
    x = gpunn.tensor(values, requires_grad=True)
    (first,) = grad(ops.cross_entropy(x, gpunn.tensor(2)), x, create_graph=True)
    hessian = np.stack([grad(first[i], x, retain_graph=True)[0].numpy() for i in range(4)])
    np.testing.assert_allclose(hessian, np.diag(s) - np.outer(s, s), atol=1e-15)


def test_derivative_of_the_sigmoid():
    """s' = s (1 - s) (Bishop 2006, eq. 4.88)."""
    values = np.linspace(-4, 4, 9)
    x = gpunn.tensor(values, requires_grad=True)
    ops.sigmoid(x).sum().backward()
    s = 1 / (1 + np.exp(-values))
    np.testing.assert_allclose(x.grad.numpy(), s * (1 - s), rtol=1e-12)


def test_sigmoid_is_softmax_of_two_classes():
    """s(x) = e^x / (e^x + e^0), so the two cross entropies agree (Goodfellow et al. 2016, 6.2.2.2)."""
    x = np.linspace(-5, 5, 7)
    labels = np.array([0, 1, 1, 0, 1, 0, 0])
    both = gpunn.tensor(np.stack([np.zeros(7), x], 1))
    two = ops.cross_entropy(both, gpunn.tensor(labels), reduction="none")
    one = ops.binary_cross_entropy_with_logits(gpunn.tensor(x), gpunn.tensor(labels.astype(float)), reduction="none")
    np.testing.assert_allclose(two.numpy(), one.numpy(), rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_cross_entropy_of_an_uninformed_prediction(classes):
    """The uniform distribution over C classes costs ln C: the loss that a network should start from."""
    loss = ops.cross_entropy(gpunn.zeros(4, classes), gpunn.tensor([0, 1, 1, 0]))
    assert loss.item() == pytest.approx(math.log(classes), rel=1e-6)


def test_cross_entropy_is_log_softmax_then_negative_log_likelihood():
    """The definition that PyTorch documents for CrossEntropyLoss."""
    rng = np.random.default_rng(0)
    x, labels = gpunn.tensor(rng.normal(size=(5, 3))), gpunn.tensor(rng.integers(0, 3, 5))
    two_steps = ops.nll_loss(ops.log_softmax(x, 1), labels)
    assert ops.cross_entropy(x, labels).item() == pytest.approx(two_steps.item(), rel=1e-14)


def test_label_smoothing_mixes_in_the_uniform_distribution():
    """(1 - e) H(q, p) + e H(u, p) (Szegedy et al. 2016, section 7)."""
    rng = np.random.default_rng(0)
    x, labels = gpunn.tensor(rng.normal(size=(5, 3))), gpunn.tensor(rng.integers(0, 3, 5))
    hard = ops.cross_entropy(x, labels).item()
    uniform = ops.cross_entropy(x, gpunn.full((5, 3), 1 / 3, dtype="float64")).item()
    smooth = ops.cross_entropy(x, labels, label_smoothing=0.2).item()
    assert smooth == pytest.approx(0.8 * hard + 0.2 * uniform, rel=1e-14)


@pytest.mark.parametrize("shape", [(50, 4), (10, 4, 6), (5, 4, 3, 7)])
def test_batch_norm_gives_mean_0_and_variance_1(shape):
    """Ioffe and Szegedy 2015, algorithm 1; with weight and bias, their mean and standard deviation."""
    x = gpunn.tensor(np.random.default_rng(0).normal(3, 5, shape))
    dims = (0, *range(2, len(shape)))
    y = ops.batch_norm(x, None, None, training=True, eps=1e-12).numpy()
    np.testing.assert_allclose(y.mean(dims), np.zeros(4), atol=1e-12)
    np.testing.assert_allclose(y.var(dims), np.ones(4), rtol=1e-10)
    w, b = np.array([1.0, 2.0, 0.5, 3.0]), np.array([0.0, -1.0, 5.0, 2.0])
    y = ops.batch_norm(x, None, None, gpunn.tensor(w), gpunn.tensor(b), training=True, eps=1e-12).numpy()
    np.testing.assert_allclose(y.mean(dims), b, atol=1e-12)
    np.testing.assert_allclose(y.std(dims), w, rtol=1e-10)


def test_bias_before_batch_norm_has_no_effect():
    """The mean takes it away, so its gradient is 0 (Ioffe and Szegedy 2015, section 3.2)."""
    x = gpunn.tensor(np.random.default_rng(0).normal(size=(20, 3)))
    b = gpunn.tensor([1.0, -2.0, 3.0], dtype="float64", requires_grad=True)
    y = ops.batch_norm(x + b, None, None, training=True)
    (y**3).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), ops.batch_norm(x, None, None, training=True).numpy(), atol=1e-12)
    np.testing.assert_allclose(b.grad.numpy(), np.zeros(3), atol=1e-12)


def test_layer_norm_does_not_depend_on_scale_and_shift_of_a_sample():
    """Ba, Kiros and Hinton 2016, section 5.1, table 1."""
    x = np.random.default_rng(0).normal(size=(3, 6))
    moved = x * [[2.0], [0.5], [10.0]] + [[1.0], [-3.0], [7.0]]
    a, b = (ops.layer_norm(gpunn.tensor(v), (6,), eps=1e-14).numpy() for v in (x, moved))
    np.testing.assert_allclose(a, b, atol=1e-10)
