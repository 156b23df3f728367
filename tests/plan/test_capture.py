"""A planned step on a device with kernels is one graph of launches, with the bits of eager work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.backend.kernel.family import generic
from gpunn.backend.sim import SimBackend
from gpunn.backend.simulator import Stream, stream
from gpunn.backend.spec import Spec
from gpunn.models import lenet
from gpunn.plan import StepFailed
from gpunn.plan.capture import CapturedProgram

from ..backend import fake_cupy
from .networks import OPTIMIZERS, Residual
from .test_step import eager

BATCH = 3


class Small(nn.Module):
    """An MLP with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 20)
        self.drop = nn.Dropout(0.4)
        self.second = nn.Linear(20, 10)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.second(self.drop(self.first(x).relu()))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (Small, (12,)),
    "w1": (lambda: nn.Sequential(nn.Linear(30, 33), nn.ReLU(), nn.Linear(33, 33), nn.ReLU(), nn.Linear(33, 10)), (30,)),
    "lenet": (lambda: lenet((1, 28, 28), 10), (1, 28, 28)),
    "residual": (Residual, (1, 6, 6)),
}


def planned(model: nn.Module, loss_fn: Any, optimizer: optim.Optimizer) -> TrainStep:
    """A captured step, op by op."""
    return TrainStep(model, loss_fn, optimizer, fuse=False)


def loose(model: nn.Module, loss_fn: Any, optimizer: optim.Optimizer) -> TrainStep:
    """A step through a plan that is not captured."""
    return TrainStep(model, loss_fn, optimizer, fuse=False, capture=False)


def set_up(make_step: Any, network: str, optimizer: str, device: str = "sim") -> tuple[Any, nn.Module, Any]:
    gpunn.manual_seed(0)
    model = NETWORKS[network][0]().to(device)
    opt = OPTIMIZERS[optimizer](model.parameters())
    return make_step(model, nn.CrossEntropyLoss(), opt), model, opt


def batches(network: str, steps: int, device: str = "sim") -> Iterator[tuple[gpunn.Tensor, gpunn.Tensor]]:
    rng = np.random.default_rng(1)
    for _ in range(steps):
        x = rng.standard_normal((BATCH, *NETWORKS[network][1])).astype(np.float32)
        yield gpunn.tensor(x, device=device), gpunn.tensor(rng.integers(0, 10, BATCH), device=device)


def train(make_step: Any, network: str, optimizer: str, steps: int = 6, device: str = "sim") -> list[np.ndarray]:
    """Losses, parameters, buffers and moments, with a learning rate that is another one at each step."""
    step, model, opt = set_up(make_step, network, optimizer, device)
    losses = []
    for x, y in batches(network, steps, device):
        opt.param_groups[0]["lr"] *= 1.1
        losses.append(step(x, y))
    return [t.detach().cpu().numpy().copy() for t in (*losses, *state(model, opt))]


def state(model: nn.Module, opt: Any) -> list[gpunn.Tensor]:
    """All that training changes."""
    return [*model.parameters(), *model.buffers(), *(v for p in model.parameters() for v in opt.state[p].values())]


def bits(tensors: list[gpunn.Tensor]) -> list[bytes]:
    return [t.detach().cpu().numpy().tobytes() for t in tensors]


def assert_same(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@contextmanager
def no_memory_and_no_waiting() -> Iterator[None]:
    """Inside, what a stream that captures forbids is an error: memory, waiting, launches on the null stream."""
    other = Stream(non_blocking=True)
    with other:
        other.begin_capture()
        try:
            yield
        finally:
            other.end_capture()


# Bits -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["w1", "residual"])
def test_a_list_of_primitives_has_the_bits_of_eager_work(network: str) -> None:
    assert_same(train(loose, network, "adam"), train(eager, network, "adam"))


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("network", ["mlp", "lenet"])
def test_a_graph_has_the_bits_of_eager_work_for_20_steps(network: str, optimizer: str) -> None:
    assert_same(train(planned, network, optimizer, steps=20), train(eager, network, optimizer, steps=20))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(optimizer: str) -> None:
    assert_same(train(planned, "mlp", optimizer), train(eager, "mlp", optimizer))


def test_a_network_with_batch_norm_and_dropout() -> None:
    assert_same(train(planned, "residual", "adamw"), train(eager, "residual", "adamw"))


def test_the_graph_agrees_with_the_cpu() -> None:
    for a, b in zip(train(TrainStep, "mlp", "adam"), train(TrainStep, "mlp", "adam", device="cpu"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_on_a_cupy_without_a_gpu(network: str) -> None:
    expected = train(eager, network, "adam")
    with fake_cupy.installed(devices=2):
        assert_same(train(planned, network, "adam", device="cuda:1"), expected)


def test_steps_on_different_streams_follow_one_another() -> None:
    with fake_cupy.installed():
        results = []
        for make_step in (planned, eager):
            step, model, _ = set_up(make_step, "mlp", "adam", "cuda")
            streams = [fake_cupy.Stream(non_blocking=True) for _ in range(3)]
            given = list(batches("mlp", 9, "cuda"))
            gpunn.cuda.synchronize()
            losses = []
            for i, (x, y) in enumerate(given):
                with streams[i % 3 if make_step is planned else 0]:
                    losses.append(step(x, y))
            gpunn.cuda.synchronize()
            results.append(bits([*losses, *model.parameters()]))
        assert results[0] == results[1]


def test_an_empty_batch() -> None:
    step = EvalStep(nn.Linear(3, 2).to("sim"))
    for _ in range(3):
        assert step(gpunn.zeros(0, 3, device="sim")).shape == (0, 2)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_types(dtype: str) -> None:
    losses = []
    for make_step in (planned, eager):
        gpunn.manual_seed(0)
        model = Small().to("sim").to(getattr(gpunn, dtype))
        step = make_step(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), 1e-2, eps=1e-4))
        losses.append([step(x.to(getattr(gpunn, dtype)), y).item() for x, y in batches("mlp", 5)])
    assert losses[0] == losses[1]


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("network", NETWORKS)
def test_on_a_gpu(cuda: gpunn.device, network: str, optimizer: str) -> None:
    assert_same(train(planned, network, optimizer, 20, str(cuda)), train(eager, network, optimizer, 20, str(cuda)))
    step, _, _ = set_up(planned, network, optimizer, str(cuda))
    for x, y in batches(network, 4, str(cuda)):
        step(x, y)
    assert [segment.captured for segment in step.plan.segments] == [True]
    assert step.plan.segments[0].graph is not None


@pytest.mark.gpu
def test_a_bad_label_on_a_gpu(cuda: gpunn.device) -> None:
    step, model, _ = set_up(planned, "mlp", "adam", str(cuda))
    for x, y in batches("mlp", 4, str(cuda)):
        step(x, y)
    before = bits(list(model.parameters()))
    step(x, gpunn.tensor([0, 10, 2], device=cuda))
    step(x, y)
    assert bits(list(model.parameters())) == before
    with pytest.raises(IndexError, match="Target 10"):
        step.check()


# Graphs ---------------------------------------------------------------------------------------------------------------


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
    step, _, _ = set_up(TrainStep, "mlp", "adam")
    other, _, _ = set_up(eager, "mlp", "adam")
    for n in (3, 3, 2, 3, 2, 2, 3):
        x, y = gpunn.ones(n, 12, device="sim"), gpunn.tensor([1] * n, device="sim")
        gpunn.manual_seed(n)
        a = step(x, y).item()
        gpunn.manual_seed(n)
        assert a == other(x, y).item()


def test_a_changed_choice_captures_anew() -> None:
    expected, _, opt = set_up(eager, "mlp", "nesterov")
    step, _, mine = set_up(TrainStep, "mlp", "nesterov")
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


# Bad indices ----------------------------------------------------------------------------------------------------------


def bad_step(step: Any, label: int = 10) -> None:
    x, _ = next(batches("mlp", 1))
    step(x, gpunn.tensor([0, label, 2], device="sim"))


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
