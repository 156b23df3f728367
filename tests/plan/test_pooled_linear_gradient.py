"""The rule about a linear layer's gradient and that of the pooling in front of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, ops, optim
from gpunn.autograd.tape import apply
from gpunn.nn import functional as F
from gpunn.ops.linear_pooled import PooledLinearBackward
from gpunn.plan.fuse import apply_rules
from gpunn.plan.train_step import TrainStep

from .test_graph import graph_of, names
from .test_rules import gradients

RULE = "pooled_linear_gradient"
RULES = ["affine_activation", "pooled_slope", "pooled_convolution"]


def loss(x: Any, v: Any, w: Any, kind: str = "relu", window: int = 2, flat: int = 1) -> Any:
    p = F.max_pool2d(ops.activate(F.conv2d(x, v), kind), window)
    return F.linear(p.flatten(flat), w).square().sum()


def notes_of(
    body: Any = loss, size: tuple[int, int] = (8, 6), inputs: int = 12, device: str = "sim", **options: Any
) -> Any:
    v = gpunn.ones(2, 1, 3, 3, device=device, requires_grad=True)
    w = gpunn.ones(4, inputs, device=device, requires_grad=True)
    x = gpunn.ones(3, 1, *size, device=device)
    graph = graph_of(lambda x: gradients(body(x, v, w, **options), v, w), x)
    return graph, [n.reason for n in apply_rules(graph, [*RULES, RULE]) if n.rule == RULE]


@pytest.mark.parametrize("kind", ["none", "relu", "tanh"])
def test_windows_are_written_with_the_product(kind: str) -> None:
    graph, notes = notes_of(kind=kind)
    assert notes == [""]
    assert names(graph).count("PooledLinearBackward") == 1
    assert not {"MaxPool2dBackward", "MaxPool2dActivationBackward", "LinearBackward"} & set(names(graph))


SIDE = "windows of 2 x 2 that lie side by side and cover the image are written on the way"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "none", "window": 3, "size": (8, 8), "inputs": 8}, SIDE),
        ({"size": (9, 6)}, SIDE),
        ({"kind": "none", "device": "cpu"}, "on the CPU nothing would be saved"),
        ({"flat": 2, "inputs": 6}, "an image is no row of what the layer is given"),
    ],
    ids=str,
)
def test_what_is_not_written_with_the_product(options: dict[str, Any], reason: str) -> None:
    graph, notes = notes_of(**options)
    assert notes == [reason]
    assert "PooledLinearBackward" not in names(graph)


def test_what_is_needed_as_it_is() -> None:
    def twice(x: Any, v: Any, w: Any) -> Any:
        p = F.max_pool2d(F.conv2d(x, v).relu(), 2).flatten(1)
        return F.linear(p, w).square().sum() + p.sum()

    graph, notes = notes_of(twice)
    assert "PooledLinearBackward" not in names(graph)
    assert all(note.endswith("needs dX") for note in notes)


def test_another_input_of_the_layer_than_what_was_pooled() -> None:
    """f' follows from what was pooled, and the layer was given something else."""

    def other(x: Any, v: Any, w: Any) -> Any:
        p = F.max_pool2d(F.conv2d(x, v).relu(), 2)
        return F.linear((p * 2).flatten(1), w).square().sum()

    graph, notes = notes_of(other)
    assert notes == [] and "PooledLinearBackward" not in names(graph)


class Net(nn.Module):
    def __init__(self, kind: str, dtype: Any):
        super().__init__()
        self.kind = kind
        self.features = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 5, 3, padding=1))
        self.linear = nn.Linear(80, 7)
        self.to(dtype)

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        return self.linear(F.max_pool2d(ops.activate(self.features(x), self.kind), 2).flatten(1))


def train(
    kind: str, fuse: Any, device: str = "sim", dtype: Any = gpunn.float32, last: bool = False
) -> list[np.ndarray]:
    gpunn.manual_seed(0)
    net = Net(kind, dtype)
    x, y = gpunn.randn(6, 1, 8, 8, dtype=dtype), gpunn.randn(6, 7, dtype=dtype)
    net = net.to(device, memory_format=gpunn.channels_last if last else gpunn.preserve_format)
    x = x.to(device, memory_format=gpunn.channels_last if last else gpunn.preserve_format)
    optimizer = optim.SGD(net.parameters(), 0.1, momentum=0.9)
    step = TrainStep(net, lambda z, y: (z - y).square().mean(), optimizer, fuse=fuse)
    losses = [np.array(step(x, y.to(device)).item()) for _ in range(3)]
    fused = device == "sim" and not last and (fuse is True or RULE in (fuse or ()))
    assert ("PooledLinearBackward" in str(step.plan)) is fused
    return [*losses, *(p.detach().cpu().numpy() for p in net.parameters())]


@pytest.mark.parametrize("kind", ["none", "relu", "leaky_relu", "sigmoid", "tanh"])
def test_training_is_the_same_to_the_bit(kind: str) -> None:
    for a, b in zip(train(kind, [*RULES, RULE]), train(kind, RULES), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("last", [False, True])
def test_with_all_rules_as_on_the_cpu_without(last: bool) -> None:
    with_all = train("relu", True, dtype=gpunn.float64, last=last)
    for a, b in zip(with_all, train("relu", False, "cpu", gpunn.float64), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_lenet_takes_twelve_launches() -> None:
    from benchmarks.predicted.steps import rows

    assert next(row for row in rows("W4", 128) if row[1] == "all")[2] == "12"


def test_numbers_of_other_windows_are_an_error() -> None:
    dz, x, w = (gpunn.ones(*shape, device="sim") for shape in ((5, 3), (5, 12), (3, 12)))
    op = PooledLinearBackward("relu", 0.0, (True, True, True))
    for shape in ((5, 2, 2, 2), (4, 2, 2, 3), (5, 12)):
        which = gpunn.zeros(*shape, device="sim", dtype=gpunn.uint8)
        with pytest.raises(RuntimeError, match="the numbers are those of 5 images of 12 windows"):
            apply(op, dz, x, w, which)
