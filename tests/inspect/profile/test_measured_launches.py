"""Where the time of a captured step goes, on a GPU that is none, where a kernel takes a microsecond for each block."""

from __future__ import annotations

import math
import sys

import pytest

import gpunn
from gpunn import nn, optim
from gpunn.cuda import nvtx
from gpunn.inspect.profile import clock, profile_step

from ...backend import fake_cupy


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(clock, "LAUNCHES", 3)
    with fake_cupy.installed() as found:
        yield found


def make(device: str = "cuda", **options):
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 300), nn.Tanh(), nn.Linear(300, 10)).to(device)
    x, y = gpunn.randn(8, 6, device=device), gpunn.randint(0, 10, (8,), device=device)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return gpunn.TrainStep(model, nn.CrossEntropyLoss(), optimizer, **options), x, y


def profile(device: str = "cuda", eager: bool = False, **options):
    return profile_step(*make(device, **options), steps=2, seconds=0.0, eager=eager)


def test_each_launch_takes_as_long_as_the_device_says(machine) -> None:
    found = profile()
    assert found.captured
    launches = [call for part in found.parts for call in part.calls]
    assert max(math.prod(launch.grid) for launch in launches) > 1
    for launch in launches:
        assert launch.microseconds == pytest.approx(math.prod(launch.grid)) == launch.p10 == launch.p90
    whole = sum(math.prod(launch.grid) for launch in launches)
    assert found.graph == pytest.approx(whole)
    assert found.step == pytest.approx(whole)  # the copies of batch and loss take no time there
    assert found.between == pytest.approx(0)


def test_they_are_those_of_the_step_in_order(machine) -> None:
    step, *batch = make()
    found = profile_step(step, *batch, steps=1, seconds=0.0)
    expected = [launch.name for segment in step.plan.segments for launch in segment.launches]
    assert [call.name for part in found.parts for call in part.calls] == expected
    assert [part.phase for part in found.parts] == sorted(
        (part.phase for part in found.parts), key=["forward", "backward", "update"].index
    )
    assert (found.parts[0].layer, found.parts[0].op) == ("0", "LinearActivation")
    assert found.parts[-1].op == "SGD step"


def test_device_times_stand_in_the_trace(machine) -> None:
    found = profile()
    on_device = [event for event in found.trace()["traceEvents"] if event["ph"] == "X" and event["tid"] == 2]
    launches = [call for part in found.parts for call in part.calls]
    assert [event["name"] for event in on_device] == [launch.name for launch in launches]
    assert [event["dur"] for event in on_device] == pytest.approx([math.prod(launch.grid) for launch in launches])
    starts = [event["ts"] - on_device[0]["ts"] for event in on_device]
    before = [sum(math.prod(x.grid) for x in launches[:i]) for i in range(len(launches))]
    assert starts == pytest.approx(before, abs=0.002)


def test_ranges_of_nvtx(machine) -> None:
    step, *batch = make()
    for _ in range(5):
        step(*batch)
    assert machine.marked == []  # nobody profiles
    profile_step(step, *batch, steps=1, seconds=0.0)
    assert machine.marked[0] == "forward 0 LinearActivation"
    assert machine.marked[-1] == "update SGD step"
    assert machine.ranges == []


@pytest.mark.parametrize(("eager", "options"), [(True, {}), (False, {"capture": False})])
def test_a_step_that_is_not_captured(machine, eager, options) -> None:
    found = profile(eager=eager, **options)
    assert not found.captured
    assert found.planned is not eager
    assert sum(part.microseconds for part in found.parts) == pytest.approx(
        sum(span.on_device[1] for span in found.recording.spans)
    )
    assert found.parts[0].microseconds >= 0
    assert {part.phase for part in found.parts} == {"forward", "backward", "update"}
    assert "forward 0 LinearActivation" in machine.marked


class SignDescent(optim.SGD):
    """An update that is not gpunn's, so that it is part of no graph."""

    def _update(self, backend, group, p, g, moments, step, first) -> None:
        backend.subtract(p, backend.multiply(backend.sign(g), group["lr"]), out=p)


def test_a_call_that_is_part_of_no_graph(machine) -> None:
    step, *batch = make()
    step = gpunn.TrainStep(step.model, step.loss_fn, SignDescent(step.model.parameters(), lr=0.1))
    found = profile_step(step, *batch, steps=2, seconds=0.0)
    assert [segment.captured for segment in step.plan.segments] == [True, False]
    assert (found.parts[-1].op, found.parts[-1].bytes) == ("SignDescent step", None)
    (call,) = found.parts[-1].calls
    assert (call.name, call.grid) == ("SignDescent", ())
    assert call.microseconds > 0
    assert found.graph == pytest.approx(sum(part.microseconds for part in found.parts[:-1]))


def test_on_the_simulator() -> None:
    found = profile("sim")
    assert found.captured
    assert all(call.microseconds > 0 and call.grid for part in found.parts for call in part.calls)


def test_a_range_without_cupy(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with nvtx.range("nothing"):
        pass


def test_a_range_with_a_cupy_without_nvtx(machine, monkeypatch) -> None:
    monkeypatch.setattr(fake_cupy.cuda.nvtx, "available", False)
    with nvtx.range("nothing"):
        pass
    assert machine.marked == []


def test_a_range_ends_with_an_error(machine) -> None:
    with pytest.raises(ZeroDivisionError), nvtx.range("outer"), nvtx.range("{} {n}", "inner", n=2):
        _ = 1 / 0
    assert (machine.marked, machine.ranges) == (["outer", "outer/inner 2"], [])
