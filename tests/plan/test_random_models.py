"""Random networks: eager, planned and fused steps, the simulator and PyTorch agree.

GPUNN_TRUST says how many; `make trust` takes many.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep

from .random_models import batches, build, plan

TRUST = int(os.environ.get("GPUNN_TRUST", "0"))
STEPS = 3
MODELS = range(TRUST or 12)
ON_THE_SIMULATOR = range(TRUST // 4 or 2)


def trained(seed: int, how: str, device: str = "cpu", dtype: str = "float64", dropout: bool = True) -> list[np.ndarray]:
    """Losses, parameters, buffers and gradients' moments of a short training."""
    p = plan(seed, dropout)
    gpunn.manual_seed(seed)
    model = build(gpunn, p.layers).to(device=device, dtype=getattr(gpunn, dtype))
    name, options = p.optimizer
    optimizer = getattr(gpunn.optim, name)(model.parameters(), **options)
    step = TrainStep(model, getattr(gpunn.nn, p.loss)(), optimizer, fuse=how == "fused")
    found = []
    for x, y in batches(p, STEPS):
        inputs = gpunn.tensor(x, device=device).to(model[-1].weight.dtype), gpunn.tensor(y, device=device)
        target = inputs[1].to(inputs[0].dtype) if y.dtype.kind == "f" else inputs[1]
        found.append((step.body if how == "eager" else step)(inputs[0], target))
    assert how == "eager" or step.plans_made
    moments = [v for q in model.parameters() for k, v in sorted(optimizer.state[q].items()) if v is not None]
    return [t.detach().cpu().numpy().copy() for t in (*found, *model.parameters(), *model.buffers(), *moments)]


@pytest.mark.promise("random networks: planned steps without fusion have the bits of eager ones, on the CPU")
@pytest.mark.parametrize("seed", MODELS)
def test_planned_steps_have_the_bits_of_eager_ones(seed: int) -> None:
    for dtype in ("float32", "float64"):
        eager = trained(seed, "eager", dtype=dtype)
        for a, b in zip(trained(seed, "planned", dtype=dtype), eager, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.promise("random networks: fused steps agree with eager ones within rounding")
@pytest.mark.parametrize("seed", MODELS)
def test_fused_steps_agree(seed: int) -> None:
    for a, b in zip(trained(seed, "fused"), trained(seed, "eager"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)


@pytest.mark.promise("random networks: the CUDA kernels on the simulator agree with the CPU")
@pytest.mark.parametrize("seed", ON_THE_SIMULATOR)
def test_kernels_agree(seed: int) -> None:
    for a, b in zip(trained(seed, "fused", "sim"), trained(seed, "eager"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.promise("random networks: losses, weights and statistics are those of PyTorch")
@pytest.mark.parametrize("seed", MODELS)
def test_pytorch_agrees(seed: int, torch: ModuleType) -> None:
    p = plan(seed)
    gpunn.manual_seed(seed)
    start = build(gpunn, p.layers).double().state_dict()
    theirs = build(torch, p.layers).double()
    theirs.load_state_dict({name: torch.tensor(t.numpy()) for name, t in start.items()})
    name, options = p.optimizer
    optimizer, loss_fn = getattr(torch.optim, name)(theirs.parameters(), **options), getattr(torch.nn, p.loss)()
    losses: list[Any] = []
    for x, y in batches(p, STEPS):
        optimizer.zero_grad()
        loss = loss_fn(theirs(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        optimizer.step()
        losses.append(loss)
    expected = [t.detach().numpy() for t in (*losses, *theirs.parameters(), *theirs.buffers())]
    for a, b in zip(trained(seed, "fused", dropout=False), expected):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
