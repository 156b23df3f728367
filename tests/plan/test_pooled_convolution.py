"""The rule about a convolution and the maximum pooling behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, ops, optim
from gpunn.autograd.tape import apply
from gpunn.nn import functional as F
from gpunn.ops.conv_pool import Conv2dMaxPool
from gpunn.plan.fuse import apply_rules
from gpunn.plan.train_step import TrainStep

from .test_graph import graph_of, names
from .test_rules import gradients

RULES = ["affine_activation", "pooled_slope", "pooled_convolution"]


def notes_of(
    loss: Callable[..., Any],
    size: tuple[int, int] = (8, 6),
    kernel: int = 3,
    device: str = "sim",
    dtype: str = "float32",
) -> Any:
    w = gpunn.ones(2, 1, kernel, kernel, device=device, dtype=dtype, requires_grad=True)
    x = gpunn.ones(1, 1, *size, device=device, dtype=dtype)
    graph = graph_of(lambda x: gradients(loss(x, w), w), x)
    notes = [n.reason for n in apply_rules(graph, RULES) if n.rule == "pooled_convolution"]
    return graph, notes


def pooled(x: Any, w: Any, kind: str = "relu", window: int = 2, **options: Any) -> Any:
    return F.max_pool2d(ops.activate(F.conv2d(x, w, **options), kind), window).square().sum()


@pytest.mark.parametrize("kind", ["none", "relu", "tanh"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_pooling_on_the_way(kind: str, kernel: int) -> None:
    graph, notes = notes_of(lambda x, w: pooled(x, w, kind), (6 + kernel - 1, 4 + kernel - 1), kernel)
    assert notes == [""]
    assert "Conv2dMaxPool" in names(graph)
    assert not {"Conv2d", "MaxPool2d"} & set(names(graph))


SIDE = "windows of 2 x 2 that lie side by side and cover the image are pooled on the way"
KERNELS = "convolutions of floats with a stride of 1 and kernels of 3 x 3 or 5 x 5 pool on the way"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"window": 3}, SIDE),
        ({"size": (7, 6)}, SIDE),
        ({"size": (8, 7)}, SIDE),
        ({"stride": 2, "size": (9, 9)}, KERNELS),
        ({"kernel": 1}, KERNELS),
        ({"dtype": "float16"}, KERNELS),
        ({"device": "cpu"}, "on the CPU nothing would be saved"),
    ],
    ids=str,
)
def test_what_is_not_pooled_on_the_way(options: dict[str, Any], reason: str) -> None:
    of_step = {k: options.pop(k) for k in ("size", "kernel", "device", "dtype") if k in options}
    graph, notes = notes_of(lambda x, w: pooled(x, w, **options), **of_step)
    assert notes == [reason]
    assert "Conv2dMaxPool" not in names(graph)


def test_what_is_needed_as_it_is() -> None:
    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        y = F.conv2d(x, w).relu()
        return F.max_pool2d(y, 2).sum() + y.sum()

    graph, notes = notes_of(loss)
    assert len(notes) == 1 and notes[0].endswith("needs what is pooled")
    assert "Conv2dMaxPool" not in names(graph)


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "sigmoid", "tanh", "gelu"])
def test_training_is_the_same_to_the_bit(kind: str) -> None:
    """Where nothing is shared among threads, it is the same sums in the same order."""

    def train(fuse: Any) -> list[np.ndarray]:
        gpunn.manual_seed(0)
        conv = nn.Conv2d(1, 3, 3, padding=1).to("sim")
        optimizer = optim.SGD(conv.parameters(), 0.1, momentum=0.9)

        def loss_fn(z: gpunn.Tensor, y: gpunn.Tensor) -> gpunn.Tensor:
            return (F.max_pool2d(ops.activate(z, kind), 2).mean((2, 3)) - y).square().mean()

        step = TrainStep(conv, loss_fn, optimizer, fuse=fuse)
        x, y = gpunn.randn(4, 1, 8, 8, device="sim"), gpunn.randn(4, 3, device="sim")
        return [np.array(step(x, y).item()) for _ in range(3)] + [p.detach().cpu().numpy() for p in conv.parameters()]

    for a, b in zip(train(RULES), train(RULES[:2])):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_weight_gradient_of_a_first_layer_reads_that_of_what_was_pooled(kernel: int) -> None:
    graph, _ = notes_of(pooled, (6 + kernel - 1, 4 + kernel - 1), kernel)
    (note,) = apply_rules(graph, ["pooled_weight_gradient"])
    assert note.reason == ""
    assert "Conv2dMaxPoolWeightGrad" in names(graph)
    assert not {"Conv2dWeightGrad", "MaxPool2dActivationBackward"} & set(names(graph))


def weight_gradient_notes(channels: int, of_image: bool, **options: Any) -> list[str]:
    w = gpunn.ones(2, channels, 3, 3, device="sim", requires_grad=True)
    scale = gpunn.ones((), device="sim", requires_grad=of_image)
    wanted = (w, scale) if of_image else (w,)
    x = gpunn.ones(1, channels, 8, 6, device="sim")
    graph = graph_of(lambda x: gpunn.autograd.grad(pooled(x * scale, w, **options), wanted), x)
    return [n.reason for n in apply_rules(graph, [*RULES, "pooled_weight_gradient"]) if "weight" in n.rule]


def test_where_the_gradient_of_the_pooling_is_needed_or_read_too_often() -> None:
    assert weight_gradient_notes(4, False) == [""]
    assert weight_gradient_notes(5, False) == ["an image of 5 channels would read it as many times; up to 4 do"]
    assert weight_gradient_notes(2, True) == ["Conv2dInputGrad needs the gradient of the pooling"]
    strided = "windows of 2 x 2 that lie side by side, of kernels of 3 x 3 or 5 x 5, are taken"
    assert weight_gradient_notes(2, False, padding=(1, 2), dilation=2) == [strided]


@pytest.mark.parametrize("kind", ["relu", "leaky_relu", "sigmoid", "tanh"])
def test_trained_with_pooled_gradients(kind: str) -> None:
    def train(fuse: Any) -> list[np.ndarray]:
        gpunn.manual_seed(0)
        conv = nn.Conv2d(2, 9, 5, padding=2).double().to("sim")
        optimizer = optim.SGD(conv.parameters(), 0.1, momentum=0.9)

        def loss_fn(z: gpunn.Tensor, y: gpunn.Tensor) -> gpunn.Tensor:
            return (F.max_pool2d(ops.activate(z, kind), 2).mean((2, 3)) - y).square().mean()

        step = TrainStep(conv, loss_fn, optimizer, fuse=fuse)
        x = gpunn.randn(4, 2, 8, 8, device="sim", dtype=gpunn.float64)
        y = gpunn.randn(4, 9, device="sim", dtype=gpunn.float64)
        return [np.array(step(x, y).item()) for _ in range(3)] + [p.detach().cpu().numpy() for p in conv.parameters()]

    for a, b in zip(train([*RULES, "pooled_weight_gradient"]), train(False)):
        np.testing.assert_allclose(a, b, rtol=1e-11)


@pytest.mark.parametrize("changed", ["weight", "image"])
def test_what_the_convolution_reads_may_change_before_its_result_is_pooled(changed: str) -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(2, 2, 3, padding=1)
            self.register_buffer("weight", gpunn.ones(2, 1, 3, 3))
            self.register_buffer("image", gpunn.ones(1, 1, 8, 8))

        def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
            z = F.conv2d(self.image if changed == "image" else x, self.weight, padding=1)
            with gpunn.no_grad():
                getattr(self, changed).mul_(0.5)
            return self.last(F.max_pool2d(z, 2))

    def train(device: str, fuse: bool) -> list[float]:
        gpunn.manual_seed(0)
        model = Changing().to(device)
        step = TrainStep(model, lambda z, y: (z - y).square().mean(), optim.SGD(model.parameters(), 0.01), fuse=fuse)
        x, y = gpunn.ones(1, 1, 8, 8, device=device), gpunn.tensor(0.0, device=device)
        return [step(x, y).item() for _ in range(3)]

    np.testing.assert_allclose(train("sim", True), train("cpu", False), rtol=1e-5)


def test_windows_that_do_not_cover_the_result_are_an_error() -> None:
    x, w = gpunn.ones(1, 2, 7, 8, device="sim"), gpunn.ones(3, 2, 3, 3, device="sim")
    with pytest.raises(RuntimeError, match="windows of 2x2 have to cover the result of the convolution, 5 x 6"):
        apply(Conv2dMaxPool(), x, w, None)
    with pytest.raises(RuntimeError, match="the derivative of gelu does not follow from its result"):
        apply(Conv2dMaxPool(activation="gelu"), x, w, None)
