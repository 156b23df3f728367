"""Single operations with pytest-benchmark: ``pytest benchmarks/bench_ops.py``; ``-k W7`` for the kernels of the table.

Inputs are random, never zeros. Each operation is timed forward, and forward with its gradient.
"""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.nn import functional as F

RNG = np.random.default_rng(0)


def normal(*shape: int) -> gpunn.Tensor:
    """Normal numbers in float32."""
    return gpunn.tensor(RNG.standard_normal(shape, dtype=np.float32), requires_grad=True)


def labels(n: int, classes: int) -> gpunn.Tensor:
    """Random class indices."""
    return gpunn.tensor(RNG.integers(0, classes, n))


OPERATIONS = {
    "linear_relu": (
        lambda x, w, b: F.linear_activation(x, w, b, "relu"),
        lambda: (normal(128, 784), normal(512, 784), normal(512)),
    ),
    "conv2d": (
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
        lambda: (normal(32, 32, 14, 14), normal(64, 32, 3, 3), normal(64)),
    ),
    "unfold": (lambda x: F.unfold(x, 3, padding=1), lambda: (normal(32, 32, 14, 14),)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), lambda: (normal(32, 32, 28, 28),)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), lambda: (normal(32, 32, 28, 28),)),
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), lambda: (normal(32, 32, 14, 14),)),
    "layer_norm": (lambda x: F.layer_norm(x, (512,)), lambda: (normal(128, 512),)),
    "gelu": (F.gelu, lambda: (normal(128, 512),)),
    "softmax": (lambda x: F.softmax(x, 1), lambda: (normal(128, 1000),)),
    "dropout": (lambda x: F.dropout(x, 0.5), lambda: (normal(128, 512),)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def bench_forward_W7(benchmark, name):
    function, make = OPERATIONS[name]
    inputs = [t.detach() for t in make()]
    benchmark(function, *inputs)


@pytest.mark.parametrize("name", OPERATIONS)
def bench_forward_and_gradient_W7(benchmark, name):
    function, make = OPERATIONS[name]
    inputs = make()
    cotangent = normal(*function(*inputs).shape).detach()
    benchmark(lambda: gpunn.autograd.grad(function(*inputs), inputs, cotangent))


def bench_cross_entropy_W7(benchmark):
    x, t = normal(128, 1000), labels(128, 1000)
    benchmark(lambda: gpunn.autograd.grad(F.cross_entropy(x, t), x))


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def bench_optimizer_step_W7(benchmark, name):
    parameters = [normal(512, 784), normal(512), normal(512, 512), normal(512), normal(10, 512), normal(10)]
    optimizer = getattr(gpunn.optim, name)(parameters, lr=1e-3)
    for p in parameters:
        p.grad = normal(*p.shape).detach()
    benchmark(optimizer.step)
