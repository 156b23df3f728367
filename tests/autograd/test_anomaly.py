"""Anomaly detection: which forward call a NaN of the backward belongs to."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

import pytest

import gpunn
from gpunn import nn
from gpunn.autograd import (
    Function,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_detect_anomaly,
)


def nan_gradient(library: Any) -> Any:
    """0 times the infinite gradient of a square root at 0."""
    x = library.zeros(2, requires_grad=True)
    return (library.sqrt(x * 2) * 0).sum()  # the line that it is about


@pytest.mark.parametrize("name", ["gpunn", "torch"])
def test_the_forward_call_is_shown(name: str, torch: ModuleType) -> None:
    library = gpunn if name == "gpunn" else torch
    with pytest.warns(UserWarning) as said, library.autograd.detect_anomaly():
        loss = nan_gradient(library)
        with pytest.raises(RuntimeError, match=r"Function 'SqrtBackward0?' returned nan values in its 0th output\."):
            loss.backward()
    lines = [str(w.message).partition(" (Triggered")[0] for w in said]
    assert lines[0].startswith("Anomaly Detection has been enabled.")
    assert "Traceback of forward call that caused the error" in lines[1]
    assert "# the line that it is about" in lines[1].rstrip().splitlines()[-1]
    assert not is_anomaly_enabled()


class Failing(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 1

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return 1 / 0


def test_nothing_is_said_of_infinities_and_without_the_mode() -> None:
    nan_gradient(gpunn).backward()
    with set_detect_anomaly(True):
        x = gpunn.zeros(2, requires_grad=True)
        gpunn.sqrt(x).sum().backward()
        assert x.grad.tolist() == [float("inf")] * 2
    with set_detect_anomaly(True, check_nan=False):
        assert is_anomaly_enabled()
        assert not is_anomaly_check_nan_enabled()
        nan_gradient(gpunn).backward()
    assert (is_anomaly_enabled(), is_anomaly_check_nan_enabled()) == (False, True)


def test_a_graph_of_before_and_an_error_of_another_kind() -> None:
    loss = nan_gradient(gpunn)
    with set_detect_anomaly(True):
        with pytest.warns(UserWarning, match="No Forward Pass information"), pytest.raises(RuntimeError, match="nan"):
            loss.backward()
        y = Failing.apply(gpunn.ones(2, requires_grad=True)).sum()  # where it was called
        said = pytest.warns(UserWarning, match="(?s)Error detected in FailingBackward.*# where it was called\n")
        with said, pytest.raises(ZeroDivisionError):
            y.backward()


def test_as_a_call_it_stays_on() -> None:
    try:
        set_detect_anomaly(True)
        assert is_anomaly_enabled()
    finally:
        set_detect_anomaly(False)
    assert not is_anomaly_enabled()


def test_planned_steps_are_done_op_by_op_meanwhile() -> None:
    class Root(nn.Module):
        def forward(self, x: Any) -> Any:
            return gpunn.sqrt(x - x)

    model = nn.Sequential(nn.Linear(2, 2), Root())
    step = gpunn.TrainStep(model, lambda y, t: (y * 0).sum(), gpunn.optim.SGD(model.parameters(), 0.1))
    batch = gpunn.ones(3, 2), gpunn.ones(3)
    with set_detect_anomaly(True), pytest.warns(UserWarning) as said, pytest.raises(RuntimeError, match="SqrtBackward"):
        step(*batch)
    assert "anomaly detection is on, so steps are done op by op" in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(*batch)
    assert step.plans_made
