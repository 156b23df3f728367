"""Errors inside a network name the layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn


def message(action: Any, error: type[Exception] = RuntimeError) -> str:
    with pytest.raises(error) as caught:
        action()
    assert type(caught.value) is error
    return str(caught.value)


def test_a_nested_layer() -> None:
    net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Sequential(nn.ReLU(), nn.Linear(5, 2)))
    text = message(lambda: net(gpunn.ones(3, 8)))
    assert text.count("\n") == 1
    first, second = text.split("\n")
    assert "must be 5, not 4" in first
    assert second == "  in Sequential.2.1 (Linear(in_features=5, out_features=2, bias=True)), given float32[3, 4]"


def test_a_layer_by_itself() -> None:
    text = message(lambda: nn.Linear(8, 4)(gpunn.ones(3, 7)))
    assert text.endswith("\n  in Linear(in_features=8, out_features=4, bias=True), given float32[3, 7]")


def test_a_network_whose_own_code_fails() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Any, mask: Any) -> Any:
            raise ValueError("not today")

    text = message(lambda: nn.Sequential(nn.Identity(), nn.ModuleList([Net()])[0])(gpunn.ones(1)), TypeError)
    assert "missing 1 required positional argument: 'mask'" in text
    assert text.endswith("\n  in Sequential.1 (Net), given float32[1]")
    assert message(lambda: Net()(gpunn.ones(1), None), ValueError) == "not today\n  in Net, given float32[1], NoneType"


def test_modules_that_are_reached_by_a_list_or_not_registered() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(3, 2)])

        def forward(self, x: Any, layer: Any = None) -> Any:
            for inner in self.layers if layer is None else [layer]:
                x = inner(x)
            return x

    assert "in Net.layers.1 (Linear(in_features=3" in message(lambda: Net()(gpunn.ones(1, 2)))
    assert "in Net.? (Linear(in_features=9" in message(lambda: Net()(gpunn.ones(1, 2), nn.Linear(9, 9)))


def test_other_errors_stay_as_they_are() -> None:
    class Special(RuntimeError):
        pass

    class Net(nn.Module):
        def forward(self, error: Exception) -> Any:
            raise error

    assert message(lambda: Net()(Special("as it is")), Special) == "as it is"
    assert message(lambda: Net()(KeyError("key")), KeyError) == "'key'"
    assert message(lambda: Net()(RuntimeError("two", 2)), RuntimeError) == "('two', 2)"


ARRAY = np.zeros((2, 4))


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(4, 3), nn.ReLU(), nn.BatchNorm1d(4), nn.LayerNorm(4), nn.Softmax(1), nn.Dropout(), nn.Embedding(3, 2)],
    ids=lambda layer: type(layer).__name__,
)
def test_an_array_in_the_place_of_a_tensor(layer: nn.Module) -> None:
    text = message(lambda: layer(ARRAY), TypeError)
    name = type(layer).__name__
    assert text.startswith(f"{name} takes tensors, got ndarray float64[2, 4]; make one with gpunn.tensor(x).float()\n")
    assert "in Sequential.0 (" in message(lambda: nn.Sequential(layer)(ARRAY), TypeError)


def test_other_things_in_the_place_of_a_tensor() -> None:
    layer = nn.Linear(4, 3)
    assert "got ndarray float32[2, 4]; make one with gpunn.tensor(x)\n" in message(
        lambda: layer(ARRAY.astype("float32")), TypeError
    )
    assert "got list; make one with gpunn.tensor(x)\n" in message(lambda: layer([[1.0, 2.0, 3.0, 4.0]]), TypeError)
    assert "CrossEntropyLoss takes tensors, got ndarray int64[2]" in message(
        lambda: nn.CrossEntropyLoss()(gpunn.zeros(2, 4), np.array([1, 2])), TypeError
    )


def test_an_error_of_the_user_s_own_stays_what_it_is() -> None:
    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing"):
        Net()(ARRAY)
    with pytest.raises(AttributeError, match="no_such_thing"):
        nn.Sequential(Net())(gpunn.ones(1))


@pytest.mark.parametrize(
    "layer, x, hint",
    [
        (nn.Linear(4, 3), gpunn.zeros(2, 4).double(), "convert the input with .float()"),
        (nn.Linear(4, 3), gpunn.zeros(2, 4).long(), "convert the input with .float()"),
        (nn.Linear(4, 3).double(), gpunn.zeros(2, 4), "convert the input with .double()"),
        (nn.Linear(4, 3).half(), gpunn.zeros(2, 4), "convert the input with .half()"),
        (nn.Linear(4, 3).bfloat16(), gpunn.zeros(2, 4), "convert the input with .to(gpunn.bfloat16)"),
        (nn.Conv2d(1, 2, 3), gpunn.zeros(1, 1, 5, 5).double(), "convert the input with .float()"),
        (nn.Conv1d(1, 2, 3), gpunn.zeros(1, 1, 5).long(), "convert with .float()"),
        (nn.BatchNorm1d(4), gpunn.zeros(2, 4).double(), "convert the input with .float()"),
        (nn.LayerNorm(4), gpunn.zeros(2, 4).long(), "convert with .float()"),
        (nn.GroupNorm(2, 4), gpunn.zeros(2, 4).double(), "convert the input with .float()"),
    ],
)
def test_a_wrong_type_says_how_to_convert_it(layer: nn.Module, x: gpunn.Tensor, hint: str) -> None:
    """And following the hint works."""
    assert f"{hint}\n" in message(lambda: layer(x))
    converted = {".float()": x.float, ".double()": x.double, ".half()": x.half}.get(hint.split()[-1], x.bfloat16)()
    assert layer(converted).shape == layer.to(x.double().dtype)(x.double()).shape


def test_a_linear_layer_is_called_one() -> None:
    assert message(lambda: nn.Linear(4, 3)(gpunn.ones(2, 5))).startswith("Linear: the input float32[2, 5]")
    fused = nn.LinearActivation(4, 3, activation="relu")
    assert message(lambda: fused(gpunn.ones(2, 5))).startswith("LinearActivation: the input float32[2, 5]")
