"""`gpunn gradcheck` finds planted errors at the planted element, and none where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.cli import main
from gpunn.inspect.gradcheck import check_model, gradcheck


class Planted(gpunn.autograd.Function):
    """y = x^2 whose gradient is wrong at one element of the whole."""

    at: tuple[int, ...] = ()
    by = 0.0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        wrong = np.zeros(x.shape)
        wrong[Planted.at] = Planted.by
        return dy * 2 * x + gpunn.tensor(wrong)


class Net(nn.Module):
    """A large weight and a small one, both through `Planted`."""

    def __init__(self, planted: str) -> None:
        super().__init__()
        self.large = nn.Parameter(gpunn.randn(30, 40))
        self.small = nn.Parameter(gpunn.randn(4, 3))
        self.norm = nn.BatchNorm1d(40)
        self.drop = nn.Dropout(0.5)
        self.planted = planted

    def forward(self, x: Any) -> Any:
        large = Planted.apply(self.large) if self.planted == "large" else self.large.square()
        small = Planted.apply(self.small) if self.planted == "small" else self.small.square()
        return self.drop(self.norm(x @ large)).mean() + (x[:, :4] @ small).tanh().sum()


@pytest.mark.parametrize("name, at", [("large", (17, 23)), ("large", (0, 0)), ("small", (2, 1))])
@pytest.mark.parametrize("by", [1e-3, 5.0])
def test_a_planted_error_is_found_where_it_is(name: str, at: tuple[int, int], by: float) -> None:
    Planted.at, Planted.by = at, by
    net = Net(name).double()
    value = getattr(net, name).detach().numpy().copy()
    found = check_model(net, [gpunn.randn(5, 30)], lambda y: y)
    assert not found.ok and [c.name for c in found.checks if not c.ok] == [name]
    worst = found.worst
    assert (worst.name, worst.index) == (name, at)
    np.testing.assert_allclose(worst.analytic - worst.numeric, by, rtol=1e-4)
    assert str(worst).startswith(f"the gradient of {name} ")
    np.testing.assert_array_equal(getattr(net, name).detach().numpy(), value)


def test_nothing_is_found_where_there_is_nothing() -> None:
    """Dropout draws the same mask at each call, and neither buffers nor random numbers are others afterwards."""
    net = Net("none").double()
    mean, x = net.norm.running_mean.numpy().copy(), gpunn.randn(5, 30)
    state = gpunn.get_rng_state()
    found = check_model(net, [x], lambda y: y)
    assert found.ok and {c.name for c in found.checks} == {"large", "small", "norm.weight", "norm.bias", "input"}
    np.testing.assert_array_equal(net.norm.running_mean.numpy(), mean)
    assert gpunn.get_rng_state() == state
    assert [c.elements for c in found.checks] == [0, 12, 40, 40, 150]
    large = gpunn.ones(201, dtype=gpunn.float64, requires_grad=True)
    for every, moved in ((False, 0), (True, 201)):
        assert gradcheck(lambda: large.sum(), {"large": large}, every_element=every).checks[0].elements == moved


def test_values_by_hand() -> None:
    x = gpunn.tensor([1.0, -2.0, 3.0], dtype=gpunn.float64, requires_grad=True)
    unused = gpunn.ones(2, dtype=gpunn.float64, requires_grad=True)
    found = gradcheck(lambda: (x**3).sum(), {"x": x, "unused": unused})
    check = found.checks[0]
    assert check.index is not None and check.ok
    np.testing.assert_allclose([check.analytic, check.numeric], [3 * x[check.index].item() ** 2] * 2, rtol=1e-8)
    assert found.checks[1].ok and found.checks[1].analytic == 0


def test_a_gradient_that_is_not_there_or_no_number() -> None:
    x = gpunn.ones(2, dtype=gpunn.float64, requires_grad=True)
    assert not gradcheck(lambda: (x.detach() * 2 + 0 * x).sum(), {"x": x}).ok
    assert not gradcheck(lambda: (x * float("nan")).sum(), {"x": x}).ok
    with pytest.raises(ValueError, match=r"the function gave float64\[2\], expected one number"):
        gradcheck(lambda: x * 2, {"x": x})
    with pytest.raises(ValueError, match=r"w is float32\[2\]; differences need float64"):
        gradcheck(lambda: x.sum(), {"w": gpunn.ones(2)})


def test_a_kink_is_no_error() -> None:
    """|x| so near to 0 that the ends of the first difference lie on both sides of it."""
    x = gpunn.tensor([5e-7, 1.0], dtype=gpunn.float64, requires_grad=True)
    assert gradcheck(lambda: x.abs().sum(), {"x": x}).ok


FILE = """
import gpunn
from gpunn import nn

class Wrong(gpunn.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, dz):
        x, y = ctx.saved_tensors
        dx = (dz * y).numpy()
        dx[1, 2] += 0.25
        return gpunn.tensor(dx), dz * x

def loss(output, target):
    return ((output - target) ** 4).mean()

def make(shape, outputs):
    return nn.Sequential(nn.Linear(shape[0], outputs), nn.Tanh())

class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(gpunn.ones(3))
    def forward(self, x):
        return x * self.w, x.argmax()
"""


@pytest.mark.parametrize(
    "call, code, says",
    [
        (["--op", "FILE:Wrong", "--input", "2,3", "--input", "2,3"], 1, "the gradient of input 0 [2, 3] at [1, 2] is"),
        (["--op", "FILE:Scale", "--input", "2,3"], 0, ""),
        (["--op", "softmax", "--input", "3,4", "--input", "3,4"], 1, "the truth of bool[3, 4] is not one value"),
        (["--op", "tanh"], 2, "--op: say the shape of each input, such as --input 3,4 --input 4,5"),
        (["--op", "argmax", "--input", "3"], 2, "no result is a tensor of floats, so there is no gradient"),
        (["--op", "tahn", "--input", "3"], 2, "gpunn has no function 'tahn'; did you mean tan?"),
        (["--op", "FILE:nothing", "--input", "3"], 2, "has no function 'nothing'"),
        (["--model", "FILE:make", "--input", "6", "--loss", "FILE:loss"], 0, ""),
        (["--model", "mlp:4", "--input", "6", "--loss", "mes"], 2, "--loss: there is no 'mes'; did you mean mse?"),
        (["--model", "mlp:4", "--input", "6", "--input", "2"], 2, "a model has one input; several are for --op"),
        (["--model", "mlp:4", "--input", "6", "--device", "sim"], 0, ""),
    ],
)
def test_the_command(call: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "my 'file'.py"
    file.write_text(FILE)
    assert main(["gradcheck", *(word.replace("FILE", str(file)) for word in call)]) == code
    shown = capsys.readouterr()
    assert says in shown.err
    assert ("all gradients are right" in shown.out) == (code == 0)


def test_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gradcheck", "--model", "mlp:4", "--input", "6", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and [c["name"] for c in found["checks"]] == ["1.weight", "1.bias", "3.weight", "3.bias", "input"]


def test_modules_of_inspect_are_there_when_they_are_asked_for() -> None:
    for name in ("compare", "doctor", "gradcheck", "memory", "profile"):
        assert getattr(gpunn.inspect, name).__name__ == f"gpunn.inspect.{name}"
    with pytest.raises(AttributeError, match=r"module 'gpunn\.inspect' has no attribute 'nothing'"):
        _ = gpunn.inspect.nothing
