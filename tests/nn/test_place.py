"""Errors inside a network name the layer."""

from __future__ import annotations

from typing import Any

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
