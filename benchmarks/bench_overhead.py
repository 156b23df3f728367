"""What gpunn costs beyond the NumPy calls it makes: ``pytest benchmarks/bench_overhead.py``.

The arrays are 8 x 8, so the arithmetic is next to nothing. The tensors require gradients, so every call is recorded.
The overhead of an eager operation is the difference of the two medians of a pair; that of a replayed step is what is
left when nothing is computed. Of that, `bench_watch` is what it takes to see that a plan still holds: under 5
microseconds for usual models.
"""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn, optim
from gpunn.models import lenet
from gpunn.optim.bound import BoundProducts, BoundStep

RNG = np.random.default_rng(0)
PAIRS = {
    "add": (lambda x, y: x + y, np.add),
    "mul": (lambda x, y: x * y, np.multiply),
    "relu": (lambda x, y: x.relu(), lambda x, y: np.maximum(x, 0)),
}


@pytest.mark.parametrize("who", ["numpy", "gpunn"])
@pytest.mark.parametrize("name", PAIRS)
def bench_overhead(benchmark, name, who):
    benchmark.group = name
    a, b = (RNG.standard_normal((8, 8), dtype=np.float32) for _ in range(2))
    ours, numpys = PAIRS[name]
    if who == "numpy":
        benchmark(numpys, a, b)
    else:
        benchmark(ours, gpunn.tensor(a, requires_grad=True), gpunn.tensor(b, requires_grad=True))


def bench_replayed_step(benchmark):
    """The host's part of a replayed step of W1: the primitives, and what an optimizer computes, do nothing."""
    layers = (nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    model = nn.Sequential(*layers)
    optimizer = optim.SGD(model.parameters(), 0.01, momentum=0.9)
    step = TrainStep(model, nn.CrossEntropyLoss(), optimizer)
    x, y = gpunn.rand(32, 784), gpunn.tensor(RNG.integers(0, 10, 32))
    for _ in range(2):
        step(x, y)
    updates = BoundStep, BoundProducts
    step.plan._calls = [
        (function if isinstance(function, updates) else nothing, args, kwargs)
        for function, args, kwargs in step.plan._calls
    ]
    optimizer._update = optimizer._update_product = nothing
    benchmark.group = "replayed step"
    benchmark(step, x, y)


class Annealed(nn.Module):
    """A model and a loss in the manner of users: attributes, a list, a closure and a global."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))
        self.scales = [1.0, 0.5]
        self.options = {"gain": 2.0}

    def forward(self, x):
        return self.layers(x) * self.scales[0] * self.options["gain"]


WEIGHT = 0.1


def annealed():
    """The model, and a loss that reads a variable around it and a global."""
    criterion, beta = nn.CrossEntropyLoss(), [0.5]

    def loss(output, target):
        return criterion(output, target) + WEIGHT * beta[0] * output.square().mean()

    return Annealed(), loss


def w1():
    """The MLP 784-512-512-10."""
    layers = (nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    return nn.Sequential(*layers), nn.CrossEntropyLoss()


WATCHED = {
    "W1": (w1, 784),
    "lenet": (lambda: (lenet((1, 28, 28), 10), nn.CrossEntropyLoss()), 784),
    "own": (annealed, 64),
}


@pytest.mark.parametrize("name", WATCHED)
def bench_watch(benchmark, name):
    """What is looked at before each step, in a step that has not changed."""
    make, features = WATCHED[name]
    model, loss = make()
    step = TrainStep(model, loss, optim.SGD(model.parameters(), 0.01, momentum=0.9))
    x = gpunn.rand(8, features).reshape(8, 1, 28, 28) if name == "lenet" else gpunn.rand(8, features)
    for _ in range(3):
        step(x, gpunn.tensor(RNG.integers(0, 10, 8)))
    assert not step._watch.changed()
    benchmark.group = "watch"
    benchmark(step._watch.changed)


def nothing(*args, **kwargs):
    """In the place of a primitive."""
