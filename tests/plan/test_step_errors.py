"""What a planned step refuses, and what a failure leaves."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn, optim
from gpunn.plan import StepFailed, TraceError

from .steps import batch, linear_step


def test_reading_elements_is_an_error_that_shows_the_line() -> None:
    def loss_fn(output: gpunn.Tensor, target: gpunn.Tensor) -> gpunn.Tensor:
        if output.sum() > 0:
            return output.mean()
        return target.mean()

    step, _, _ = linear_step(loss_fn)
    with pytest.raises(TraceError, match=r"test_step_errors\.py:\d+: \"if output.sum\(\) > 0:\".*gpunn.where"):
        step(*batch())


def test_what_changes_from_trace_to_trace_is_an_error() -> None:
    count = iter(range(10))
    step, _, _ = linear_step(lambda output, target: (output * next(count)).mean())
    with pytest.raises(TraceError, match=r"another thing each time.*Mul"):
        step(*batch())


def test_random_constants_are_an_error() -> None:
    rng = np.random.default_rng(0)
    step, _, _ = linear_step(lambda output, y: (output * gpunn.tensor(rng.random(2), dtype=gpunn.float32)).mean())
    with pytest.raises(TraceError, match="another thing each time"):
        step(*batch())


def test_an_argument_that_is_no_tensor() -> None:
    step, _, _ = linear_step()
    with pytest.raises(TypeError, match="argument 2 is float; expected tensors"):
        step(batch()[0], 3.0)


def test_a_wrong_shape_is_the_eager_error() -> None:
    step, _, _ = linear_step()
    step(*batch())
    with pytest.raises(RuntimeError, match="does not fit the weight"):
        step(gpunn.ones(4, 5), gpunn.ones(4, 2))


def test_a_bad_label_changes_nothing() -> None:
    gpunn.manual_seed(0)
    model = nn.Linear(3, 2)
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1))
    x, _ = batch()
    step(x, gpunn.tensor([0, 1, 0, 1]))
    before = model.weight.detach().numpy().copy()
    with pytest.raises(IndexError, match="7"):
        step(x, gpunn.tensor([0, 1, 7, 1]))
    np.testing.assert_array_equal(model.weight.detach().numpy(), before)
    step(x, gpunn.tensor([0, 1, 0, 1]))


def test_a_step_that_fails_after_its_first_write_goes_no_further() -> None:
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1))
    x, good = batch()[0], gpunn.tensor([0, 1, 0, 1])
    step(x, good)
    with pytest.raises(IndexError):
        step(x, gpunn.tensor([0, 1, 7, 1]))  # the running statistics have moved by now
    with pytest.raises(StepFailed, match="load them and the optimizer's state"):
        step(x, good)


def test_ctrl_c_waits_for_the_end_of_the_step() -> None:
    """A signal in the middle of a step, in a program of its own: the step is finished, and the next one goes on."""
    code = """
import os, signal
import numpy as np
import gpunn
from gpunn import nn, optim

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell in the background switches off
gpunn.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
step = gpunn.TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), 0.1))
x, y = gpunn.ones(4, 3), gpunn.zeros(4, 2)
step(x, y)
twin = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
twin.load_state_dict(model.state_dict())
gpunn.TrainStep(twin, nn.MSELoss(), optim.SGD(twin.parameters(), 0.1))(x, y)
step.plan._calls.insert(1, (os.kill, [os.getpid(), signal.SIGINT], {}))
try:
    step(x, y)
    print("not interrupted")
except KeyboardInterrupt:
    print(all((a.detach().numpy() == b.detach().numpy()).all() for a, b in zip(model.parameters(), twin.parameters())))
del step.plan._calls[1]
print(step(x, y).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["True", "()"], done.stdout + done.stderr
