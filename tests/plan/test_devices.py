"""Steps on a device that use tensors of the CPU: what the step does not make is moved once, all else goes op by op."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn, optim

from ..backend import fake_cupy

Forward = Callable[[Any, Any, Any], Any]
"""Of the layer's result y and the step's input x; `c` is a tensor (1, 2, 3) on the CPU."""
MOVED: dict[str, Forward] = {
    "to a device": lambda y, x, c: y * c.to(x.device),
    "to a tensor": lambda y, x, c: y * c.to(x),
    "type_as": lambda y, x, c: y * c.double().type_as(x),
    "a slice": lambda y, x, c: y * c[1:].to(x.device)[0],
    "a mask": lambda y, x, c: gpunn.where((c > 1.5).to(x.device), y, 0.0),
    "indices": lambda y, x, c: y[:, (c - 1).long().to(x.device)],
    "made in the step": lambda y, x, c: y * gpunn.tensor([1.0, 2.0, 3.0]).to(x.device),
    "of no gradient": lambda y, x, c: y * c.requires_grad_().detach().to(x.device),
}
PLANNED = {"to a device", "to a tensor", "made in the step"}
OP_BY_OP: dict[str, Forward] = {
    "computed on the CPU": lambda y, x, c: y * (c * 2).to(x.device),
    "there and back": lambda y, x, c: y.cpu().to(x.device) * 2,
    "a sum there": lambda y, x, c: y * x.detach().cpu().sum().to(x.device),
    "with a gradient": lambda y, x, c: y * c.requires_grad_().to(x.device),
}


@contextlib.contextmanager
def machine_of(device: str) -> Iterator[None]:
    with fake_cupy.installed() if device == "cuda" else contextlib.nullcontext():
        yield


class Layer(nn.Module):
    def __init__(self, forward: Forward, device: str):
        super().__init__()
        self.layer, self.function = nn.Linear(3, 3, device=device), forward
        self.c = [gpunn.tensor([1.0, 2.0, 3.0])]
        with gpunn.no_grad():
            self.layer.weight.copy_(gpunn.arange(9.0).reshape(3, 3).to(device) / 10)
            self.layer.bias.fill_(0.5)

    def forward(self, x: Any) -> Any:
        return self.function(self.layer(x), x, self.c[0])


def losses(
    forward: Forward, device: str, planned: bool, between: Callable[[Layer], Any] = lambda model: None
) -> tuple[list[float], Any, list[str]]:
    """Those of three steps, the step, and what is warned of."""
    model = Layer(forward, device)
    optimizer = optim.SGD(model.parameters(), 0.01)
    step = TrainStep(model, nn.MSELoss(), optimizer)
    rows = np.random.default_rng(0).standard_normal((3, 4, 3)).astype("f")
    found = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for row in rows:
            x = gpunn.tensor(row, device=device)
            found.append((step(x, x) if planned else step.body(x, x)).item())
            between(model)
    return found, step, [str(w.message) for w in told]


@pytest.mark.parametrize("device", ["sim", "cuda"])
@pytest.mark.parametrize("name", [*MOVED, *OP_BY_OP])
def test_tensors_of_the_cpu_in_a_step(name: str, device: str) -> None:
    forward = {**MOVED, **OP_BY_OP}[name]
    expected, *_ = losses(forward, "cpu", planned=False)
    with machine_of(device):
        found, step, told = losses(forward, device, planned=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if name in OP_BY_OP:
        assert not step.plans_made
        assert [line for line in told if f"the step works on {device}" in line or "the step works on cpu" in line]
    if name in PLANNED:
        assert step.plans_made and not told


@pytest.mark.parametrize("device", ["sim", "cuda"])
def test_what_was_moved_may_change(device: str) -> None:
    def doubled(model: Layer) -> None:
        model.c[0].mul_(2.0)

    expected, *_ = losses(MOVED["to a device"], "cpu", planned=False, between=doubled)
    with machine_of(device):
        found, step, _ = losses(MOVED["to a device"], device, planned=True, between=doubled)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert step.plans_made


@pytest.mark.parametrize("device", ["sim", "cuda"])
def test_a_batch_that_the_step_moves(device: str) -> None:
    with machine_of(device):
        model = Layer(lambda y, x, c: y, device)
        step = TrainStep(model, lambda y, t: (y - t.to(y.device)).square().sum(), optim.SGD(model.parameters(), 0.0))
        with pytest.warns(UserWarning, match=f"the step works on .*{device}"):
            loss = step(gpunn.zeros(1, 3, device=device), gpunn.tensor([[0.0, 1.0, 2.5]]))
    assert loss.item() == 0.25 + 0.25 + 4  # the results are the biases, 0.5 each


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_a_norm_of_all_batches_that_is_used_twice(device: str, torch: Any) -> None:
    def build(n: Any) -> Any:
        class Twice(n.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm, self.layer = n.BatchNorm1d(3, momentum=None), n.Linear(3, 3)

            def forward(self, x: Any) -> Any:
                return self.norm(self.layer(self.norm(x)))

        return Twice()

    theirs, ours = build(torch.nn), build(nn)
    ours.load_state_dict({key: gpunn.tensor(value.numpy()) for key, value in theirs.state_dict().items()})
    ours.to(device)
    step = TrainStep(ours, lambda y, dy: (y * dy).sum(), optim.SGD(ours.parameters(), 0.1))
    optimizer = torch.optim.SGD(theirs.parameters(), 0.1)
    with pytest.warns(UserWarning, match="a BatchNorm1d with momentum=None is used more than once in the step"):
        for x in np.random.default_rng(0).standard_normal((3, 5, 3)).astype("f"):
            loss = step(gpunn.tensor(x, device=device), gpunn.tensor(x, device=device))
            optimizer.zero_grad()
            expected = (theirs(torch.tensor(x)) * torch.tensor(x)).sum()
            expected.backward()
            optimizer.step()
            np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-4)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].cpu().numpy(), value.numpy(), rtol=1e-4, atol=1e-6)
    assert ours.norm.num_batches_tracked.item() == 6
