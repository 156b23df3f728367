"""The rule about a linear layer and what is added to its result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, ops, optim
from gpunn.autograd.tape import apply
from gpunn.ops.linear_sum import LinearSum
from gpunn.plan.fuse import apply_rules
from gpunn.plan.train_step import TrainStep

from .test_graph import graph_of, names
from .test_rules import gradients, only

RULE = "linear_and_sum"
OTHER = "what is added has another shape or type, or is a number or the same"


def notes_of(loss: Any, device: str = "sim", dtype: str = "float32") -> Any:
    w, b = (gpunn.ones(*s, device=device, dtype=dtype, requires_grad=True) for s in ((5, 5), (5,)))
    graph = graph_of(lambda x: gradients(loss(x, w, b), w, b), gpunn.ones(4, 5, device=device, dtype=dtype))
    return graph, [n.reason for n in apply_rules(graph, ["affine_activation", RULE]) if n.rule == RULE]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("first", [True, False])
def test_a_sum_behind_a_linear_layer(first: bool, dtype: str) -> None:
    def loss(x: gpunn.Tensor, w: gpunn.Tensor, b: gpunn.Tensor) -> gpunn.Tensor:
        y = ops.linear(x.tanh(), w, b)
        return (x + y if first else y + x).square().sum()

    graph, notes = notes_of(loss, dtype=dtype)
    assert notes == [""]
    (added,) = only(graph, "LinearSum").inputs[3:]
    assert added.place == 0
    assert not {"Add", "LinearActivation"} & set(names(graph))


def test_of_two_layers_one_is_added_to() -> None:
    graph, notes = notes_of(lambda x, w, b: (ops.linear(x, w, b) + ops.linear(x.tanh(), w, b)).square().sum())
    assert notes == [""]
    assert names(graph).count("LinearSum") == names(graph).count("LinearActivation") == 1


@pytest.mark.parametrize(
    ("loss", "options", "reason"),
    [
        (lambda x, w, b: (ops.linear(x, w, b) + b).sum(), {}, OTHER),
        (lambda x, w, b: (ops.linear(x, w, b) + 1.0).sum(), {}, OTHER),
        (lambda x, w, b: ((y := ops.linear(x, w, b)) + y).sum(), {}, OTHER),
        (lambda x, w, b: ((y := ops.linear(x, w, b)) + x).sum() + y.tanh().sum(), {}, "Tanh needs what is added"),
        (
            lambda x, w, b: (ops.linear(x, w, b) + x).sum(),
            {"device": "cpu"},
            "on the CPU a product of BLAS is written before something is added",
        ),
        (
            lambda x, w, b: (ops.linear(x, w, b) + x).sum(),
            {"dtype": "float16"},
            "products of halves are written before something is added",
        ),
    ],
)
def test_what_is_not_added_on_the_way(loss: Any, options: dict[str, Any], reason: str) -> None:
    graph, notes = notes_of(loss, **options)
    assert notes == [reason]
    assert "LinearSum" not in names(graph)


def test_an_activation_is_between() -> None:
    graph, notes = notes_of(lambda x, w, b: (ops.linear(x, w, b).relu() + x).sum())
    assert notes == []
    assert "LinearSum" not in names(graph)


class Block(nn.Module):
    """What a block of a transformer has behind its attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.wide, self.narrow = nn.Linear(6, 24), nn.Linear(24, 6)
        self.out = nn.Linear(6, 3)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        x = x + self.narrow(nn.functional.gelu(self.wide(self.norm(x))))
        return self.out(x.mean(1))


def test_training_is_that_without_the_rule_to_the_bit_and_agrees_with_the_cpu() -> None:
    def train(device: str, fuse: Any) -> list[np.ndarray]:
        gpunn.manual_seed(0)
        model = Block().double().to(device)
        step = TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1, momentum=0.9), fuse=fuse)
        rng = np.random.default_rng(1)
        x = gpunn.tensor(rng.standard_normal((4, 5, 6)), device=device)
        y = gpunn.tensor(rng.integers(0, 3, 4), device=device)
        losses = [np.array(step(x, y).item()) for _ in range(3)]
        assert ("LinearSum" in str(step.plan)) is (fuse is True or RULE in (fuse or ()))
        return losses + [p.detach().cpu().numpy() for p in model.parameters()]

    for a, b in zip(train("sim", [RULE]), train("sim", False), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(train("sim", True), train("cpu", False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("changed", ["weight", "bias", "image", "other"])
def test_what_is_read_may_change_before_something_is_added(changed: str) -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(5, 2)
            rng = np.random.default_rng(0)
            for name, shape in (("weight", (5, 5)), ("bias", (5,)), ("image", (4, 5)), ("other", (4, 5))):
                self.register_buffer(name, gpunn.tensor(rng.standard_normal(shape)))

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            y = ops.linear(self.image, self.weight, self.bias)
            self._change()
            y = y + self.other
            self._change()
            return self.last(y)

        def _change(self) -> None:
            with gpunn.no_grad():
                getattr(self, changed).mul_(0.5)

    def train(device: str, fuse: bool) -> list[float]:
        gpunn.manual_seed(0)
        model = Changing().double().to(device)
        step = TrainStep(model, lambda z, y: (z - y).square().mean(), optim.SGD(model.parameters(), 0.01), fuse=fuse)
        x, y = gpunn.ones(1, device=device, dtype="float64"), gpunn.tensor(0.0, device=device, dtype="float64")
        return [step(x, y).item() for _ in range(3)]

    np.testing.assert_allclose(train("sim", True), train("cpu", False), rtol=1e-10)


def test_what_is_added_has_the_shape_of_the_result() -> None:
    x, w = gpunn.ones(4, 3, device="sim"), gpunn.ones(5, 3, device="sim")
    with pytest.raises(RuntimeError, match=r"what is added must be float32\[4, 5\] on sim, got float32\[5\] on sim"):
        apply(LinearSum(), x, w, None, gpunn.ones(5, device="sim"))
