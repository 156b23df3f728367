"""Random networks: their derivations have autograd's gradients and the optimizer's updates, fused and not."""

from __future__ import annotations

import os

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.inspect import explain
from gpunn.inspect.explain.markdown import as_markdown
from gpunn.inspect.explain.text import as_text
from tests.plan.random_models import batches, build, plan

MODELS = range(int(os.environ.get("GPUNN_TRUST", "0")) or 12)


@pytest.mark.promise("random networks: a derivation has the gradients of autograd and the updates of the optimizer")
@pytest.mark.parametrize("seed", MODELS)
def test_a_random_network(seed: int) -> None:
    p = plan(np.random.default_rng(seed), dropout=seed % 2 == 1)
    gpunn.manual_seed(seed)
    model = build(gpunn, p.layers).double()
    ((x, y),) = batches(p, 1)
    x, y = gpunn.tensor(x).double(), gpunn.tensor(y)
    y = y.double() if y.is_floating_point() else y
    loss, (name, options) = getattr(nn, p.loss)(), p.optimizer
    optimizer = getattr(optim, name)(model.parameters(), **options)
    found = [explain(model, x, y, loss, optimizer=optimizer, fused=fused) for fused in (False, True)]

    result = loss(model(x), y)
    result.backward()
    gradients = {path: q.grad.numpy() for path, q in model.named_parameters()}
    optimizer.step()
    for d in found:
        np.testing.assert_allclose(d["L"].value, result.item(), rtol=1e-12)
        for path, q in model.named_parameters():
            v = d[path]
            if not d.fused or v.gradient is not None:
                value = d.variables[v.gradient].value
                np.testing.assert_allclose(value, gradients[path], rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(d[f"{v.name}'"].value, q.detach().numpy(), rtol=1e-8, atol=1e-9)
        assert all(s.formulas for s in d.steps if s.phase != "update" or not s.primitives)
        assert as_text(d) and as_markdown(d)
        for v in d.variables:
            assert v.freed_after is None or all(n <= v.freed_after for n in v.read_by)
