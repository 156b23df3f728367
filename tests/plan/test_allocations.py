"""A replayed step allocates no array: all that it computes in is there after the first steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn
from gpunn.models import cnn

from .allocations import counted
from .networks import NETWORKS, OPTIMIZERS


def averages() -> nn.Module:
    """Pooling by means, with padding, and to a size that does not divide the image."""
    convolution = nn.Conv2d(1, 4, 3)
    pooling = nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d((3, 2))
    return nn.Sequential(convolution, nn.ReLU(), *pooling, nn.Flatten(), nn.Linear(24, 10))


CASES: dict[str, Any] = {
    **NETWORKS,
    "cnn": (lambda: cnn((1, 28, 28), 10), (1, 28, 28), nn.CrossEntropyLoss()),
    "averages": (averages, (1, 20, 18), nn.CrossEntropyLoss()),
}


def steps(network: str, optimizer: str, batch: int, fuse: bool = True) -> Iterator[tuple[list[int], list[int]]]:
    """What each step allocates, and the sizes of what it returns."""
    build, shape, loss_fn = CASES[network]
    gpunn.manual_seed(0)
    model = build()
    step = TrainStep(model, loss_fn, OPTIMIZERS[optimizer](model.parameters()), fuse=fuse)
    x, y = gpunn.rand(batch, *shape), gpunn.tensor(np.arange(batch) % 10)
    while True:
        with counted() as allocations:
            result = step(x, y)
        yield allocations.arrays(), [t.nbytes for t in (result if isinstance(result, tuple) else (result,))]


def test_the_counter_counts() -> None:
    with counted() as allocations:
        np.add(np.ones(100), 1)
    assert allocations.arrays() == [800, 800]
    assert allocations.peak >= 1600
    assert allocations.live == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", CASES)
def test_a_replayed_step_allocates_nothing_but_its_results(network: str, optimizer: str) -> None:
    run = steps(network, optimizer, 4)
    for _ in range(3):
        next(run)
    allocated, returned = next(run)
    assert sorted(allocated) == sorted(n for n in returned if n > 16)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("network", CASES)
def test_at_another_batch_size(network: str, fuse: bool) -> None:
    run = steps(network, "momentum", 33, fuse)
    for _ in range(3):
        next(run)
    allocated, returned = next(run)
    assert sorted(allocated) == sorted(n for n in returned if n > 16)
