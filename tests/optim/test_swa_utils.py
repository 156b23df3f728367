"""Averaged weights, against PyTorch's and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.optim import swa_utils

FUNCTIONS = {
    "mean": {},
    "swa": {"avg_fn": "get_swa_avg_fn"},
    "ema": {"avg_fn": "get_ema_avg_fn"},
    "swa, many": {"multi_avg_fn": "get_swa_multi_avg_fn"},
    "ema, many": {"multi_avg_fn": "get_ema_multi_avg_fn"},
}


def build(n: Any) -> Any:
    return n.Sequential(n.Linear(3, 4), n.BatchNorm1d(4), n.Linear(4, 2))


# PyTorch's function for many has no mean of integers, which the number of batches is.
CASES = [(kind, buffers) for kind in FUNCTIONS for buffers in (False, True) if (kind, buffers) != ("swa, many", True)]


@pytest.mark.parametrize("kind, use_buffers", CASES)
def test_averaged_model(torch: Any, kind: str, use_buffers: bool) -> None:
    models = []
    for n, utils, tensor in (
        (nn, swa_utils, gpunn.tensor),
        (torch.nn, torch.optim.swa_utils, torch.tensor),
    ):
        model = build(n)
        options = {name: getattr(utils, maker)() for name, maker in FUNCTIONS[kind].items()}
        averaged = utils.AveragedModel(model, use_buffers=use_buffers, **options)
        rng = np.random.default_rng(0)
        for _ in range(4):
            with gpunn.no_grad(), torch.no_grad():
                for p in model.parameters():
                    p.copy_(tensor(rng.standard_normal(tuple(p.shape)).astype("float32")))
            model(tensor(rng.standard_normal((8, 3)).astype("float32")))
            averaged.update_parameters(model)
        models.append(averaged)
    ours, theirs = (model.state_dict() for model in models)
    assert list(ours) == list(theirs) and ours["n_averaged"].item() == 4
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
    x = np.ones((2, 3), "float32")
    y = [model.eval()(t(x)).detach().numpy() for model, t in zip(models, (gpunn.tensor, torch.tensor))]
    np.testing.assert_allclose(y[0], y[1], rtol=1e-4, atol=1e-5)


def test_the_mean_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    averaged = swa_utils.AveragedModel(model)
    for value in (1.0, 2.0, 6.0):
        with gpunn.no_grad():
            model.weight.fill_(value)
        averaged.update_parameters(model)
    assert averaged.module.weight.item() == pytest.approx(3, rel=1e-6)
    assert model.weight.item() == 6


def test_update_bn() -> None:
    """Afterwards the statistics are the means over the batches, whatever they were."""
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)).eval()
    rng = np.random.default_rng(1)
    batches = [rng.standard_normal((6, 2)).astype("float32") + 3 for _ in range(5)]
    model(gpunn.tensor(batches[0]))
    swa_utils.update_bn([(gpunn.tensor(b), None) for b in batches], model)
    norm = model[0]
    np.testing.assert_allclose(norm.running_mean.numpy(), np.mean([b.mean(0) for b in batches], 0), rtol=1e-5)
    np.testing.assert_allclose(norm.running_var.numpy(), np.mean([b.var(0, ddof=1) for b in batches], 0), rtol=1e-5)
    assert norm.momentum == 0.1 and not model.training


@pytest.mark.parametrize("options", [{}, {"anneal_strategy": "linear", "anneal_epochs": 4}, {"anneal_epochs": 0}])
def test_swalr(torch: Any, options: dict[str, Any]) -> None:
    rates: list[list[Any]] = []
    for module, ones in ((optim, gpunn.ones), (torch.optim, torch.ones)):
        p, q = ones(1, requires_grad=True), ones(1, requires_grad=True)
        optimizer = module.SGD([{"params": [p]}, {"params": [q], "lr": 0.3}], lr=0.1)
        scheduler = module.swa_utils.SWALR(optimizer, swa_lr=[0.05, 0.5], **options)
        rates.append([])
        for _ in range(15):
            optimizer.step()
            scheduler.step()
            rates[-1] += scheduler.get_last_lr()
    assert rates[0] == pytest.approx(rates[1], rel=1e-12)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"decay value 2 .*\[0,1\]"):
        swa_utils.get_ema_avg_fn(2)
    with pytest.raises(ValueError, match="'cos' or 'linear'"):
        swa_utils.SWALR(optim.SGD([gpunn.ones(1, requires_grad=True)]), 0.1, anneal_strategy="flat")
