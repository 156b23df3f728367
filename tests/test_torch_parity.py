"""Whole training runs beside PyTorch: the same weights, the same data in the same order, the same losses.

Losses are compared, not weights: the bias of a convolution before batch norm has no effect on the loss, its gradient
is rounding alone, and Adam makes steps of full size of it.
"""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim

BATCH = 6
OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.01}),
    "momentum": ("SGD", {"lr": 0.01, "momentum": 0.9}),
    "nesterov": ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}),
    "adam": ("Adam", {"lr": 1e-4}),
    "adamw": ("AdamW", {"lr": 1e-4}),
    "rmsprop": ("RMSprop", {"lr": 1e-4}),
    "adagrad": ("Adagrad", {"lr": 1e-3}),
}


def mlp(n):
    """The MLP 784-64-64-10; `n` is gpunn.nn or torch.nn."""
    return n.Sequential(n.Linear(784, 64), n.ReLU(), n.Linear(64, 64), n.ReLU(), n.Linear(64, 10))


def lenet(n):
    """LeNet-5 with batch norm after each convolution."""
    return n.Sequential(
        *(n.Conv2d(1, 6, 5, padding=2), n.BatchNorm2d(6), n.ReLU(), n.MaxPool2d(2)),
        *(n.Conv2d(6, 16, 5), n.BatchNorm2d(16), n.ReLU(), n.MaxPool2d(2), n.Flatten()),
        *(n.Linear(400, 120), n.ReLU(), n.Linear(120, 84), n.ReLU(), n.Linear(84, 10)),
    )


NETWORKS = {"mlp": (mlp, (784,)), "lenet": (lenet, (1, 28, 28))}


def both_losses(torch, network, optimizer, dtype, steps):
    """The losses of `steps` steps by gpunn and by PyTorch, from PyTorch's initial weights."""
    build, shape = NETWORKS[network]
    torch.manual_seed(0)
    theirs = build(torch.nn).to(getattr(torch, dtype))
    ours = build(nn).to(getattr(gpunn, dtype))
    ours.load_state_dict({key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    name, options = OPTIMIZERS[optimizer]
    our_optimizer = getattr(optim, name)(ours.parameters(), **options)
    their_optimizer = getattr(torch.optim, name)(theirs.parameters(), **options)
    rng = np.random.default_rng(1)
    xs = rng.standard_normal((8, BATCH, *shape)).astype(dtype)
    ts = rng.integers(0, 10, (8, BATCH))
    our_losses, their_losses = [], []
    for step in range(steps):
        x, t = xs[step % 8], ts[step % 8]
        loss = nn.functional.cross_entropy(ours(gpunn.tensor(x)), gpunn.tensor(t))
        our_optimizer.zero_grad()
        loss.backward()
        our_optimizer.step()
        our_losses.append(loss.item())
        loss = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(t))
        their_optimizer.zero_grad()
        loss.backward()
        their_optimizer.step()
        their_losses.append(loss.item())
    return our_losses, their_losses


@pytest.mark.parametrize(
    ("network", "optimizer"), [*(("mlp", name) for name in OPTIMIZERS), ("lenet", "nesterov"), ("lenet", "adam")]
)
def test_first_100_losses_in_float64(torch, network, optimizer):
    ours, theirs = both_losses(torch, network, optimizer, "float64", steps=100)
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_first_5_losses_in_float32(torch, network, optimizer):
    ours, theirs = both_losses(torch, network, optimizer, "float32", steps=5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
