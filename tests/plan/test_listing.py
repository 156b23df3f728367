"""A plan as text."""

from __future__ import annotations

import gpunn
from gpunn import nn, optim

LISTING = """\
a step on float32[4, 8], int64[4]
%0  0  LinearActivation             float32[4, 16]                     of argument 0, 0.weight, 0.bias
%1  2  LinearActivation             float32[4, 3]                      of %0, 2.weight, 2.bias
%2     SoftmaxCrossEntropy          float32[], float32[4], float32[4]  of %1, argument 1
%3     Full                         float32[]
%4     SoftmaxCrossEntropyBackward  float32[4, 3]                      of %3, %1, argument 1, %2.1, %2.2
%5  2  LinearBackward               float32[4, 16]                     of %4, 2.weight
%6  2  SGD step                     2 parameters changed               by %4, %0
%7  1  ActivationBackward           float32[4, 16]                     of %5.0, %0
%8  0  SGD step                     2 parameters changed               by %7, argument 0
returns %2.0"""


def _step() -> gpunn.TrainStep:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    step(gpunn.rand(4, 8), gpunn.randint(3, (4,)))
    return step


def test_what_a_training_step_does() -> None:
    """Forward, loss, and each layer's gradient at its update, from the last layer to the first."""
    assert str(_step().plan) == LISTING


def test_every_operation_has_a_line_and_every_name_is_there() -> None:
    """Running statistics, dropout, several optimizers' parameters, without fusion too."""
    model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
    for fuse in (True, False):
        step = gpunn.TrainStep(model, nn.MSELoss(), optim.Adam(model.parameters()), fuse=fuse)
        step(gpunn.rand(4, 8), gpunn.rand(4, 3))
        lines = str(step.plan).splitlines()
        assert len(lines) == len(step.plan.graph.nodes) + 2
        assert [line.split()[0] for line in lines[1:-1]] == [f"%{i}" for i in range(len(lines) - 2)]
        assert any(line.split()[1:4] == ["Assign", "1.running_mean", "="] for line in lines)
        assert "Adam step" in lines[-2] and "0x" not in str(step.plan)


def test_a_step_that_does_nothing() -> None:
    step = gpunn.plan.EvalStep(nn.Identity())
    step(gpunn.rand(3))
    assert str(step.plan) == "a step on float32[3]\nreturns argument 0"


def test_in_one_line() -> None:
    step = _step()
    assert repr(step) == "<TrainStep of Sequential, CrossEntropyLoss, SGD: 1 plans>"
    assert repr(step.plan) == "<plan of 9 operations for float32[4, 8], int64[4] on cpu; print() lists them>"
    assert repr(gpunn.plan.EvalStep(nn.Linear(1, 1))) == "<EvalStep of Linear: 0 plans>"
    function = gpunn.TrainStep(step.model, nn.functional.mse_loss, step.optimizer)
    assert repr(function) == "<TrainStep of Sequential, mse_loss, SGD: 0 plans>"
