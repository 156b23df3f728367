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
    first, second, third = text.split("\n")
    assert "must be 5, not 4" in first
    assert second == "  in Sequential.2.1 (Linear(in_features=5, out_features=2, bias=True)), given float32[3, 4]"
    assert third == "  it would fit with in_features=4 in Sequential.2.1"


def test_a_layer_by_itself() -> None:
    text = message(lambda: nn.Linear(8, 4)(gpunn.ones(3, 7)))
    given = "in Linear(in_features=8, out_features=4, bias=True), given float32[3, 7]"
    assert text.endswith(f"\n  {given}\n  it would fit with in_features=7")


class Pictures(nn.Module):
    """28 x 28 becomes 7 x 7 with padding in both convolutions, 6 x 6 where the second one has none."""

    def __init__(self, padding: int, features: int = 7 * 7 * 8) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Dropout()),
            *(nn.Conv2d(4, 8, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        )
        self.head = nn.Linear(features, 10)

    def forward(self, x: Any) -> Any:
        print("called")
        return self.head(self.body(x))


@pytest.mark.parametrize("way", ["eager", "traced"])
def test_the_padding_that_is_missing(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    net = Pictures(padding=0)
    call: Any = nn.Sequential(nn.Identity(), net)
    if way == "traced":
        call = gpunn.TrainStep(call, nn.CrossEntropyLoss(), gpunn.optim.SGD(net.parameters()))
    hooked: list[Any] = []
    if way == "eager":  # a traced step has none
        net.body[0].register_forward_hook(lambda module, args, output: hooked.append(output.shape))
    state, before = gpunn.get_rng_state(), {k: t.numpy().copy() for k, t in net.state_dict().items()}
    batch = (gpunn.ones(2, 1, 28, 28), gpunn.zeros(2, dtype=gpunn.int64))
    text = message(lambda: call(*batch[: 1 + (way == "traced")]))
    assert text.endswith(
        "\n  in Sequential.1.head (Linear(in_features=392, out_features=10, bias=True)), given float32[2, 288]"
        "\n  it would fit with padding=1 in Sequential.1.body.4, where it is 0; or with in_features=288 in "
        "Sequential.1.head"
    )
    # And looking for it left no trace: one call of the forward printed, nothing was changed.
    assert capsys.readouterr().out == "called\n"
    assert net.body[4].padding == (0, 0) and hooked == [(2, 4, 28, 28)] * (way == "eager")
    drawn = {name: n - state["calls"].get(name, 0) for name, n in gpunn.get_rng_state()["calls"].items()}
    assert sum(drawn.values()) == (1 if way == "eager" else 0)  # the mask of dropout in the call that failed
    moved = {k for k, t in net.state_dict().items() if not np.array_equal(t.numpy(), before[k])}
    assert not moved if way == "traced" else all(k.startswith("body.1.") for k in moved)


@pytest.mark.parametrize(
    "layers, shape, fits",
    [
        ([nn.Conv2d(3, 4, 3), nn.Linear(144, 2)], (2, 3, 8, 8), "nn.Flatten() before it"),
        ([nn.Conv2d(3, 4, 3), nn.Linear(9, 2)], (2, 3, 8, 8), "nn.Flatten() before it and in_features=144"),
        ([nn.Conv2d(3, 4, 3, stride=2), nn.Flatten(), nn.Linear(144, 2)], (2, 3, 8, 8), "stride=1 in Sequential.0"),
        ([nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9, 2)], (2, 1, 5, 5), "ceil_mode=True in Sequential.0"),
        ([nn.Conv2d(3, 4, 3)], (2, 8, 8, 3), "x.permute(0, 3, 1, 2) before it"),
        ([nn.Conv2d(1, 4, 3)], (2, 8, 8), "x.unsqueeze(1) before it"),
        ([nn.Conv1d(6, 4, 3)], (2, 5, 8), "in_channels=5 in Sequential.0"),
        ([nn.BatchNorm1d(6)], (2, 5), "num_features=5 in Sequential.0"),
        ([nn.GroupNorm(2, 6)], (2, 4, 3), "num_channels=4 in Sequential.0"),
        ([nn.LayerNorm(6)], (2, 5), "normalized_shape=[5] in Sequential.0"),
    ],
)
def test_what_would_fit(layers: list[nn.Module], shape: tuple[int, ...], fits: str) -> None:
    text = message(lambda: nn.Sequential(*layers)(gpunn.zeros(shape)))
    assert text.split("\n")[2].startswith(f"  it would fit with {fits}")


def test_branches_that_do_not_meet() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 5)

        def forward(self, x: Any) -> Any:
            return x + self.conv(x)

    text = message(lambda: Branches()(gpunn.zeros(1, 2, 8, 8)))
    assert text.endswith(
        "in Branches, given float32[1, 2, 8, 8]\n  it would fit with padding=2 in Branches.conv, where it is 0"
    )


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
    recurrent = nn.Sequential(nn.LSTM(4, 3), nn.Linear(3, 2))
    assert "Linear takes a tensor, got a tuple with 2 entries; pick one, as y[0]\n" in message(
        lambda: recurrent(gpunn.zeros(5, 2, 4)), TypeError
    )
    assert "MSELoss takes a tensor, got a dict with 1 entries; pick one, as y[name]" in message(
        lambda: nn.MSELoss()({"logits": gpunn.zeros(2)}, gpunn.zeros(2)), TypeError
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
