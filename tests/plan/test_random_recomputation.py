"""Random networks, parts of which are computed again in the backward: eager, planned and fused, the bits stay."""

from __future__ import annotations

import os

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep
from gpunn.models import recompute

from .random_models import batches, build, plan

TRUST = int(os.environ.get("GPUNN_TRUST", "0"))
MODELS = range(TRUST or 8)


def trained(seed: int, how: str, segments: int) -> list[np.ndarray]:
    """Losses, parameters, buffers and moments of a short training, computed again in so many segments, or not."""
    p = plan(np.random.default_rng(seed), dropout=True)
    gpunn.manual_seed(seed)
    model = build(gpunn, p.layers)
    if segments:
        recompute(model, min(segments, len(model)))
    name, options = p.optimizer
    optimizer = getattr(gpunn.optim, name)(model.parameters(), **options)
    step = TrainStep(model, getattr(gpunn.nn, p.loss)(), optimizer, fuse=how == "fused")
    found = []
    for x, y in batches(p, 3):
        inputs = gpunn.tensor(x, dtype=gpunn.float32), gpunn.tensor(y)
        target = inputs[1].to(inputs[0].dtype) if y.dtype.kind == "f" else inputs[1]
        found.append((step.body if how == "eager" else step)(inputs[0], target))
    assert how == "eager" or step.plans_made
    moments = [v for q in model.parameters() for k, v in sorted(optimizer.state[q].items()) if v is not None]
    return [t.detach().numpy().copy() for t in (*found, *model.parameters(), *model.buffers(), *moments)]


@pytest.mark.promise("random networks: what is computed again in the backward has the bits of what is kept")
@pytest.mark.parametrize("seed", MODELS)
def test_recomputation_has_the_same_bits(seed: int) -> None:
    for how in ("eager", "planned", "fused"):
        for a, b in zip(trained(seed, how, 2 + seed % 4), trained(seed, how, 0), strict=True):
            np.testing.assert_array_equal(a, b)
