"""Where the time of a step goes: its parts, their order, and times by a clock that the test turns."""

from __future__ import annotations

import itertools
import time
from collections import Counter

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim
from gpunn.autograd.mode import state
from gpunn.inspect.profile import profile_step

from ...plan import random_models

BATCH, INPUTS, HIDDEN, CLASSES = 4, 12, 20, 10
FORWARD = [("0", "LinearActivation"), ("1", "Activation"), ("2", "LinearActivation"), ("", "SoftmaxCrossEntropy")]
BACKWARD = [
    ("", "SoftmaxCrossEntropyBackward"),
    ("2", "LinearBackward"),
    ("1", "ActivationBackward"),
    ("0", "LinearBackward"),
]
PRODUCTS = 2 * BATCH * (INPUTS * HIDDEN + HIDDEN * CLASSES)
"""FLOP of the products of a forward."""
PARAMETERS = [INPUTS * HIDDEN, HIDDEN, HIDDEN * CLASSES, CLASSES]


def make(fuse: bool = False, loss_fn=None, device: str = "cpu", **options):
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)).to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = gpunn.randn(BATCH, INPUTS, device=device), gpunn.randint(0, CLASSES, (BATCH,), device=device)
    return gpunn.TrainStep(model, loss_fn or nn.CrossEntropyLoss(), optimizer, fuse=fuse, **options), x, y


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a microsecond whenever somebody looks."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * 1e-6)


def named(profile, phase: str) -> list[tuple[str, str]]:
    return [(part.layer, part.op) for part in profile.parts if part.phase == phase]


def test_the_parts_of_a_planned_step() -> None:
    profile = profile_step(*make(), steps=1)
    assert (profile.planned, profile.captured, profile.steps, profile.device) == (True, False, 1, "cpu")
    assert named(profile, "forward") == FORWARD
    assert named(profile, "backward") == BACKWARD
    assert named(profile, "update") == [("", "SGD step")]
    assert [call.name for part in profile.parts[:2] for call in part.calls] == ["linear_activation", "activation"]


def test_the_parts_of_a_step_op_by_op() -> None:
    profile = profile_step(*make(), steps=1, eager=True)
    assert not profile.planned
    assert named(profile, "forward") == FORWARD
    assert named(profile, "backward") == [("", "Full"), *BACKWARD]  # Full: the gradient of the loss itself, 1
    # Each parameter is in memory of its own until a plan moves them together.
    assert named(profile, "update") == [("", "SGD step")] * 4
    assert [part.bytes for part in profile.parts[-4:]] == [4 * 5 * n for n in PARAMETERS]


@pytest.mark.parametrize("seed", range(8))
def test_a_plan_has_the_parts_of_the_step_op_by_op(seed) -> None:
    """In phase, layer, op and cost, but for views, constants, and parameters that are updated together."""
    found = []
    plan = random_models.plan(np.random.default_rng(seed), dropout=True)
    x, y = random_models.batches(plan, 1)[0]
    for eager in (False, True):
        gpunn.manual_seed(0)
        model = random_models.build(gpunn, plan.layers)
        step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), fuse=False)
        profile = profile_step(step, gpunn.tensor(x).float(), gpunn.tensor(y), steps=1, eager=eager)
        found.append(Counter((p.phase, p.layer, p.op, p.flop, p.bytes) for p in profile.parts if p.phase != "update"))
    planned, op_by_op = found
    assert planned - op_by_op == Counter()
    assert {op for _, _, op, _, _ in op_by_op - planned} <= {"Full", "Expand", "Reshape"}


def test_what_is_fused_is_one_part() -> None:
    profile = profile_step(*make(fuse=True), steps=1)
    assert named(profile, "forward") == [("0", "LinearActivation"), ("2", "LinearActivation"), FORWARD[-1]]
    assert named(profile, "update") == [("2", "SGD step"), ("0", "SGD step")]  # with the products that make gradients
    # p and its moment are read and written, 16 bytes a parameter; dZ and X are read.
    sizes = [(BATCH, HIDDEN, CLASSES), (BATCH, INPUTS, HIDDEN)]
    moved = [16 * (i * o + o) + 4 * n * (i + o) for n, i, o in sizes]
    assert [(p.flop, p.bytes) for p in profile.parts if p.phase == "update"] == [
        (2 * n * i * o, m) for (n, i, o), m in zip(sizes, moved)
    ]


@pytest.mark.parametrize("eager", [False, True])
def test_costs_are_those_of_the_products_by_hand(eager) -> None:
    profile = profile_step(*make(), steps=1, eager=eager)
    totals = {total.name: total for total in profile.by("op")}
    assert totals["LinearActivation"].flop == PRODUCTS
    # dX and dW are a product each; of the first layer dX is not needed.
    assert totals["LinearBackward"].flop == 2 * PRODUCTS - 2 * BATCH * INPUTS * HIDDEN
    assert totals["SGD step"].bytes == 4 * 5 * sum(PARAMETERS)
    assert totals["SGD step"].flop is None


@pytest.mark.parametrize("eager", [False, True])
def test_times_by_a_clock_of_the_test(eager, clock) -> None:
    profile = profile_step(*make(), steps=3, eager=eager)
    calls = sum(len(part.calls) for part in profile.parts)
    # A look at the clock before and behind each call: 1 us within each, and 1 us before, between and behind them.
    for part in profile.parts:
        assert part.microseconds == pytest.approx(len(part.calls))
        assert all(call.p10 == pytest.approx(call.p90) for call in part.calls)
    assert profile.between == pytest.approx(calls + 1)
    assert profile.microseconds == pytest.approx(2 * calls + 1) == profile.recording.microseconds
    assert profile.step == pytest.approx(1)  # nobody looks at the clock within it


def test_a_part_of_several_calls(clock) -> None:
    """The gradient of gelu needs what goes into it, so the product is a call of its own."""
    step, x, y = make()
    step.model[0] = nn.LinearActivation(INPUTS, HIDDEN, activation="gelu")
    step = gpunn.TrainStep(step.model, step.loss_fn, optim.SGD(step.model.parameters(), lr=0.1), fuse=False)
    profile = profile_step(step, x, y, steps=2)
    calls = [(call.name, call.microseconds) for call in profile.parts[0].calls]
    assert calls == [("linear_activation", pytest.approx(1)), ("activation", pytest.approx(1))]
    names = [event["name"] for event in profile.trace()["traceEvents"] if event.get("cat") == "call"]
    assert names == ["linear_activation", "activation"]


def test_sums(clock) -> None:
    profile = profile_step(*make(), steps=1, eager=True)
    layers = profile.by("layer")
    assert [total.name for total in layers] == ["0", "1", "2", ""]
    us = [(total.forward, total.backward, total.update) for total in layers]
    assert us == [pytest.approx(times) for times in ((1, 1, 0), (1, 1, 0), (1, 1, 0), (1, 2, 4))]
    ops = profile.by("op")
    assert [(ops[0].name, ops[0].calls, ops[0].microseconds)] == [("SGD step", 4, pytest.approx(4))]
    assert sum(total.microseconds for total in ops) == pytest.approx(sum(map(sum, us)))
    assert [total.name for total in profile.by("phase")] == ["forward", "backward", "update"]
    with pytest.raises(ValueError, match='by\\(\\) takes "op", "layer" or "phase", got \'kernel\''):
        profile.by("kernel")


def test_what_is_only_looked_at_is_part_of_the_forward() -> None:
    def loss_fn(z, y):
        return nn.functional.cross_entropy(z, y), (z.argmax(1) == y).float().mean()

    step, x, y = make(loss_fn=loss_fn)
    profile = profile_step(step, x, y, steps=1)
    assert {"ArgMax", "Mean"} & {op for _, op in named(profile, "backward")} == set()
    assert len(named(profile, "forward")) > len(FORWARD)
    assert named(profile, "backward") == BACKWARD


def test_an_evaluation_is_all_forward() -> None:
    step, x, _ = make()
    profile = profile_step(gpunn.EvalStep(step.model.eval(), fuse=False), x, steps=1)
    assert [(part.phase, part.layer) for part in profile.parts] == [
        ("forward", "0"),
        ("forward", "1"),
        ("forward", "2"),
    ]


@pytest.mark.parametrize("eager", [False, True])
def test_a_watched_step_does_what_any_step_does(eager) -> None:
    watched, *batch = make()
    profile_step(watched, *batch, steps=2, eager=eager)
    plain, *batch = make()
    for _ in range(4 + 2 * 2):
        plain(*batch)
    for a, b in zip(watched.model.parameters(), plain.model.parameters()):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    assert watched(*batch).item() == plain(*batch).item()


def test_nothing_watches_after_an_error() -> None:
    class Stops(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 5:
                raise RuntimeError("enough")
            return x + 1

    step, x, y = make()
    step.model.append(Stops())
    quietly = state.quietly
    with pytest.raises(RuntimeError, match="enough"):
        profile_step(step, x, y, steps=2, eager=True)
    assert state.watcher is None
    assert state.quietly is quietly


def test_a_step_without_a_plan_is_measured_op_by_op() -> None:
    step, x, y = make()
    step.model[1].register_forward_hook(lambda module, inputs, output: None)
    with pytest.warns(UserWarning, match="op by op"):
        profile = profile_step(step, x, y, steps=1)
    assert not profile.planned
    assert named(profile, "forward") == FORWARD


def test_ops_that_only_some_steps_do() -> None:
    class Sometimes(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x.tanh() if self.calls % 4 == 0 else x

    step, x, y = make()
    step.model.append(Sometimes())
    profile = profile_step(step, x, y, steps=3, eager=True)  # watched: calls 6, 8 and 10
    (part,) = [part for part in profile.parts if (part.phase, part.layer) == ("forward", "3")]
    assert part.microseconds == 0  # the median
    assert part.calls[0].p90 > 0


def test_a_number_of_steps_that_is_none() -> None:
    with pytest.raises(ValueError, match="steps is a number above 0, got 0"):
        profile_step(*make(), steps=0)


def test_progress() -> None:
    done = []
    profile_step(*make(), steps=3, on_progress=lambda *told: done.append(told))
    assert done == [(1, 3), (2, 3), (3, 3)]
