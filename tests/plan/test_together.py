"""Several steps in one launch: the bits of single steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn, optim

STEPS = 3
OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9),
    "adam": lambda p: optim.Adam(p, 0.01),
}


class Scaled(nn.Module):
    """Has a running mean, random numbers, and a result that is one of its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 3)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.head(self.layers(x))


def loss_and_more(output: gpunn.Tensor, target: gpunn.Tensor) -> Any:
    return nn.functional.cross_entropy(output, target), output, target.reshape(2, 2)


def train(together: bool, optimizer: str, device: str, calls: int = 4, loss_fn: Any = loss_and_more) -> tuple[Any, Any]:
    """All that the steps gave and changed, and the step."""
    gpunn.manual_seed(0)
    model = Scaled().to(device)
    made = OPTIMIZERS[optimizer](model.parameters())
    schedule = optim.lr_scheduler.StepLR(made, 2, 0.5)
    step = TrainStep(model, loss_fn, made)
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(calls):
        x = gpunn.tensor(rng.standard_normal((STEPS, 4, 2, 3)).astype("float32"), device=device)
        y = gpunn.tensor(rng.integers(0, 3, (STEPS, 4)), device=device)
        if together:
            seen.append(step.steps(x, y, between=schedule.step))
        else:
            each = []
            for i in range(STEPS):
                each.append(step(x[i], y[i]))
                schedule.step()
            seen.append(tuple(map(gpunn.stack, zip(*each))))
    results = [t.cpu().numpy() for of_call in seen for t in of_call]
    return results + [t.detach().cpu().numpy() for t in (*model.parameters(), *model.buffers())], step


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("device", ["sim", "cpu"])
def test_they_have_the_bits_of_single_steps(device: str, optimizer: str) -> None:
    (got, step), (expected, _) = train(True, optimizer, device), train(False, optimizer, device)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (device == "sim") == (getattr(step.plan, "_together", None) is not None)


def test_results_that_are_given_twice_and_parts_of_one_another() -> None:
    def loss_fn(output: gpunn.Tensor, target: gpunn.Tensor) -> Any:
        loss = nn.functional.cross_entropy(output, target)
        return loss, output, loss, output.reshape(3, 4)

    (got, step), (expected, _) = (train(together, "adam", "sim", loss_fn=loss_fn) for together in (True, False))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert step.plan._together is not None


def test_one_launch_does_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _, step = train(True, "adam", "sim")
    from gpunn.backend import simulator

    launched = []
    launch = simulator.Graph.launch
    monkeypatch.setattr(simulator.Graph, "launch", lambda graph: (launched.append(graph), launch(graph)))
    x, y = gpunn.randn(STEPS, 4, 2, 3, device="sim"), gpunn.randint(0, 3, (STEPS, 4), device="sim")
    step.steps(x, y)
    assert len(launched) == 1
    for _ in range(2):  # and single ones go on, from now on with a look at what those have met
        step(x[0], y[0])
    assert len(launched) == 2


def test_a_label_that_is_none_stops_the_training() -> None:
    _, step = train(True, "adam", "sim")
    before = [p.detach().cpu().numpy() for p in step.model.parameters()]
    x, y = gpunn.randn(STEPS, 4, 2, 3, device="sim"), gpunn.zeros(STEPS, 4, dtype=gpunn.int64, device="sim")
    y[0, 1] = 7
    step.steps(x, y)
    with pytest.raises(IndexError, match="7"):
        step.check()
    for p, b in zip(step.model.parameters(), before):
        np.testing.assert_array_equal(p.detach().cpu().numpy(), b)
    with pytest.raises(gpunn.plan.StepFailed):
        step.steps(x, y)


def test_what_may_not_change_between_steps() -> None:
    _, step = train(True, "momentum", "sim")
    x, y = gpunn.randn(STEPS, 4, 2, 3, device="sim"), gpunn.zeros(STEPS, 4, dtype=gpunn.int64, device="sim")
    with pytest.raises(gpunn.plan.TraceError, match="between two steps of one launch"):
        step.steps(x, y, between=step.model.eval)


def test_the_mode_may_change_between_two_launches() -> None:
    step, single = (train(True, "momentum", "sim", calls=2)[1] for _ in range(2))
    x, y = gpunn.randn(STEPS, 4, 2, 3, device="sim"), gpunn.zeros(STEPS, 4, dtype=gpunn.int64, device="sim")
    for training in (False, True, False):
        step.model.train(training), single.model.train(training)
        gpunn.manual_seed(0)
        loss = step.steps(x, y)[0].cpu().numpy()
        gpunn.manual_seed(0)
        np.testing.assert_array_equal(loss, [single(x[i], y[i])[0].item() for i in range(STEPS)])


@pytest.mark.parametrize("shapes", [[(3, 4, 2, 3), (2, 4)], [(0, 4, 2, 3), (0, 4)], [(3, 4, 2, 3), ()]])
def test_batches_that_are_not_as_many(shapes: list[tuple[int, ...]]) -> None:
    model = Scaled()
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1))
    with pytest.raises(ValueError, match="all of the same number of steps, got"):
        step.steps(*(gpunn.zeros(*shape) for shape in shapes))


def test_numbers_of_steps_that_take_turns_take_no_more_checks() -> None:
    _, step = train(True, "momentum", "sim")
    x, y = gpunn.ones(5, 4, 2, 3, device="sim"), gpunn.zeros(5, 4, dtype=gpunn.int64, device="sim")
    used = []
    for _ in range(3):
        for count in (STEPS, 5):
            step.steps(x[:count], y[:count])
            used.append(step.plan._errors.used)
    assert used[2:] == used[:2] * 2
