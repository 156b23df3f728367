"""Bad labels and indices in planned steps: nothing is trained from there on, and the host finds out."""

from __future__ import annotations

import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.backend.kernel.family import generic
from gpunn.backend.sim import SimBackend
from gpunn.plan import StepFailed

from .captured import bad_step, batches, bits, planned, set_up


def test_a_bad_label_is_found_by_check_and_nothing_is_trained() -> None:
    step, model, opt = set_up(TrainStep, "mlp", "adam")
    for x, y in batches("mlp", 4):
        step(x, y)
    moments = [v for p in model.parameters() for k, v in opt.state[p].items() if k != "step"]
    before = bits([*model.parameters(), *moments])
    bad_step(step)
    for x, y in batches("mlp", 3):
        step(x, y)
    assert bits([*model.parameters(), *moments]) == before
    expected = "cross_entropy: Target 10 is out of bounds: position 1 of the target, with 10 classes"
    with pytest.raises(IndexError, match=expected):
        step.check()
    with pytest.raises(StepFailed, match=r"nothing was trained any more.*Target 10"):
        bad_step(step)


def test_a_bad_label_is_found_by_itself_in_the_end() -> None:
    step, _, _ = set_up(TrainStep, "mlp", "momentum")
    for x, y in batches("mlp", 4):
        step(x, y)
    bad_step(step, -1)
    with pytest.raises(IndexError, match="Target -1"):
        for x, y in batches("mlp", 32):
            step(x, y)


def test_a_bad_label_of_the_first_steps_changes_nothing() -> None:
    step, model, _ = set_up(TrainStep, "mlp", "adam")
    before = bits(list(model.parameters()))
    with pytest.raises(IndexError, match="Target 10"):
        bad_step(step)
    assert bits(list(model.parameters())) == before
    for x, y in batches("mlp", 5):
        step(x, y)
    step.check()


def test_a_plan_is_checked_before_another_is_used() -> None:
    step, _, _ = set_up(TrainStep, "mlp", "adam")
    for x, y in batches("mlp", 4):
        step(x, y)
    bad_step(step)
    with pytest.raises(IndexError, match="Target 10"):
        step(gpunn.ones(2, 12, device="sim"), gpunn.tensor([1, 2], device="sim"))


def test_a_step_that_finds_the_bad_label_of_the_one_before_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimBackend, "dropout", generic(SimBackend.dropout))
    model = nn.Sequential(nn.Dropout(0.4), nn.Linear(12, 10)).to("sim")
    step = planned(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    for x, y in batches("mlp", 4):
        step(x, y)
    before = bits(list(model.parameters()))
    bad_step(step)
    with pytest.raises(IndexError, match="Target 10"):
        step(x, y)
    assert bits(list(model.parameters())) == before
    with pytest.raises(StepFailed):
        step(x, y)


def test_without_training_one_can_go_on() -> None:
    step = EvalStep(nn.Embedding(5, 3).to("sim"))
    good, bad = gpunn.tensor([1, 2], device="sim"), gpunn.tensor([1, 7], device="sim")
    for _ in range(3):
        step(good)
    assert step(bad)[1].tolist() == [0, 0, 0]
    with pytest.raises(IndexError, match=r"embedding: index out of range in self: 7 at \[1\]"):
        step.check()
    step(good)
    step.check()


def test_the_message_is_that_of_eager_work() -> None:
    messages = []
    for capture in (True, False):
        step = EvalStep(nn.BCELoss(), capture=capture)
        x, y = gpunn.tensor([[0.5, 0.25]], device="sim"), gpunn.tensor([[0.0, 1.0]], device="sim")
        step(x, y)
        with pytest.raises(RuntimeError) as error:
            step(x + 0.75, y)
            step.check()
        messages.append(str(error.value))
    assert messages[0] == messages[1] and "got 1.25 at [0, 0]" in messages[0]
