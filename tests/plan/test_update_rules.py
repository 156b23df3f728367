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


class ReadTwice(nn.Module):
    """Layers in a row, the third of which has the weight of the second in some way."""

    def __init__(self, how: str, device: str) -> None:
        super().__init__()
        gpunn.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(6)).to(device)
        self.how = how
        weight = self.layers[2].weight
        if how == "a parameter of the same memory":
            self.layers[1].weight = nn.Parameter(weight.data)
        elif how == "a parameter of the same memory, first":
            self.layers[0].weight = nn.Parameter(weight.data)
        self.shown = weight.detach()[:, :] if how == "a view from before" else None

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        weights = [layer.weight for layer in self.layers]
        if self.how == "itself, detached":
            weights[1] = weights[2].detach()
        elif self.shown is not None:
            weights[1] = self.shown
        for weight in weights:
            x = F.linear(x, weight)
        return x


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize(
    "how",
    [
        "itself, detached",
        "a view from before",
        "a parameter of the same memory",
        "a parameter of the same memory, first",
    ],
)
def test_a_weight_that_another_layer_reads_later(how: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind products that are updates by then."""
    monkeypatch.setattr("gpunn.plan.rules.product_update.LARGE_BYTES", 0)
    monkeypatch.setattr("gpunn.plan.rules.product_update.CACHED_BYTES", 0)
    rng = np.random.default_rng(0)
    x, y = (gpunn.tensor(rng.standard_normal((5, 8)).astype("f"), device=device) for _ in range(2))
    found = []
    for fuse in (["product_update"], None):
        model = ReadTwice(how, device)
        optimizer = optim.SGD(model.parameters(), 0.5, momentum=0.9, weight_decay=0.1)
        if fuse:
            step = TrainStep(model, nn.MSELoss(), optimizer, fuse=fuse)
        for _ in range(3):
            if fuse:
                step(x, y)
            else:
                optimizer.zero_grad()
                F.mse_loss(model(x), y).backward()
                optimizer.step()
        found.append([p.detach().cpu().numpy() for p in model.parameters()])
    assert "fused\n" in f"{step.plan.explain_fusion()}\n"
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


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
