"""The rules that part the norm of a batch: its statistics by a convolution, a sum or a maximum pooling behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gpunn
from gpunn import ops
from gpunn.autograd.tape import apply
from gpunn.nn import functional as F
from gpunn.ops.batch_norm_parts import BatchNormApply, BatchStatistics
from gpunn.ops.batch_norm_pool import BatchNormMaxPool
from gpunn.ops.conv_statistics import Conv2dStatistics
from gpunn.plan.fuse import RULES, apply_rules
from gpunn.plan.graph import Graph

from .test_graph import graph_of, names
from .test_rules import gradients, only

BEFORE = ["affine_activation", "tracked_norm", "pooled_slope", "activation_gradient"]
PARTS = ["pooled_norm", "pooled_norm_gradient", "norm_and_sum", "convolution_statistics"]
ON_CPU = "on the CPU nothing would be saved"
LAST = "images whose channels lie last have kernels of their own"


def notes_of(
    loss: Callable[..., Any],
    rule: str,
    shape: tuple[int, ...] = (2, 3, 6, 8),
    device: str = "sim",
    dtype: str = "float32",
    last: bool = False,
) -> tuple[Graph, list[str]]:
    """A step with the gradient of the norm's weight, and what one rule said of it."""
    w = gpunn.ones(shape[1], device=device, dtype=dtype, requires_grad=True)
    x = gpunn.ones(*shape, device=device, dtype=dtype)
    x = x.contiguous(memory_format=gpunn.channels_last) if last else x
    graph = graph_of(lambda x: gradients(loss(x, w), w), x)
    return graph, [n.reason for n in apply_rules(graph, [*BEFORE, rule]) if n.rule == rule]


def norm(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
    return F.batch_norm(x, None, None, w, training=True)


# Pooling --------------------------------------------------------------------------------------------------------------


def pooled(x: gpunn.Tensor, w: gpunn.Tensor, kind: str = "relu", window: int = 2, **options: Any) -> gpunn.Tensor:
    return F.max_pool2d(ops.activate(norm(x, w), kind), window, **options).square().sum()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("kind", ["none", "relu"])
def test_pooling_on_the_way(kind: str, dtype: str) -> None:
    graph, notes = notes_of(lambda x, w: pooled(x, w, kind), "pooled_norm", dtype=dtype)
    assert notes == [""]
    assert names(graph)[:2] == ["BatchStatistics", "BatchNormMaxPool"]
    assert not {"BatchNorm", "BatchNormRelu", "MaxPool2d"} & set(names(graph))
    assert only(graph, "BatchNormMaxPool").op.relu is (kind == "relu")


SIDE = "windows of 2 x 2 that lie side by side and cover the image are pooled on the way"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"window": 3}, SIDE),
        ({"stride": 1}, SIDE),
        ({"padding": 1}, SIDE),
        ({"shape": (2, 3, 7, 8)}, SIDE),
        ({"shape": (2, 3, 6, 9)}, SIDE),
        ({"device": "cpu", "kind": "none"}, ON_CPU),
        ({"last": True}, LAST),
    ],
    ids=str,
)
def test_what_is_not_pooled_on_the_way(options: dict[str, Any], reason: str) -> None:
    of_step = {k: options.pop(k) for k in ("shape", "device", "last") if k in options}
    graph, notes = notes_of(lambda x, w: pooled(x, w, **options), "pooled_norm", **of_step)
    assert notes == [reason]
    assert "BatchNormMaxPool" not in names(graph)


@pytest.mark.parametrize("kind", ["relu", "tanh"])
def test_what_is_needed_as_it_is(kind: str) -> None:
    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        y = ops.activate(norm(x, w), kind)
        return F.max_pool2d(y, 2).sum() + y.sum()

    graph, notes = notes_of(loss, "pooled_norm")
    assert [n.endswith("needs what is pooled") for n in notes] == [True] * (kind == "relu")
    assert "BatchNormMaxPool" not in names(graph)


@pytest.mark.parametrize("kind", ["none", "relu"])
def test_its_gradient_on_the_way(kind: str) -> None:
    graph, notes = notes_of(lambda x, w: pooled(x, w, kind), "pooled_norm_gradient")
    assert notes == [""]
    backward, pool = only(graph, "BatchNormMaxPoolBackward"), only(graph, "MaxPool2d")
    assert backward.inputs[1:3] == ((pool.outputs[0] if kind == "relu" else None), pool.outputs[1])
    assert not {"BatchNormBackward", "MaxPool2dBackward", "MaxPool2dActivationBackward"} & set(names(graph))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"window": 3}, SIDE),
        ({"shape": (2, 3, 7, 8)}, SIDE),
        ({"kind": "tanh"}, "tanh is between"),
        ({"device": "cpu", "kind": "none"}, ON_CPU),
        ({"last": True}, LAST),
    ],
    ids=str,
)
def test_gradients_that_are_spread_before(options: dict[str, Any], reason: str) -> None:
    of_step = {k: options.pop(k) for k in ("shape", "device", "last") if k in options}
    kind = options.pop("kind", "none" if "window" in options else "relu")
    graph, notes = notes_of(lambda x, w: pooled(x, w, kind, **options), "pooled_norm_gradient", **of_step)
    assert notes == [reason]
    assert "BatchNormMaxPoolBackward" not in names(graph)


def test_a_gradient_of_pooling_that_others_need() -> None:
    w, v = (gpunn.ones(3, device="sim", requires_grad=True) for _ in range(2))

    def body(x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
        z = norm(x, w)
        y = z + v.reshape(3, 1, 1)
        return gradients(F.max_pool2d(y, 2).square().sum(), w, v)

    graph = graph_of(body, gpunn.ones(2, 3, 6, 8, device="sim"))
    (note,) = apply_rules(graph, ["pooled_norm_gradient"])
    assert note.reason == "Sum needs the gradient of the pooling"


# A sum ----------------------------------------------------------------------------------------------------------------


def end_of_block(x: gpunn.Tensor, w: gpunn.Tensor, first: str = "none", last: str = "relu") -> gpunn.Tensor:
    return ops.activate(x + ops.activate(norm(x * 2, w), first), last).square().sum()


@pytest.mark.parametrize("first", ["none", "relu"])
@pytest.mark.parametrize("last", ["none", "relu", "tanh"])
def test_a_sum_behind_the_norm(first: str, last: str) -> None:
    graph, notes = notes_of(lambda x, w: end_of_block(x, w, first, last), "norm_and_sum")
    assert notes == [""]
    op = only(graph, "BatchNormApply").op
    assert (op.relu, op.relu_of_sum) == (first == "relu", last == "relu")
    assert not {"Add", "BatchNorm", "BatchNormRelu"} & set(names(graph))
    assert ("Activation" in names(graph) or "Tanh" in names(graph)) is (last == "tanh")


def test_a_sum_that_is_needed_without_its_relu() -> None:
    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        y = norm(x * 2, w) + x
        return (y.relu() * y).sum()

    graph, notes = notes_of(loss, "norm_and_sum")
    assert notes == [""]
    assert not only(graph, "BatchNormApply").op.relu_of_sum
    assert "Activation" in names(graph)


OTHER = "what is added has another shape or type, or is a number or the same"


@pytest.mark.parametrize(
    ("loss", "options", "reason"),
    [
        (lambda x, w: (norm(x, w) + 1.0).square().sum(), {}, OTHER),
        (lambda x, w: (norm(x, w) + x[:1]).square().sum(), {}, OTHER),
        (lambda x, w: ((y := norm(x, w)) + y).square().sum(), {}, OTHER),
        (lambda x, w: ((y := norm(x, w)) + x).sum() + y.tanh().sum(), {}, "Tanh needs what is added"),
        (end_of_block, {"device": "cpu"}, ON_CPU),
        (end_of_block, {"last": True}, LAST),
    ],
)
def test_what_is_not_added_on_the_way(loss: Any, options: dict[str, Any], reason: str) -> None:
    graph, notes = notes_of(loss, "norm_and_sum", **options)
    assert notes == [reason]
    assert "BatchNormApply" not in names(graph)


# Statistics by a convolution ------------------------------------------------------------------------------------------


def convolved(x: gpunn.Tensor, w: gpunn.Tensor, kernel: int = 3, kind: str = "none", **options: Any) -> gpunn.Tensor:
    weight = gpunn.ones(x.shape[1], x.shape[1], kernel, kernel, device=x.device, dtype=x.dtype, requires_grad=True)
    z = F.conv2d(x, weight, padding=kernel // 2, **options)
    return norm(ops.activate(z, kind), w).square().sum()


WIDE = (2, 4, 12, 12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_statistics_by_a_convolution(kernel: int, dtype: str) -> None:
    graph, notes = notes_of(lambda x, w: convolved(x, w, kernel), "convolution_statistics", WIDE, dtype=dtype)
    assert notes == [""]
    assert [n for n in names(graph) if "Norm" in n or "Conv" in n][:2] == ["Conv2dStatistics", "BatchNormApply"]
    assert not {"BatchNorm", "BatchStatistics", "Conv2d"} & set(names(graph))


SLIDING = "convolutions of floats whose windows slide, as those of 3 x 3 and 5 x 5 do mostly, find them"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kernel": 1}, SLIDING),
        ({"stride": 2}, SLIDING),
        ({"dilation": 2}, SLIDING),
        ({"shape": (2, 2, 12, 12)}, SLIDING),
        ({"dtype": "float16"}, SLIDING),
        ({"kind": "tanh"}, "tanh is between"),
        ({"device": "cpu"}, ON_CPU),
        ({"last": True}, LAST),
    ],
    ids=str,
)
def test_where_statistics_are_found_by_themselves(options: dict[str, Any], reason: str) -> None:
    of_step = {"shape": WIDE} | {k: options.pop(k) for k in ("shape", "device", "dtype", "last") if k in options}
    graph, notes = notes_of(lambda x, w: convolved(x, w, **options), "convolution_statistics", **of_step)
    assert notes == [reason]
    assert "Conv2dStatistics" not in names(graph)


def test_a_result_that_is_needed_besides() -> None:
    weight = gpunn.ones(4, 4, 3, 3, device="sim", requires_grad=True)

    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        z = F.conv2d(x, weight, padding=1)
        return norm(z, w).square().sum() + z.sum()

    graph, notes = notes_of(loss, "convolution_statistics", WIDE)
    assert notes == [""]
    assert "Sum" in names(graph)


def test_two_norms_of_one_convolution() -> None:
    """The first one's statistics are found by it, those of the second one by themselves."""
    weight, v = gpunn.ones(4, 4, 3, 3, device="sim"), gpunn.ones(4, device="sim")

    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        z = F.conv2d(x, weight, padding=1)
        return (norm(z, w) * F.batch_norm(z, None, None, v, training=True, eps=0.1)).sum()

    graph, notes = notes_of(loss, "convolution_statistics", WIDE)
    assert notes == [""]
    assert {"Conv2dStatistics", "BatchNormApply", "BatchNorm"} <= set(names(graph))


def test_running_statistics_that_a_layer_moves_twice() -> None:
    """The second time they are not what they were where the convolution is."""
    weight = gpunn.ones(4, 4, 3, 3, device="sim")
    mean, var = gpunn.zeros(4, device="sim"), gpunn.ones(4, device="sim")

    def loss(x: gpunn.Tensor, w: gpunn.Tensor) -> gpunn.Tensor:
        a, b = F.conv2d(x, weight, padding=1), F.conv2d(x * x, weight, padding=1)
        return sum(F.batch_norm(z, mean, var, w, training=True).square().sum() for z in (a, b))  # type: ignore[return-value]

    graph, notes = notes_of(loss, "convolution_statistics", WIDE)
    assert notes == ["", "something is written to between"]
    assert names(graph).count("Conv2dStatistics") == 1


def test_running_statistics_that_are_made_behind_a_convolution() -> None:
    weight = gpunn.ones(4, 4, 3, 3, device="sim")
    zeros, ones = gpunn.zeros(4, device="sim"), gpunn.ones(4, device="sim")

    def body(x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
        z = F.conv2d(x, weight, padding=1)
        mean, var = zeros + 1, ones + 1
        return F.batch_norm(z, mean, var, training=True), mean, var

    graph = graph_of(body, gpunn.ones(*WIDE, device="sim"))
    notes = apply_rules(graph, ["tracked_norm", "convolution_statistics"])
    assert [n.reason for n in notes] == ["", "the running statistics are made behind the convolution"]


# Errors ---------------------------------------------------------------------------------------------------------------


def test_errors() -> None:
    x, c = gpunn.ones(2, 3, 5, 4, device="sim"), gpunn.ones(3, device="sim")
    with pytest.raises(
        RuntimeError, match=r"windows of 2x2 have to cover images \(n, c, h, w\), got float32\[2, 3, 5, 4\]"
    ):
        apply(BatchNormMaxPool(1e-5), x, c, c, c, c)
    with pytest.raises(RuntimeError, match=r"what is added must be .*\[2, 3, 5, 4\].*, got .*\[2, 3, 4\]"):
        apply(BatchNormApply(1e-5), x, c, c, c, c, x[:, :, 0])
    with pytest.raises(RuntimeError, match="the running statistics must be in float32"):
        apply(BatchStatistics(0.9, 0.1, 0.1), x, c.double(), c.double(), None)
    weight = gpunn.ones(3, 3, 3, 3, device="sim")
    with pytest.raises(RuntimeError, match="running_mean must be"):
        apply(Conv2dStatistics(keep=0.9), x, weight, None, c[:2], c[:2], None)


def test_the_rules_are_known() -> None:
    assert [rule for rule in RULES if rule in PARTS] == PARTS
