"""Whole training steps over kernels: losses and parameters are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.models import build

pytestmark = pytest.mark.slow

STEPS, BATCH = 20, 32
WORKLOADS = {
    "MLP 784-512-10": ("mlp:512", (784,)),
    "W1, 784-512-512-10": ("mlp:512,512", (784,)),
    "LeNet": ("lenet", (1, 28, 28)),
}


def train(model: str, shape: tuple[int, ...], device: str) -> tuple[list[float], list[np.ndarray]]:
    """The losses of plain SGD on random images of ten classes, and how far each parameter has gone from its start."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((STEPS, BATCH, *shape), dtype=np.float32), rng.integers(0, 10, (STEPS, BATCH))
    gpunn.manual_seed(0)
    network = build(model, shape, 10)
    start = [p.detach().numpy().copy() for p in network.parameters()]
    network.to(device)
    optimizer = optim.SGD(network.parameters(), lr=0.01)
    losses = []
    for x, y in zip(images, labels):
        optimizer.zero_grad()
        result = network(gpunn.tensor(x, device=device))
        loss = nn.functional.cross_entropy(result, gpunn.tensor(y, device=device))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [p.detach().cpu().numpy() - s for p, s in zip(network.parameters(), start)]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_trains_as_on_the_cpu(workload: str) -> None:
    losses, moves = train(*WORKLOADS[workload], "sim")
    expected_losses, expected_moves = train(*WORKLOADS[workload], "cpu")
    np.testing.assert_allclose(losses, expected_losses, rtol=5e-5)
    for move, expected in zip(moves, expected_moves):
        np.testing.assert_allclose(move, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
