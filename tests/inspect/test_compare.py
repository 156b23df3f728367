"""`gpunn compare` finds a planted difference in the planted layer, and none where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.cli import main
from gpunn.inspect import compare as c
from tests.plan.networks import NETWORKS


class WrongBackward(gpunn.autograd.Function):
    """y = x, with a gradient that is 1 % too large."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 1.0

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy * 1.01


class Planted(nn.Module):
    def forward(self, x: Any) -> Any:
        return WrongBackward.apply(x)


def network(between: nn.Module) -> nn.Module:
    gpunn.manual_seed(1)
    layers = [nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), between, nn.Tanh(), nn.Linear(8, 3)]
    return nn.Sequential(*layers)


def batch() -> list[Any]:
    gpunn.manual_seed(2)
    return [gpunn.randn(5, 6), gpunn.randint(3, (5,))]


def test_a_planted_difference_in_the_forward() -> None:
    pair = [c.eager(network(m), batch(), nn.CrossEntropyLoss()) for m in (nn.Identity(), nn.Softplus())]
    found = c.compare(*pair, ("a", "b"))
    assert found.first is not None and found.first.name == "3" and found.first in found.forward
    assert [d.name for d in found.forward if not d.relative] == ["0", "1", "2"]
    assert found.verdict().startswith("a and b part in the forward, first in the output of 3 [5, 8] at ")


def test_a_planted_difference_in_the_backward() -> None:
    """The forward has the same bits; on the way back the first thing that is off is what goes into the wrong layer."""
    pair = [c.eager(network(m), batch(), nn.CrossEntropyLoss()) for m in (nn.Identity(), Planted())]
    found = c.compare(*pair, ("a", "b"))
    assert not any(d.relative for d in found.forward)
    assert found.first is not None and found.first.name == "output of 2" and found.first in found.backward
    np.testing.assert_allclose(found.first.relative, 0.01, rtol=1e-5)
    order = [d.name for d in found.backward]
    assert order[:4] == ["output of 5", "5.weight", "5.bias", "output of 4"] and order[-1] == "0.bias"
    assert "part in the backward, first in the gradient of output of 2" in found.verdict()


def test_ulps_and_relative_errors_by_hand() -> None:
    a = np.array([1.0, -2.0, 0.0], np.float32)
    one_more = np.array([np.nextafter(np.float32(1), np.float32(2)), -2.0, 0.0], np.float32)
    d = c._difference("x", a, one_more)
    assert (d.ulps, d.index, d.relative) == (1, (0,), 2.0**-23 / 2)
    # From the smallest number below 0 to the smallest above it there are two steps, through 0.
    tiny = np.array([np.float32(1e-45)])
    assert c._ulps(-tiny, tiny) == 2 and c._ulps(np.zeros(1, np.float32), -np.zeros(1, np.float32)) == 0
    assert c._ulps(np.array([1.0]), np.array([1 + 2.0**-52])) == 1
    nan = np.array([np.nan, 1.0], np.float32)
    assert c._difference("x", nan, nan).relative == 0 and c._difference("x", nan, nan).ulps == 0
    assert c._difference("x", nan, np.ones(2, np.float32)).relative == np.inf
    assert c._difference("x", nan, np.ones(3, np.float32)).relative == np.inf


def test_rounding_of_a_gradient_that_is_zero() -> None:
    """The gradient of a bias in front of batch norm: measured against the weight's it is nothing."""
    gradients = {"0.weight": np.ones(4, np.float32), "0.bias": np.full(4, 1e-8, np.float32)}
    other = {"0.weight": np.ones(4, np.float32), "0.bias": np.full(4, -3e-8, np.float32)}
    found = c.compare(c.Recorded({}, gradients), c.Recorded({}, other), ("a", "b"))
    assert found.first is None and not found.equal


@pytest.mark.parametrize("name", ["lenet", "residual", "shared", "gated"])
def test_op_by_op_and_planned(name: str) -> None:
    """Without fusion all layers are there with the same bits; with it those that are left agree."""
    build, shape, loss = NETWORKS[name]

    def loss_fn(*results: Any) -> Any:
        found = loss(*results)
        return found[0] if isinstance(found, tuple) else found

    gpunn.manual_seed(3)
    model = build()
    x, y = gpunn.randn(4, *shape), gpunn.randint(10, (4,))
    first = c.eager(c.on(model, "cpu"), [x, y], loss_fn)
    for fuse in (False, True):
        found = c.compare(
            first, c.planned(c.on(model, "cpu"), [x, y], loss_fn, first, fuse=fuse), ("op by op", "planned")
        )
        assert found.equal if not fuse else found.first is None
        assert len(found.forward) >= (1 if fuse else len(first.outputs) - 2)
        assert {d.name for d in found.backward} == {n for n, _ in model.named_parameters()}
        assert found.losses[0] == pytest.approx(found.losses[1], rel=1e-6)


def test_the_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--model", "mlp:5", "--input", "4", "--devices", "cpu,sim", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["names"] == ["cpu", "sim"] and found["first"] is None
    assert [d["name"] for d in found["forward"]] == ["0", "1", "2", "3"]
    assert max(d["relative"] for d in (*found["forward"], *found["backward"])) < 1e-6


TORCH = """
from torch import nn
def make(shape, outputs, layer=nn.Tanh, hidden=7):
    out = nn.Linear(hidden, outputs)
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], hidden), layer(), nn.Dropout(0.5), out)
def other(shape, outputs):
    return make(shape, outputs, nn.ReLU)
def smaller(shape, outputs):
    return make(shape, outputs, hidden=6)
class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 7), nn.Linear(7, 3)
    def forward(self, x):
        return self.out(self.hidden(x).tanh())
def named(shape, outputs):
    return Named()
def nothing(shape, outputs):
    return 3
"""
OURS = """
from gpunn import nn
def make(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, outputs))
"""


@pytest.mark.parametrize(
    "function, code, says",
    [
        ("make", 0, "gpunn and PyTorch: the same"),
        ("named", 0, "gpunn and PyTorch: the same"),
        ("other", 1, "gpunn and PyTorch part in the forward, first in the output of 2 [8, 7] at "),
        ("smaller", 2, "the weights do not fit: gpunn's model has 1.weight [7, 4]"),
        ("nothing", 2, "returned int, expected a torch.nn.Module"),
        ("nosuch", 2, "has no function 'nosuch'"),
    ],
)
def test_pytorch(
    torch: ModuleType, function: str, code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs.py").write_text(TORCH)
    (tmp_path / "ours.py").write_text(OURS)
    call = ["compare", "--model", f"{tmp_path}/ours.py:make", "--input", "4", "--classes", "3"]
    assert main([*call, "--torch", f"{tmp_path}/theirs.py:{function}"]) == code
    shown = capsys.readouterr()
    assert says in (shown.err if code else shown.out)


@pytest.mark.parametrize(
    "call, says",
    [
        (["--devices", "cpu"], "--devices names two, such as cpu,sim, got 'cpu'"),
        (["--devices", "cpu,simm"], "--device simm"),
        (["--torch", "net"], "--torch is FILE.py:FUNCTION, got 'net'"),
        (["--input", "x"], "--input is a shape"),
    ],
)
def test_wrong_calls(call: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *call]) == 2
    assert says in capsys.readouterr().err


def test_the_plan_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--model", "cnn", "--no-fusion"]) == 0
    assert "the same bits in 9 outputs and 8 gradients" in capsys.readouterr().out
    assert main(["compare", "--model", "mlp:3", "--loss", "mse"]) == 0
    assert "op by op and planned: the same" in capsys.readouterr().out


def test_a_nan_in_the_gradient_is_the_same_in_both() -> None:
    """By hand: W - 0 dW with dW = NaN is NaN, which the step that makes the plan must not leave behind."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with gpunn.no_grad():
        model[0].weight[0, 0] = float("nan")
    batch, before = [gpunn.ones(3, 2), gpunn.tensor([0, 1, 0])], model[0].weight.detach().numpy().copy()
    first = c.eager(model, batch, nn.CrossEntropyLoss())
    assert c.compare(first, c.planned(model, batch, nn.CrossEntropyLoss(), first), ("a", "b"), 1e-4).first is None
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), before)
