"""What gpunn costs beyond the NumPy calls it makes: ``pytest benchmarks/bench_overhead.py``.

The arrays are 8 x 8, so the arithmetic is next to nothing. The tensors require gradients, so every call is recorded.
The overhead of an eager operation is the difference of the two medians of a pair; that of a replayed step is what is
left when nothing is computed.
"""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn, optim
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


def nothing(*args, **kwargs):
    """In the place of a primitive."""
