"""Assignments of a planned step: no copy where the value can be made in its place, and the same bits in any case."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import gpunn
from gpunn import EvalStep, TrainStep, nn, optim
from gpunn.autograd.inplace import assign
from gpunn.plan import StepFailed

from .captured import assert_same, bits


class Stateful(nn.Module):
    """A buffer, and what a step does with it."""

    def __init__(self, step: Callable[[gpunn.Tensor, gpunn.Tensor], gpunn.Tensor]) -> None:
        super().__init__()
        self.register_buffer("state", gpunn.linspace(-1, 1, 6).reshape(2, 3))
        self.step = step

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        with gpunn.no_grad():
            return self.step(self.state, x)


def sum_of_both(s: gpunn.Tensor, x: gpunn.Tensor) -> gpunn.Tensor:
    y = x * 2
    assign(s, y)
    return y.sum()


def read_before_the_end(s: gpunn.Tensor, x: gpunn.Tensor) -> gpunn.Tensor:
    new = x.exp()
    y = s * 3
    assign(s, new)
    return y


def view_read_before_the_end(s: gpunn.Tensor, x: gpunn.Tensor) -> gpunn.Tensor:
    turned = s.T
    new = x.exp()
    y = turned * 3
    assign(s, new)
    return y


def returned(s: gpunn.Tensor, x: gpunn.Tensor) -> gpunn.Tensor:
    new = s.sigmoid() + x
    assign(s, new)
    return new


def written_twice(s: gpunn.Tensor, x: gpunn.Tensor) -> gpunn.Tensor:
    first, second = x.exp(), x.tanh()
    assign(s, first)
    y = s * 2
    assign(s, second)
    return y


def of_a_view(s: gpunn.Tensor, x: gpunn.Tensor) -> gpunn.Tensor:
    s[1].copy_(x[0].exp())
    return s * 1


def turned_around(s: gpunn.Tensor, x: gpunn.Tensor) -> gpunn.Tensor:
    assign(s, s.flip(0))
    return s + x


def after_all_reads(s: gpunn.Tensor, x: gpunn.Tensor) -> gpunn.Tensor:
    y = s * x
    assign(s, x.exp())
    return y


def over_itself(s: gpunn.Tensor, x: gpunn.Tensor) -> gpunn.Tensor:
    s.sigmoid_()
    return s + x


CASES = {  # what is done, and how many copies are left
    sum_of_both: 1,
    read_before_the_end: 1,
    view_read_before_the_end: 1,
    returned: 1,
    written_twice: 1,  # the first one is in its place
    of_a_view: 1,
    turned_around: 1,
    after_all_reads: 0,
    over_itself: 0,
}


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize(("step", "copies"), CASES.items(), ids=lambda case: getattr(case, "__name__", case))
def test_the_same_with_and_without_a_copy(step, copies, device) -> None:
    found = []
    for make in (lambda model: EvalStep(model, fuse=False), lambda model: model):
        model = Stateful(step).to(device)
        run, x = make(model), gpunn.tensor([[0.5, -1, 2], [0.25, 0, -3]], device=device)
        found.append([t.cpu().numpy().copy() for i in range(4) for t in (run(x + i), model.state)])
        if isinstance(run, EvalStep):
            assigns = [node for node in run.plan.graph.nodes if node.name == "Assign"]
            assert len(assigns) - len(run.plan.liveness.assigned) == copies
    assert_same(*found)


def test_a_parameter_that_is_trained_is_written_by_a_copy() -> None:
    found = []
    for planned in (True, False):
        gpunn.manual_seed(0)
        layer = nn.Linear(3, 2)
        opt = optim.SGD(layer.parameters(), 0.1)

        def loss_fn(y: gpunn.Tensor, target: gpunn.Tensor, layer: nn.Linear = layer) -> gpunn.Tensor:
            with gpunn.no_grad():
                assign(layer.bias, target.exp())
            return (y - target).square().mean()

        def eager(x, y, layer=layer, opt=opt, loss_fn=loss_fn) -> None:
            opt.zero_grad()
            loss_fn(layer(x), y).backward()
            opt.step()

        step = TrainStep(layer, loss_fn, opt, fuse=False) if planned else eager
        for i in range(3):
            step(gpunn.ones(1, 3) * i, gpunn.tensor([0.5, -0.25]))
        found.append(bits(list(layer.parameters())))
    assert found[0] == found[1]


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_a_constant_is_assigned_at_each_step(device: str) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("hits", gpunn.zeros(1))
            self.register_buffer("level", gpunn.zeros(1))

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            self.level.fill_(3.0)
            self.hits.zero_()
            self.hits.add_(1.0)
            return x + self.hits

    model = Counting().to(device)
    step = EvalStep(model)
    for _ in range(3):
        assert step(gpunn.ones(2, device=device)).tolist() == [2, 2]
        assert (model.hits.tolist(), model.level.tolist()) == ([1], [3])
        model.level.zero_()
    assert len(step.plans_made) == 1


def test_the_statistics_of_batch_norm_need_no_launch_of_their_own() -> None:
    launches = []
    for tracks in (True, False):
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=tracks)).to("sim")
        step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1))
        x, y = (
            gpunn.tensor(np.arange(15.0).reshape(5, 3) % 4, dtype="float32", device="sim"),
            gpunn.zeros(5, dtype="int64", device="sim"),
        )
        for _ in range(4):
            step(x, y)
        launches.append([launch.name for segment in step.plan.segments for launch in segment.launches])
    assert launches[0] == launches[1]


def test_a_step_that_fails_behind_a_write_in_place_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpunn.backend import numpy as backend

    model = Stateful(after_all_reads)
    step = EvalStep(nn.Sequential(model, nn.Softmax(1)), fuse=False)
    x = gpunn.ones(2, 3)
    step(x)
    plan = step.plan
    names = [function.__name__ for function, *_ in plan._calls]
    assert names[plan.first_write] == "exp"

    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    plan._calls = [(fail, *rest) if f is backend.softmax else (f, *rest) for f, *rest in plan._calls]
    with pytest.raises(OSError, match="full"):
        step(x)
    with pytest.raises(StepFailed, match="after it had begun to change"):
        step(x)


@pytest.mark.filterwarnings("ignore:.*op by op")
@pytest.mark.parametrize("detached", [False, True])
def test_a_recorded_change_that_is_not_planned_gives_what_it_gives_op_by_op(detached):
    class Changed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(gpunn.tensor([1.0, 2.0]))
            self.register_buffer("b", gpunn.ones(2))

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            y = x * self.w
            z = y.detach() if detached else self.b.reshape(-1)
            z[0] = self.w[1]
            return y + z

    found = []
    for planned in (False, True):
        model, x = Changed(), gpunn.tensor([3.0, 4.0])
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        if planned:
            loss = TrainStep(model, lambda y, t: (y * t).sum(), optimizer)(x, x)
        else:
            loss = (model(x) * x).sum()
            loss.backward()
            optimizer.step()
        found.append((loss.item(), model.w.tolist(), model.b.tolist()))
    assert found[0] == found[1]
