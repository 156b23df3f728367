"""The rule about the last layer of a classifier and its loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import TrainStep, nn, ops, optim
from gpunn.nn import functional as F
from gpunn.plan.fuse import RULES, apply_rules
from gpunn.plan.graph import Graph
from gpunn.plan.simplify import without_dead_code

from .test_graph import graph_of, names
from .test_rules import gradients, only

APPLIED = ["affine_activation", "loss_gradient", "linear_cross_entropy"]


def rule_on(
    loss: Callable[..., Any], rows: int = 4, inputs: int = 3, classes: int = 5, dtype: str = "float32"
) -> tuple[Graph, list[str]]:
    """The graph of a loss of a layer and its gradient in W, and what the rule says; loss(z, labels) has several."""
    w, b = (gpunn.ones(*s, dtype=dtype, device="sim", requires_grad=True) for s in ((classes, inputs), (classes,)))
    x, y = gpunn.ones(rows, inputs, dtype=dtype, device="sim"), gpunn.zeros(rows, dtype=gpunn.int64, device="sim")

    def body(x: gpunn.Tensor, y: gpunn.Tensor) -> Any:
        found, *others = loss(ops.linear(x, w, b), y)
        return (*gradients(found, w), *others)

    graph = graph_of(body, x, y)
    without_dead_code(graph)
    return graph, [n.reason for n in apply_rules(graph, APPLIED) if n.rule == "linear_cross_entropy"]


def test_a_layer_and_its_loss_become_one() -> None:
    graph, notes = rule_on(lambda z, y: (F.cross_entropy(z, y, label_smoothing=0.1, ignore_index=3, reduction="sum"),))
    assert notes == [""]
    assert names(graph) == ["Full", "LinearCrossEntropy", "LinearBackward"]
    node = only(graph, "LinearCrossEntropy")
    assert (node.op.reduction, node.op.ignore_index, node.op.label_smoothing) == ("sum", 3, 0.1)
    assert node.outputs[0] is graph.results[0] and all(y.node is node for y in node.outputs)


def test_what_else_needs_the_logits_has_them() -> None:
    graph, notes = rule_on(lambda z, y: (F.cross_entropy(z, y), (z.argmax(1) == y).sum(), z))
    assert notes == [""]
    node = only(graph, "LinearCrossEntropy")
    assert graph.results[-1] is node.outputs[2]
    assert graph.nodes.index(node) < graph.nodes.index(only(graph, "ArgMax"))


@pytest.mark.parametrize(
    ("loss", "sizes", "reason"),
    [
        (lambda z, y: (F.cross_entropy(z.relu(), y),), {}, "relu is between"),
        (lambda z, y: (F.cross_entropy(z, y),), {"dtype": "float16"}, "tensor cores multiply halves"),
        (
            lambda z, y: (F.cross_entropy(z, z.argmax(1)),),
            {},
            "the labels, or the gradient in the loss, follow from the logits",
        ),
    ],
    ids=["relu", "half", "labels"],
)
def test_what_stays(loss: Any, sizes: dict[str, Any], reason: str) -> None:
    graph, notes = rule_on(loss, **sizes)
    assert notes == [reason]
    assert {"LinearActivation", "SoftmaxCrossEntropyGradient"} <= set(names(graph))


@pytest.mark.parametrize(
    ("rows", "inputs", "classes", "reason"),
    [
        (4, 3, 16, ""),
        (4, 3, 17, "17 classes take longer in one launch; up to 16 do not"),
        (4, 2048, 5, ""),
        (4, 2049, 5, "2049 inputs take longer in one launch; up to 2048 do not"),
        (2048, 1024, 5, ""),
        (2049, 3, 5, "2049 rows take longer in one launch; up to 2048 do not"),
        (1025, 2048, 5, "1025 rows take longer in one launch; up to 1024 do not"),
    ],
)
def test_few_of_all(rows: int, inputs: int, classes: int, reason: str) -> None:
    assert rule_on(lambda z, y: (F.cross_entropy(z, y),), rows, inputs, classes)[1] == [reason]


def test_logits_that_are_written_to_stay() -> None:
    w = gpunn.ones(5, 3, device="sim", requires_grad=True)

    def body(x: gpunn.Tensor, y: gpunn.Tensor) -> Any:
        z = ops.linear(x, w)
        found = gradients(F.cross_entropy(z, y), w)
        with gpunn.no_grad():
            return *found, z.detach().mul_(2)

    graph = graph_of(body, gpunn.ones(4, 3, device="sim"), gpunn.zeros(4, dtype=gpunn.int64, device="sim"))
    assert apply_rules(graph, APPLIED)[-1].reason == "what the loss is of is written to"


def test_logits_of_three_dimensions_stay() -> None:
    w = gpunn.ones(5, 3, device="sim", requires_grad=True)
    x, y = gpunn.ones(2, 4, 3, device="sim"), gpunn.zeros(2, 5, dtype=gpunn.int64, device="sim")
    graph = graph_of(lambda x, y: gradients(F.cross_entropy(ops.linear(x, w), y), w), x, y)
    notes = apply_rules(graph, APPLIED)
    assert notes[-1].reason == "logits of 3 dimensions are not rows of classes"


def test_a_loss_that_has_an_activation_or_a_convolution_before_it_is_none_of_its_business() -> None:
    w = gpunn.ones(5, 3, 1, 1, device="sim", requires_grad=True)
    x, y = gpunn.ones(2, 3, 4, 4, device="sim"), gpunn.zeros(2, 4, 4, dtype=gpunn.int64, device="sim")
    graph = graph_of(lambda x, y: gradients(F.cross_entropy(F.conv2d(x, w), y), w), x, y)
    assert [n.rule for n in apply_rules(graph, APPLIED)] == ["loss_gradient"]


def test_a_gradient_in_the_loss_that_is_given_comes_before() -> None:
    """As it does where batches have weights."""
    w = gpunn.full((5, 3), 0.5, device="sim", requires_grad=True)
    x, y = gpunn.randn(4, 3, device="sim"), gpunn.tensor([0, 4, 2, 2], device="sim")

    def body(x: gpunn.Tensor, y: gpunn.Tensor, scale: gpunn.Tensor) -> Any:
        loss = F.cross_entropy(ops.linear(x, w), y)
        return gpunn.autograd.grad(loss, w, grad_outputs=(scale * 2).reshape(()))

    graph = graph_of(body, x, y, gpunn.ones(1, device="sim"))
    assert apply_rules(graph, APPLIED)[-1].reason == ""
    order = names(graph)
    assert order.index("Mul") < order.index("LinearCrossEntropy") < order.index("LinearBackward")


class WithLogits(nn.Module):
    """Its output is the logits, which the step counts hits in."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(12, 20), nn.Linear(20, 10)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.last(self.first(x).relu())


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_training_agrees_with_what_is_not_fused(reduction: str, weighted: bool) -> None:
    def train(fuse: Any, capture: bool = True) -> list[np.ndarray]:
        gpunn.manual_seed(0)
        model = WithLogits().double().to("sim")
        weight = gpunn.linspace(0.5, 2, 10, dtype=gpunn.float64, device="sim") if weighted else None

        def loss_fn(z: gpunn.Tensor, y: gpunn.Tensor) -> Any:
            return F.cross_entropy(z, y, weight, ignore_index=3, reduction=reduction), (z.argmax(1) == y).sum(), z

        optimizer = optim.SGD(model.parameters(), 0.01, momentum=0.9)
        step = TrainStep(model, loss_fn, optimizer, fuse=fuse, capture=capture)
        rng, seen = np.random.default_rng(1), []
        for size in (6, 6, 6, 6, 5):  # the last batch is smaller
            x = gpunn.tensor(rng.standard_normal((size, 12)), device="sim")
            y = gpunn.tensor(rng.integers(0, 10, size), device="sim")
            seen += step(x, y)
        assert ("linear_cross_entropy " in step.plan.explain_fusion()) == (fuse is True)
        return [t.detach().cpu().numpy() for t in (*seen, *model.parameters())]

    fused = train(True)
    for a, b in zip(fused, train([name for name in RULES if name != "linear_cross_entropy"]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
    for a, b in zip(fused, train(True, capture=False), strict=True):
        np.testing.assert_array_equal(a, b)
