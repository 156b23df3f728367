"""gpunn.nn.utils.prune: masks, keys and errors as in PyTorch; random ones by their count; and a planned step."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.nn.utils import prune

WEIGHT = np.array([[0.1, -0.9, 0.3], [-0.2, 0.8, 0.05], [0.4, 0.6, -0.7], [1.0, 0.01, 0.5]])
SCORES = np.arange(12.0).reshape(4, 3)

WAYS = {
    "identity": lambda t, p, m: p.identity(m, "weight"),
    "share": lambda t, p, m: p.l1_unstructured(m, "weight", 0.4),
    "number": lambda t, p, m: p.l1_unstructured(m, "weight", 5),
    "nothing": lambda t, p, m: p.l1_unstructured(m, "weight", 0),
    "scores": lambda t, p, m: p.l1_unstructured(m, "weight", 5, t.tensor(SCORES)),
    "rows": lambda t, p, m: p.ln_structured(m, "weight", 2, 2, 0),
    "columns": lambda t, p, m: p.ln_structured(m, "weight", 1, n=1, dim=-1, importance_scores=t.tensor(SCORES)),
    "infinite norm": lambda t, p, m: p.ln_structured(m, "weight", 1, float("inf"), 0),
    "mask": lambda t, p, m: p.custom_from_mask(m, "weight", t.tensor(SCORES > 3)),
    "twice": lambda t, p, m: p.ln_structured(p.l1_unstructured(m, "weight", 3), "weight", 1, 2, 1),
    "thrice": lambda t, p, m: p.custom_from_mask(WAYS["twice"](t, p, m), "weight", t.tensor(SCORES != 9)),
    "of the rest": lambda t, p, m: p.l1_unstructured(p.ln_structured(m, "weight", 1, 2, 0), "weight", 0.5),
    "global": lambda t, p, m: p.global_unstructured([(m, "weight"), (m, "bias")], p.L1Unstructured, amount=7),
}


def pruned(t, p, name):
    model = t.nn.Linear(3, 4, dtype=t.float64)
    with t.no_grad():
        model.weight.copy_(t.tensor(WEIGHT))
        model.bias.copy_(t.tensor([0.3, -0.02, 0.2, 0.9]))
    WAYS[name](t, p, model)
    model(t.ones(2, 3, dtype=t.float64)).sum().backward()
    return model


@pytest.mark.parametrize("name", WAYS)
def test_as_torch(torch, name):
    import torch.nn.utils.prune as their_prune

    ours, theirs = pruned(gpunn, prune, name), pruned(torch, their_prune, name)
    assert prune.is_pruned(ours) and [*dict(ours.named_parameters())] == [*dict(theirs.named_parameters())]
    state, wanted = ours.state_dict(), theirs.state_dict()
    assert sorted(state) == sorted(wanted)
    for key, value in wanted.items():
        np.testing.assert_array_equal(state[key].numpy(), value.numpy(), err_msg=key)
    np.testing.assert_array_equal(ours.weight_orig.grad.numpy(), theirs.weight_orig.grad.numpy())
    parameter = ours.weight_orig
    prune.remove(ours, "weight"), their_prune.remove(theirs, "weight")
    np.testing.assert_array_equal(ours.weight.detach().numpy(), theirs.weight.detach().numpy())
    assert ours.weight is parameter and prune.is_pruned(ours) == (name == "global")


def test_at_random():
    a, b = (nn.Linear(10, 10, bias=False) for _ in range(2))
    assert (prune.random_unstructured(a, "weight", 0.3).weight_mask == 0).sum() == 30
    rows = prune.random_structured(b, "weight", 3, 0).weight_mask.sum(1)
    assert sorted(set(rows.tolist())) == [0, 10] and (rows == 0).sum() == 3
    prune.random_unstructured(b, "weight", 0.5)
    assert (b.weight == 0).sum() == 65
    prune.random_structured(b, "weight", 2, -1)
    assert isinstance(b.__class__._computed[0][1], prune.PruningContainer) and len(b.__class__._computed[0][1]) == 3


def test_a_planned_step_keeps_what_is_pruned():
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    prune.l1_unstructured(model[0], "weight", 0.5)
    step = gpunn.TrainStep(model, nn.MSELoss(), gpunn.optim.SGD(model.parameters(), 0.1))
    x, y = gpunn.randn(8, 3), gpunn.randn(8, 1)
    losses = [step(x, y).item() for _ in range(5)]
    assert losses[-1] < losses[0] and "hook" not in str(step.plan)
    assert (model[0].weight == 0).sum() == 6


def test_without_a_module():
    kept = prune.L1Unstructured(amount=2).prune(gpunn.tensor([[3.0, 1.0], [-0.5, 2.0]]))
    assert kept.tolist() == [[3, 0], [0, 2]]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda m: prune.l1_unstructured(m, "weight", 1.5), ValueError, "in the range"),
        (lambda m: prune.l1_unstructured(m, "weight", "x"), TypeError, "int or float"),
        (lambda m: prune.l1_unstructured(m, "weight", 13), ValueError, "smaller than"),
        (lambda m: prune.l1_unstructured(m, "nothing", 1), ValueError, "'nothing'"),
        (lambda m: prune.ln_structured(m, "bias", 1, 2, 0), ValueError, "multidimensional"),
        (lambda m: prune.ln_structured(m, "weight", 1, 2, 5), IndexError, "Invalid index 5"),
        (lambda m: prune.custom_from_mask(m, "weight", gpunn.ones(2)), ValueError, r"\[4, 3\], got \[2\]"),
        (lambda m: prune.l1_unstructured(m, "weight", 1, gpunn.ones(2)), ValueError, "importance_scores"),
        (lambda m: prune.remove(m, "weight"), ValueError, "has to be pruned before"),
        (lambda m: prune.global_unstructured([(m, "weight")], prune.LnStructured, amount=1, n=2), TypeError, "unstr"),
        (lambda m: prune.PruningContainer(1), TypeError, "not a BasePruningMethod"),
    ],
)
def test_what_is_refused(call, error, text):
    model = nn.Linear(3, 4)
    with pytest.raises(error, match=text):
        call(model)
    assert sorted(model.state_dict()) == ["bias", "weight"] and not prune.is_pruned(model)
