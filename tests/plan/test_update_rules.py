"""The rules that say where a gradient is made: right in an update, and in front of a pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn, ops, optim
from gpunn.nn import functional as F
from gpunn.plan.fuse import apply_rules
from gpunn.plan.graph import Graph
from gpunn.plan.rules.note import Note

from .networks import OPTIMIZERS
from .test_graph import graph_of, names
from .test_rules import gradients, only


def updated(optimizer: str, layers: int, fuse: Any = True) -> list[Any]:
    """What three steps change, and what the plan says of the fusion."""
    gpunn.manual_seed(0)
    model = nn.Sequential(*(m for _ in range(layers) for m in (nn.Linear(6, 6), nn.Tanh())), nn.Linear(6, 3)).double()
    step = TrainStep(model, nn.CrossEntropyLoss(), OPTIMIZERS[optimizer](model.parameters()), fuse=fuse)
    x, y = gpunn.rand(5, 6, dtype=gpunn.float64), gpunn.tensor([0, 1, 2, 0, 1])
    losses = [step(x, y).item() for _ in range(3)]
    return [step.plan.explain_fusion(), losses, *(p.detach().numpy().copy() for p in model.parameters())]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_update_by_products(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpunn.plan.rules.product_update.LARGE_BYTES", 0)
    said, *with_it = updated(optimizer, 2, ["product_update"])
    assert said.count("LinearBackward float64[6, 6] + ") == 1
    assert "not fused" not in said
    for a, b in zip(with_it, updated(optimizer, 2, [])[1:]):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14)


def test_small_gradients_of_other_optimizers_stay() -> None:
    said = updated("adam", 1)[0]
    assert "one walk over all parameters takes less time" in said


def test_a_weight_that_is_read_again_is_not_updated_early() -> None:
    layer = nn.Linear(3, 3)
    step = TrainStep(
        layer, lambda output, y: ((output - y).square().mean(), layer.weight * 2), optim.SGD(layer.parameters(), 0.1)
    )
    before = layer.weight.detach().numpy().copy()
    _, doubled = step(gpunn.ones(4, 3), gpunn.zeros(4, 3))
    np.testing.assert_array_equal(doubled.numpy(), 2 * before)


def pooled(loss: Any = lambda z: F.max_pool2d(z.relu(), 2).square().sum()) -> tuple[Graph, list[Note]]:
    w = gpunn.ones(2, 1, 3, 3, requires_grad=True)
    graph = graph_of(lambda x: gradients(loss(F.conv2d(x, w)), w), gpunn.ones(1, 1, 6, 6))
    return graph, apply_rules(graph, ["pooled_slope"])


def test_the_derivative_is_taken_of_what_was_pooled() -> None:
    graph, notes = pooled()
    backward = only(graph, "ActivationBackward")
    assert backward.outputs[0].spec.shape == (1, 2, 2, 2)
    assert backward.inputs[1] is only(graph, "MaxPool2d").outputs[0]
    assert only(graph, "MaxPool2dBackward").inputs[0] is backward.outputs[0]
    assert [n.reason for n in notes] == [""]


@pytest.mark.parametrize(("window", "name"), [(2, "MaxPool2dActivationBackward"), (3, "MaxPool2dBackward")])
def test_kernels_take_it_on_the_way_where_windows_lie_side_by_side(window: int, name: str) -> None:
    w = gpunn.ones(2, 1, 3, 3, device="sim", requires_grad=True)
    x = gpunn.ones(1, 1, 8, 8, device="sim")
    graph = graph_of(lambda x: gradients(F.max_pool2d(F.conv2d(x, w).relu(), window).square().sum(), w), x)
    notes = apply_rules(graph, ["pooled_slope"])
    assert ("ActivationBackward" in names(graph)) == (window == 3)
    assert only(graph, name).inputs[1 if window == 2 else 0].spec.shape == (1, 2, 6 // window, 6 // window)
    assert [n.reason for n in notes] == [""]


def test_a_gradient_of_the_pooling_that_is_asked_for() -> None:
    w = gpunn.ones(2, 1, 3, 3, requires_grad=True)

    def body(x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
        y = F.conv2d(x, w).relu()
        return gpunn.autograd.grad(F.max_pool2d(y, 2).square().sum(), (y, w))

    (note,) = apply_rules(graph_of(body, gpunn.ones(1, 1, 6, 6)), ["pooled_slope"])
    assert note.reason == "the result of the step needs the gradient of the pooling"


def test_a_derivative_of_something_else() -> None:
    _, notes = pooled(lambda z: F.max_pool2d(F.gelu(z), 2).sum())
    assert [n.reason for n in notes] == ["what was pooled is not what the derivative is taken from"]


def test_a_result_that_is_not_only_pooled() -> None:
    def loss(z: gpunn.Tensor) -> gpunn.Tensor:
        y = z.relu()
        return F.max_pool2d(y, 2).sum() + y.sum()

    graph, notes = pooled(loss)
    assert notes == []
    assert only(graph, "ActivationBackward").outputs[0].spec.shape == (1, 2, 4, 4)


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("window", [(2, 2), (3, 1)])
def test_pooled_derivatives_are_the_same(kind: str, window: tuple[int, int]) -> None:
    def train(fuse: Any) -> list[np.ndarray]:
        gpunn.manual_seed(0)
        conv = nn.Conv2d(1, 3, 3).double()
        optimizer = optim.SGD(conv.parameters(), 0.1, momentum=0.9)

        def loss_fn(z: gpunn.Tensor, y: gpunn.Tensor) -> gpunn.Tensor:
            return (F.max_pool2d(ops.activate(z, kind), *window).mean((2, 3)) - y).square().mean()

        step = TrainStep(conv, loss_fn, optimizer, fuse=fuse)
        x, y = gpunn.randn(4, 1, 9, 9, dtype=gpunn.float64), gpunn.randn(4, 3, dtype=gpunn.float64)
        return [np.array(step(x, y).item()) for _ in range(3)] + [p.detach().numpy() for p in conv.parameters()]

    for a, b in zip(train(["pooled_slope"]), train(False)):
        np.testing.assert_allclose(a, b, rtol=1e-12)
