"""Ops of no element: values and gradients beside PyTorch, on every device. A sum of nothing is 0, a mean NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn

from .harness import normal

Shape = tuple[int, ...]

OPS: dict[str, tuple[Callable[..., Any], list[Shape]]] = {
    "batch_norm": (lambda n, x, w, b: n.functional.batch_norm(x, None, None, w, b, True), [(0, 3, 2), (3,), (3,)]),
    "batch_norm of images of no size": (
        lambda n, x, w, b: n.functional.batch_norm(x, None, None, w, b, True),
        [(2, 3, 0), (3,), (3,)],
    ),
    "layer_norm": (lambda n, x, w, b: n.functional.layer_norm(x, (3,), w, b), [(0, 3), (3,), (3,)]),
    "layer_norm over nothing": (lambda n, x, w, b: n.functional.layer_norm(x, (0,), w, b), [(2, 0), (0,), (0,)]),
    "group_norm": (lambda n, x, w, b: n.functional.group_norm(x, 3, w, b), [(0, 3, 2), (3,), (3,)]),
    "rms_norm": (lambda n, x, w: n.functional.rms_norm(x, (3,), w), [(0, 3), (3,)]),
    "linear": (lambda n, x, w, b: n.functional.linear(x, w, b), [(0, 3), (2, 3), (2,)]),
    "linear of no input": (lambda n, x, w, b: n.functional.linear(x, w, b), [(4, 0), (2, 0), (2,)]),
    "linear of no output": (lambda n, x, w, b: n.functional.linear(x, w, b), [(4, 3), (0, 3), (0,)]),
    "conv1d": (lambda n, x, w, b: n.functional.conv1d(x, w, b), [(0, 3, 4), (2, 3, 3), (2,)]),
    "conv2d": (lambda n, x, w, b: n.functional.conv2d(x, w, b), [(0, 3, 4, 4), (2, 3, 3, 3), (2,)]),
    "conv_transpose2d": (lambda n, x, w, b: n.functional.conv_transpose2d(x, w, b), [(0, 3, 4, 4), (3, 2, 3, 3), (2,)]),
    "prelu": (lambda n, x, w: n.functional.prelu(x, w), [(0, 3), (3,)]),
    "max_pool2d": (lambda n, x: n.functional.max_pool2d(x, 2), [(0, 3, 4, 4)]),
    "avg_pool2d": (lambda n, x: n.functional.avg_pool2d(x, 2), [(0, 3, 4, 4)]),
    "matmul over nothing": (lambda n, x, y: x @ y, [(2, 0), (0, 3)]),
    "matmul of no batch": (lambda n, x, y: x @ y, [(0, 2, 3), (0, 3, 2)]),
    "a factor of each column": (lambda n, x, y: x * y, [(0, 3), (3,)]),
    "a divisor of all": (lambda n, x, y: x / y, [(0, 3), (1,)]),
    "mean": (lambda n, x: x.mean(), [(0,)]),
    "mean over nothing": (lambda n, x: x.mean(0), [(0, 3)]),
    "var": (lambda n, x: x.var(0, unbiased=False), [(0, 3)]),
    "std of one": (lambda n, x: x.std(1, unbiased=False), [(3, 1)]),
    "prod": (lambda n, x: x.prod(0), [(0, 3)]),
    "logsumexp": (lambda n, x: x.logsumexp(0), [(0, 3)]),
    "softmax": (lambda n, x: x.softmax(0), [(0, 3)]),
    "norm": (lambda n, x: x.norm(2, 0), [(0, 3)]),
    "norm of order 3": (lambda n, x: x.norm(3, 0), [(0, 3)]),
    "cosine_similarity": (lambda n, x, y: n.functional.cosine_similarity(x, y, 0), [(0, 3), (0, 1)]),
    "normalize": (lambda n, x: n.functional.normalize(x, dim=0), [(0, 3)]),
    "mse_loss": (lambda n, x, y: n.functional.mse_loss(x, y), [(0, 3), (0, 3)]),
    "huber_loss": (lambda n, x, y: n.functional.huber_loss(x, y), [(0, 3), (0, 3)]),
}


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", OPS)
def test_ops_of_nothing(torch, name, device):
    function, shapes = OPS[name]
    arrays = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    found = []
    for library, where in ((gpunn, {"device": device}), (torch, {})):
        inputs = [library.tensor(a, **where, requires_grad=True) for a in arrays]
        y = function(library.nn, *inputs)
        y.sum().backward()
        found.append([t.detach().cpu().numpy() for t in (y, *(x.grad for x in inputs))])
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_layer_of_batch_norm_learns_nothing_from_no_sample(dtype, device):
    layer = gpunn.nn.BatchNorm1d(3).to(getattr(gpunn, dtype)).to(device)
    layer(gpunn.zeros(0, 3, dtype=dtype, device=device)).sum().backward()
    assert layer.weight.grad.tolist() == [0, 0, 0]
    assert layer.bias.grad.tolist() == [0, 0, 0]
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.running_var.tolist() == [1, 1, 1]
