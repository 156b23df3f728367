"""A planned step on a device with kernels is one graph of launches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.backend.kernel.family import generic
from gpunn.backend.sim import SimBackend
from gpunn.backend.simulator import stream
from gpunn.backend.spec import Spec
from gpunn.plan.capture import CapturedProgram

from .captured import (
    NETWORKS,
    Small,
    assert_same,
    bad_step,
    batches,
    bits,
    no_memory_and_no_waiting,
    planned,
    set_up,
    state,
    train,
)
from .networks import OPTIMIZERS
from .test_step import eager


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_whole_step_is_one_graph(network: str, optimizer: str) -> None:
    step, _, _ = set_up(TrainStep, network, optimizer)
    graphs = []
    for x, y in batches(network, 5):
        step(x, y)
        (segment,) = step.plan.segments
        assert segment.captured
        graphs.append(segment.graph)
    assert graphs[2] is graphs[3] is graphs[4] is not None
    assert len(graphs[4]) == step.plan.launches > 0
    assert [call.name for call in segment.calls if len(call.launches) > 3] == []
    assert step.plan.explain_capture() == f"graph: {step.plan.launches} launches of {len(segment.calls)} calls"


def test_a_captured_step_takes_no_memory_and_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    step, _, _ = set_up(TrainStep, "residual", "adam")
    *first, (x, y) = batches("residual", 5)
    for batch in first:
        step(*batch)
    taken: list[Any] = []
    allocate = SimBackend.allocate

    def counted(self: SimBackend, shape: Any, dtype: Any) -> Any:
        taken.append(tuple(shape))
        return allocate(self, shape, dtype)

    monkeypatch.setattr(SimBackend, "allocate", counted)
    monkeypatch.setattr(SimBackend, "to_numpy", lambda self, x: pytest.fail("the host reads from the device"))
    step(x, y)
    assert taken == [()]  # the copy of the loss


def test_what_is_launched_is_recorded_without_memory_of_its_own() -> None:
    """Taken down once more, while a stream captures."""
    step, _, _ = set_up(TrainStep, "lenet", "adam")
    for x, y in batches("lenet", 3):
        step(x, y)
    program = step.plan
    with no_memory_and_no_waiting():
        for call in program.segments[0].calls:
            program._taken_down(call)
    assert stream.capturing == 0


def test_another_batch_size_is_another_graph() -> None:
    step, _, _ = set_up(planned, "mlp", "adam")
    other, _, _ = set_up(eager, "mlp", "adam")
    for n in (3, 3, 2, 3, 2, 2, 3):
        x, y = gpunn.ones(n, 12, device="sim"), gpunn.tensor([1] * n, device="sim")
        gpunn.manual_seed(n)
        a = step(x, y).item()
        gpunn.manual_seed(n)
        assert a == other(x, y).item()


def test_a_changed_choice_captures_anew() -> None:
    expected, _, opt = set_up(eager, "mlp", "nesterov")
    step, _, mine = set_up(planned, "mlp", "nesterov")
    for i, (x, y) in enumerate(batches("mlp", 7)):
        for group in (*opt.param_groups, *mine.param_groups):
            group["nesterov"] = i < 4
            group["momentum"] = 0.9 - 0.1 * i
        gpunn.manual_seed(i)
        a = step(x, y)
        gpunn.manual_seed(i)
        assert a.item() == expected(x, y).item()


def test_a_loaded_state_is_used() -> None:
    results = []
    for make_step in (planned, eager):
        step, model, opt = set_up(make_step, "mlp", "adam")
        seen = []
        for i, (x, y) in enumerate(batches("mlp", 9)):
            if i == 4:
                opt.load_state_dict(opt.state_dict())
            seen.append(step(x, y).item())
        results.append((seen, bits(state(model, opt))))
    assert results[0] == results[1]


def test_a_parameter_that_has_had_fewer_steps_is_part_of_the_graph() -> None:
    """Adam has another number for it, at each step."""
    results = []
    for make_step in (planned, eager):
        step, model, opt = set_up(make_step, "mlp", "adam")
        frozen = list(model.parameters())[2]
        frozen.requires_grad_(False)
        seen = []
        for i, (x, y) in enumerate(batches("mlp", 8)):
            if i == 3:
                frozen.requires_grad_(True)
            if make_step is planned and i > 5:
                (segment,) = step.plan.segments
                graph = segment.graph
            seen.append(step(x, y).item())
        results.append((seen, bits(state(model, opt))))
        if make_step is planned:
            assert segment.graph is graph is not None
    assert results[0] == results[1]


def test_groups_with_options_of_their_own() -> None:
    results = []
    for make_step in (planned, eager):
        gpunn.manual_seed(0)
        model = Small().to("sim")
        groups = [{"params": [p], "lr": 0.01 * i} for i, p in enumerate(model.parameters(), 1)]
        step = make_step(model, nn.CrossEntropyLoss(), optim.Adam(groups))
        results.append(([step(x, y).item() for x, y in batches("mlp", 5)], bits(list(model.parameters()))))
    assert results[0] == results[1]


def test_arguments_of_any_strides() -> None:
    model = nn.Linear(3, 2).to("sim")
    step = EvalStep(model)
    x = gpunn.tensor(np.arange(12, dtype=np.float32).reshape(3, 4), device="sim")
    for _ in range(3):
        y = step(x.T)
    np.testing.assert_array_equal(y.cpu().numpy(), model(x.T).detach().cpu().numpy())


def test_results_are_copies() -> None:
    step = EvalStep(nn.Linear(3, 2).to("sim"))
    x = gpunn.ones(2, 3, device="sim")
    first = step(x)
    before = first.cpu().numpy().copy()
    step(2 * x)
    step(3 * x)
    np.testing.assert_array_equal(first.cpu().numpy(), before)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_forecast_is_the_memory_of_the_plan(network: str) -> None:
    step, _, _ = set_up(TrainStep, network, "adam")
    ((x, y),) = batches(network, 1)
    forecast = step.forecast(x, y)
    step(x, y)
    assert forecast == step.plan.memory()
    assert all(id(v) in step.plan.liveness.place for v in step.plan.graph.arguments)  # copies of the batch


def test_what_is_not_captured_has_no_workspace_of_its_own() -> None:
    model = nn.Linear(3, 2).to("sim")
    step = TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), 0.1), capture=False)
    assert step.forecast(gpunn.ones(4, 3, device="sim"), gpunn.ones(4, 2, device="sim")).workspace == 0


def test_the_forecast_of_a_large_batch_takes_no_memory() -> None:
    step, _, _ = set_up(TrainStep, "lenet", "adam")
    x = Spec((1 << 22, 1, 28, 28), gpunn.float32, gpunn.device("sim"))
    assert step.forecast(x, Spec((1 << 22,), gpunn.int64, gpunn.device("sim"))).total > 1 << 36


# What can't be captured -----------------------------------------------------------------------------------------------


def test_a_primitive_that_reads_splits_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    step, _, _ = set_up(planned, "mlp", "adam")
    expected = train(eager, "mlp", "adam")
    monkeypatch.setattr(SimBackend, "dropout", generic(SimBackend.dropout))
    assert_same(train(planned, "mlp", "adam"), expected)
    for x, y in batches("mlp", 4):
        step(x, y)
    assert [segment.captured for segment in step.plan.segments] == [True, False, True, False, True]
    lines = step.plan.explain_capture().splitlines()
    assert lines[1] == lines[3] == "op by op: dropout goes through the array module"
    assert lines[0].startswith("graph: ") and lines[4].startswith("graph: ")


class SignDescent(optim.SGD):
    """An update that is not gpunn's."""

    def _update(self, backend: Any, group: Any, p: Any, g: Any, moments: Any, step: float, first: bool) -> None:
        backend.subtract(p, backend.multiply(backend.sign(g), group["lr"]), out=p)


def test_an_optimizer_with_an_update_of_its_own_is_no_part_of_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIMIZERS, "sign", lambda params: SignDescent(params, 0.01))
    assert_same(train(planned, "mlp", "sign"), train(eager, "mlp", "sign"))
    step, _, _ = set_up(planned, "mlp", "sign")
    for x, y in batches("mlp", 4):
        step(x, y)
    assert step.plan.explain_capture().splitlines()[1:] == ["op by op: SignDescent has an update of its own"]
    with pytest.raises(IndexError, match="Target 10"):
        bad_step(step)


def test_a_division_by_integers_splits_the_graph() -> None:
    class Halves(nn.Module):
        def forward(self, x: gpunn.Tensor, by: gpunn.Tensor) -> gpunn.Tensor:
            return (x + 1) // by * 2

    step = EvalStep(Halves())
    x = gpunn.tensor([1, 5, 8], device="sim")
    for by in (1, 2, 3):
        y = step(x, gpunn.tensor([by] * 3, device="sim"))
        assert y.tolist() == [(v + 1) // by * 2 for v in (1, 5, 8)]
    assert "reads from the device" in step.plan.explain_capture()
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        step(x, gpunn.tensor([1, 0, 1], device="sim"))


# The rest -------------------------------------------------------------------------------------------------------------


def test_on_the_cpu_nothing_is_captured() -> None:
    step, _, _ = set_up(TrainStep, "mlp", "adam", "cpu")
    ((x, y),) = batches("mlp", 1, "cpu")
    step(x, y)
    assert not isinstance(step.plan, CapturedProgram)
    assert step.plan.explain_capture().startswith("nothing is captured")
    step.check()


def test_gradients_can_be_kept() -> None:
    results = []
    for keep in (True, False):
        gpunn.manual_seed(0)
        model = Small().to("sim")
        opt = optim.SGD(model.parameters(), 0.1)
        loss_fn = nn.CrossEntropyLoss()
        step = TrainStep(model, loss_fn, opt, fuse=False, keep_grads=True) if keep else eager(model, loss_fn, opt)
        for x, y in batches("mlp", 3):
            step(x, y)
        results.append(bits([p.grad for p in model.parameters()]))
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["NAdam", "RAdam", "Adam", "RMSprop", "Adamax", "Adadelta", "ASGD", "Rprop", "Lion"])
def test_every_update_has_room_for_its_numbers(name: str) -> None:
    """Each parameter is updated by itself where another plan holds them, so that they stay where they are."""
    found = []
    for device in ("cpu", "sim"):
        gpunn.manual_seed(0)
        layers = [nn.BatchNorm2d(1), nn.Hardtanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(1, 3)]
        model = nn.Sequential(*layers).double().to(device)
        optimizer = getattr(optim, name)(model.parameters(), 0.01)
        x, y = gpunn.randn(5, 1, 2, 2).double().to(device), gpunn.rand(5, 3).double().to(device)
        step, answer = TrainStep(model, nn.MSELoss(), optimizer, fuse=False), EvalStep(model)
        answer(x)
        for _ in range(4):
            step(x, y)
        found.append([p.detach().cpu().numpy() for p in model.parameters()])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_plan_that_has_let_go_is_no_graph() -> None:
    """Of its memory, which a step on another device or in other types may want."""
    step, _, _ = set_up(TrainStep, "residual", "momentum")
    for batch in batches("residual", 4):
        step(*batch)
    plan = step.plan
    assert plan.launches > 0
    plan.let_go()
    assert (plan.launches, plan.explain_capture()) == (0, "")
    step(*batch)
    assert plan.launches > 0
