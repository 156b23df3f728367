"""Gradients of small networks as textbooks give them: NumPy follows the formulas, gpunn follows its graph."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn import functional as F

ACTIVATIONS = {
    "relu": (F.relu, lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "tanh": (F.tanh, np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": (F.sigmoid, lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
}


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def weights(rng: np.random.Generator, *shape: int) -> tuple[np.ndarray, gpunn.Tensor]:
    w = rng.standard_normal(shape)
    return w, gpunn.tensor(w, requires_grad=True)


def same(tensor: gpunn.Tensor | None, expected: np.ndarray) -> None:
    assert tensor is not None
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_two_layer_network(name: str, rng: np.random.Generator) -> None:
    """With S = softmax(s(X W1) W2), row by row, and I_y the targets one-hot, the cross entropy (summed) has

    grad W2 = s(X W1)^T (S - I_y)
    grad W1 = X^T [(S - I_y) W2^T o s'(X W1)]

    Kolter, Chen: Deep Learning Systems (CMU 10-414), lecture 3, "Manual neural networks".
    """
    function, s, ds = ACTIVATIONS[name]
    x, y = rng.standard_normal((7, 5)), rng.integers(0, 3, 7)
    w1, t1 = weights(rng, 5, 4)
    w2, t2 = weights(rng, 4, 3)

    F.cross_entropy(function(gpunn.tensor(x) @ t1) @ t2, gpunn.tensor(y), reduction="sum").backward()

    difference = softmax(s(x @ w1) @ w2) - np.eye(3)[y]
    same(t2.grad, s(x @ w1).T @ difference)
    same(t1.grad, x.T @ (difference @ w2.T * ds(x @ w1)))


def test_two_layer_network_as_modules(rng: np.random.Generator) -> None:
    """The same gradients in layers, whose weights are (out, in), and for the mean over n samples: 1/n of the sum."""
    x, y = rng.standard_normal((7, 5)), rng.integers(0, 3, 7)
    net = nn.Sequential(nn.LinearActivation(5, 4, bias=False, activation="relu"), nn.Linear(4, 3, bias=False)).double()
    w1, w2 = (p.detach().numpy().T for p in net.parameters())

    nn.CrossEntropyLoss()(net(gpunn.tensor(x)), gpunn.tensor(y)).backward()

    hidden = np.maximum(x @ w1, 0)
    difference = (softmax(hidden @ w2) - np.eye(3)[y]) / 7
    same(net[1].weight.grad, (hidden.T @ difference).T)
    same(net[0].weight.grad, (x.T @ (difference @ w2.T * (hidden > 0))).T)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_recursion_through_many_layers(name: str, depth: int, rng: np.random.Generator) -> None:
    """For Z_{i+1} = s(Z_i W_i) and G_i = dl/dZ_i:

    G_i = (G_{i+1} o s'(Z_i W_i)) W_i^T,     grad W_i = Z_i^T (G_{i+1} o s'(Z_i W_i))

    Kolter, Chen: Deep Learning Systems (CMU 10-414), lecture 3, "Backpropagation in general".
    """
    function, s, ds = ACTIVATIONS[name]
    sizes = rng.integers(2, 6, depth + 1)
    pairs = [weights(rng, a, b) for a, b in pairwise(sizes)]
    x = rng.standard_normal((6, sizes[0]))
    target = rng.standard_normal((6, sizes[-1]))

    z = start = gpunn.tensor(x, requires_grad=True)
    for _, w in pairs:
        z = function(z @ w)
    (0.5 * (z - gpunn.tensor(target)) ** 2).sum().backward()

    zs = [x]
    for w, _ in pairs:
        zs.append(s(zs[-1] @ w))
    g = zs[-1] - target
    for i in reversed(range(depth)):
        w, tensor = pairs[i]
        g = g * ds(zs[i] @ w)
        same(tensor.grad, zs[i].T @ g)
        g = g @ w.T
    same(start.grad, g)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_hidden_layer_with_l2(name: str, rng: np.random.Generator) -> None:
    """z = W1 x, h = f(z), o = W2 h, and J = L + s with s = l/2 (|W1|^2 + |W2|^2):

    dJ/dW2 = dJ/do h^T + l W2
    dJ/dz = (W2^T dJ/do) o f'(z)
    dJ/dW1 = dJ/dz x^T + l W1

    Zhang, Lipton, Li, Smola: Dive into Deep Learning, section 5.3.
    """
    function, f, df = ACTIVATIONS[name]
    l = 0.3
    x, y = rng.standard_normal((5, 1)), rng.standard_normal((2, 1))
    w1, t1 = weights(rng, 4, 5)
    w2, t2 = weights(rng, 2, 4)

    o = t2 @ function(t1 @ gpunn.tensor(x))
    loss = 0.5 * ((o - gpunn.tensor(y)) ** 2).sum()
    penalty = l / 2 * ((t1**2).sum() + (t2**2).sum())
    (loss + penalty).backward()

    z = w1 @ x
    do = w2 @ f(z) - y
    dz = w2.T @ do * df(z)
    same(t2.grad, do @ f(z).T + l * w2)
    same(t1.grad, dz @ x.T + l * w1)


@pytest.mark.parametrize(
    ("w0", "w1", "loss", "dw0", "dw1"),
    [
        # z = 0.5 * 2 = 1, h = 1, o = 3, J = (3 - 1)^2 = 4; dJ/do = 2 (3 - 1) = 4;
        # dJ/dw1 = 4 h = 4; dJ/dh = 4 w1 = 12; dJ/dz = 12, for z > 0; dJ/dw0 = 12 x = 24
        (0.5, 3.0, 4.0, 24.0, 4.0),
        # z = -1, h = 0, o = 0, J = (0 - 1)^2 = 1; dJ/do = -2; dJ/dw1 = -2 * 0; nothing passes the ReLU: dJ/dw0 = 0
        (-0.5, 3.0, 1.0, 0.0, 0.0),
        # z = 2, h = 2, o = -2, J = 9; dJ/do = -6; dJ/dw1 = -12; dJ/dh = 6; dJ/dw0 = 12
        (1.0, -1.0, 9.0, 12.0, -12.0),
    ],
)
def test_scalar_chain(w0: float, w1: float, loss: float, dw0: float, dw1: float) -> None:
    """J = (w1 max(w0 x, 0) - y)^2 at x = 2, y = 1, by the chain rule with pencil and paper."""
    a, b = gpunn.tensor(w0, requires_grad=True), gpunn.tensor(w1, requires_grad=True)
    j = (b * (a * 2.0).relu() - 1.0) ** 2
    j.backward()
    assert j.item() == loss
    assert a.grad is not None and a.grad.item() == dw0
    assert b.grad is not None and b.grad.item() == dw1


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("d_in", "d_out"), [(1, 1), (784, 512), (10, 3)])
def test_parameters_of_an_affine_layer(d_in: int, d_out: int) -> None:
    """One weight for each input and a bias, for each output: (d_in + 1) d_out."""
    assert parameters(nn.Linear(d_in, d_out)) == (d_in + 1) * d_out
    assert parameters(nn.LinearActivation(d_in, d_out)) == (d_in + 1) * d_out
    assert parameters(nn.Linear(d_in, d_out, bias=False)) == d_in * d_out


@pytest.mark.parametrize(("k", "c_in", "c_out"), [(1, 4, 2), (3, 1, 32), (5, 6, 16)])
def test_parameters_of_a_convolution(k: int, c_in: int, c_out: int) -> None:
    """A k x k window over all input channels and a bias, for each output channel: (k k c_in + 1) c_out.

    The size of the image does not matter, nor do stride and padding. (CS231n, "Convolutional neural networks".)
    """
    expected = (k * k * c_in + 1) * c_out
    assert parameters(nn.Conv2d(c_in, c_out, k)) == expected
    assert parameters(nn.Conv2d(c_in, c_out, k, stride=2, padding=1)) == expected
    assert parameters(nn.ConvTranspose2d(c_in, c_out, k)) == expected


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((3, 4))])
def test_pooling_has_no_parameters_and_keeps_the_channels(pool: nn.Module, rng: np.random.Generator) -> None:
    """A window is reduced within its channel, by a fixed function. (CS231n, "Convolutional neural networks".)"""
    x = gpunn.tensor(rng.standard_normal((2, 5, 6, 8)))
    assert parameters(pool) == 0
    y = pool(x)
    assert y.shape == (2, 5, 3, 4)
    for c in range(5):
        np.testing.assert_array_equal(y.numpy()[:, c], pool(gpunn.tensor(x.numpy()[:, c : c + 1])).numpy()[:, 0])
