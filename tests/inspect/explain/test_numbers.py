"""The numbers of derivations, beside PyTorch's, gpunn's own autograd, and central differences."""

from __future__ import annotations

import re

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.inspect import explain
from gpunn.nn import functional as F

from .networks import CASES, case

L2 = 0.01
FOR_THE_GRADIENT = re.compile(r"[mKs]\d|mu\d|v\d|(mean|var|batches)\d'?|J|s")
"""Results that PyTorch does not show: statistics of losses and norms, places of maxima; J and s are checked apart."""


def close(found, expected, rtol=1e-10) -> None:
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-13)


@pytest.mark.torch
@pytest.mark.parametrize("name", CASES)
def test_every_number_is_that_of_pytorch(name: str, torch) -> None:
    model, x, y, loss, in_torch = case(name)
    d = explain(model, x, y, loss, l2=L2)
    params = {n: torch.tensor(p.detach().numpy(), requires_grad=True) for n, p in model.named_parameters()}
    results = in_torch(torch, params, torch.tensor(x.numpy()), torch.tensor(y.numpy()))
    for r in results.values():
        if r.requires_grad:
            r.retain_grad()
    results["L"].backward()

    seen = set()
    for v in d.variables:
        if v.role in ("activation", "loss") and not FOR_THE_GRADIENT.fullmatch(v.name):
            close(v.value, results[v.name].detach().numpy())
            seen.add(v.name)
            if v.gradient is not None:
                close(d.variables[v.gradient].value, results[v.name].grad.numpy())
        elif v.role == "parameter":
            penalty = L2 * params[v.path].detach().numpy() if v.value.ndim > 1 else 0.0
            close(d.variables[v.gradient].value, params[v.path].grad.numpy() + penalty)
    assert seen == set(results)
    squares = sum(float((p.detach() ** 2).sum()) for p in params.values() if p.ndim > 1)
    close(d["s"].value, L2 / 2 * squares)
    close(d["J"].value, results["L"].item() + L2 / 2 * squares)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_autograd(name: str, fused: bool) -> None:
    model, x, y, loss, _ = case(name)
    d = explain(model, x, y, loss, fused=fused)
    function = F.cross_entropy if loss == "cross_entropy" else loss
    found = function(model(x), y)
    found.backward()
    close(d["L"].value, found.item(), 1e-14)
    for path, p in model.named_parameters():
        gradient = d.variables[d[path].gradient].value
        close(gradient, p.grad.numpy()) if fused else np.testing.assert_array_equal(gradient, p.grad.numpy())


@pytest.mark.parametrize("name", CASES)
def test_parts_of_a_gradient_add_up_to_it(name: str) -> None:
    model, x, y, loss, _ = case(name)
    d = explain(model, x, y, loss, l2=L2)
    values = {v.name: v.value for v in d.variables}
    parts: dict[str, list[np.ndarray]] = {}
    for n, value in values.items():
        if re.search(r"\{\d+\}$", n):
            parts.setdefault(n.partition("{")[0], []).append(value)
    for whole, pieces in parts.items():
        close(sum(pieces), values.get(f"{whole}{{L}}", values[whole]))
    for n in values:
        if n.endswith("{s}"):
            close(values[n], L2 * values[n[1:-3]])
            close(values[f"{n[:-3]}{{L}}"] + values[n], values[n[:-3]])
    expected = {"mlp": 0, "lenet": 0, "residual": 1, "shared": 3}  # the branch; both parameters of the cell, the scores
    assert len(parts) == expected[name]


@pytest.mark.parametrize("name", sorted(set(CASES) - {"lenet"}))  # none of whose Jacobians is small
def test_jacobians_lead_from_one_gradient_to_the_next(name: str) -> None:
    """dX = J^T dY; and where there is one path alone, the gradient itself."""
    model, x, y, loss, _ = case(name)
    d = explain(model, x, y, loss)
    seen = 0
    for step in d.steps:
        for j in step.jacobians:
            out, of = d.variables[j.output], d.variables[j.input]
            dy = d.variables[out.gradient].value
            dx = d.variables[of.gradient].value
            readers = [n for n in of.read_by if d.steps[n - 1].phase == "forward"]
            if len(readers) == 1:
                close(j.value.T @ dy.reshape(-1), dx.reshape(-1), 1e-8)
                seen += 1
    assert seen >= 2


@pytest.mark.parametrize("name", CASES)
def test_the_path_of_a_weight(name: str) -> None:
    model, x, y, loss, _ = case(name)
    d = explain(model, x, y, loss, l2=L2)
    for v in d.variables:
        if v.role != "parameter":
            continue
        path = d.path(v.path, tuple(n // 2 for n in v.shape))
        assert path.dtype == "float64"
        assert path.gradient == pytest.approx(path.difference, rel=1e-5, abs=1e-8)
        assert v.id in d.steps[path.forward[0] - 1].inputs
        assert d["J"].id in d.steps[path.forward[-1] - 1].outputs
        for n in path.forward[1:]:  # each is reached from one before
            before = {i for k in path.forward if k < n for i in d.steps[k - 1].outputs}
            assert before & set(d.steps[n - 1].inputs)
        assert v.gradient in d.steps[path.backward[-1] - 1].outputs


def test_central_differences_of_a_model_with_dropout_see_the_same_mask() -> None:
    gpunn.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    x, y = gpunn.randn(3, 4), gpunn.tensor([0, 1, 1])
    d = explain(model, x, y)
    for index in ((0, 0), (3, 2), (7, 1)):
        path = d.path("W1", index)
        assert path.gradient == pytest.approx(path.difference, rel=1e-4, abs=1e-7)
    # and the derivation shows the mask that training draws next
    found = nn.functional.cross_entropy(model(x), y)
    assert found.item() == d["L"].value


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_the_update_is_that_of_the_optimizer(name: str) -> None:
    model, x, y, loss, _ = case("shared")
    optimizer = getattr(optim, name)(model.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(2):  # the second time it has moments
        d = explain(model, x, y, loss, optimizer=optimizer)
        before = {path: p.detach().numpy().copy() for path, p in model.named_parameters()}
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
        for path, p in model.named_parameters():
            close(d[f"{d[path].name}'"].value, p.detach().numpy())
            assert (before[path] != p.detach().numpy()).any()


def test_statistics() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1)).double()
    with gpunn.no_grad():
        model[0].weight.copy_(gpunn.tensor([[1.0, 0], [-1, 0], [-1, -1], [0, 1]]))
        model[0].bias.copy_(gpunn.zeros(4))
        model[2].weight.copy_(gpunn.eye(4) * 10)
        model[2].bias.copy_(gpunn.zeros(4))
    d = explain(model, np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros((2, 1)), "mse")
    a1, a2 = d["A1"], d["A2"]
    np.testing.assert_array_equal(a1.value, [[1, 0, 0, 2], [3, 0, 0, 4]])
    s = a1.statistics
    assert (s.mean, s.min, s.max, s.norm, s.zeros, s.not_finite) == (1.25, 0, 4, 30**0.5, 0.5, 0)
    assert s.dead == 0.5 and s.saturated is None
    assert a2.statistics.saturated == 0.5 and a2.statistics.dead is None  # sigmoid(10 ...) against sigmoid(0)
    assert d.flow[0].gradient == pytest.approx(np.sqrt((d["dZ1"].value ** 2).mean()))
    assert d.flow[0].ratio == pytest.approx(d.flow[0].gradient / d.flow[1].gradient)
    norms = [np.linalg.norm(d[n].value) for n in ("dW1", "W1")]
    assert d.flow[0].update == pytest.approx(norms[0] / norms[1])
