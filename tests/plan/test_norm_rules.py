"""The rules about the norm of a batch: a ReLU behind it, and its running statistics."""

from __future__ import annotations

import pytest

import gpunn
from gpunn import ops
from gpunn.nn import functional as F
from gpunn.plan.fuse import apply_rules
from gpunn.plan.simplify import without_repetitions

from .test_graph import graph_of, names
from .test_rules import gradients, only


@pytest.mark.parametrize(("device", "kind"), [("sim", "relu"), ("sim", "tanh"), ("cpu", "relu")])
def test_a_norm_and_a_relu_by_kernels(device: str, kind: str) -> None:
    w = gpunn.ones(2, device=device, requires_grad=True)
    x = gpunn.ones(3, 2, device=device)

    def body(x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
        return gradients(ops.activate(F.batch_norm(x, None, None, w, training=True), kind).square().sum(), w)

    graph = graph_of(body, x)
    said = [n.reason for n in apply_rules(graph, ["affine_activation"]) if "BatchNorm" in n.where]
    if (device, kind) == ("sim", "relu"):
        norm, backward = only(graph, "BatchNormRelu"), only(graph, "BatchNormBackward")
        assert said == [""]
        assert apply_rules(graph, ["activation_gradient"])[0].reason == ""
        assert "ActivationBackward" not in names(graph)
        assert backward.op.relu
        assert backward.inputs[1:] == (*norm.inputs[:2], *norm.outputs[1:], norm.inputs[2])
    else:
        assert said == ["a norm is joined with a ReLU, by kernels"]
        assert "BatchNormRelu" not in names(graph)
        assert "" not in [n.reason for n in apply_rules(graph, ["activation_gradient"])]
        assert "ActivationBackward" in names(graph)


@pytest.mark.parametrize(
    ("device", "dtype", "reason"),
    [
        ("sim", "float32", ""),
        ("sim", "float16", "running statistics are in another type than the batch's"),
        ("cpu", "float32", "on the CPU nothing would be saved"),
    ],
)
def test_running_statistics_by_the_norm(device: str, dtype: str, reason: str) -> None:
    mean, var = gpunn.zeros(2, device=device, dtype=dtype), gpunn.ones(2, device=device, dtype=dtype)
    x = gpunn.ones(3, 2, device=device, dtype=dtype)
    graph = graph_of(lambda x: F.batch_norm(x, mean, var, training=True).relu(), x)
    notes = apply_rules(graph, ["affine_activation", "tracked_norm"])
    assert [n.reason for n in notes if n.rule == "tracked_norm"] == [reason]
    if reason:
        assert "MoveStatistics" in names(graph)
        return
    assert names(graph) == ["TrackedBatchNorm", "Assign", "Assign"]
    norm = only(graph, "TrackedBatchNorm")
    assert norm.op.relu
    assert [node.inputs[1] for node in graph.nodes[1:]] == list(norm.outputs[3:])


def test_running_statistics_that_are_made_behind_a_norm_are_not_moved_by_it() -> None:
    """The second norm is the first one over again, and goes; what it moves is made in between."""
    x = gpunn.tensor([[1.0, 4.0], [3.0, 8.0]], device="sim")
    zeros, ones = gpunn.zeros(2, device="sim"), gpunn.ones(2, device="sim")

    def body(x: gpunn.Tensor) -> tuple[gpunn.Tensor, ...]:
        first = F.batch_norm(x, None, None, training=True)
        mean, var = zeros + 1, ones + 1
        return first + F.batch_norm(x, mean, var, training=True, momentum=0.5), mean, var

    graph = graph_of(body, x)
    without_repetitions(graph)
    assert names(graph).count("BatchNorm") == 1
    (note,) = apply_rules(graph, ["tracked_norm"])
    assert note.reason == "the running statistics are made behind the norm"


def test_one_statistic_alone_is_moved_by_itself() -> None:
    var = gpunn.ones(2, device="sim")
    graph = graph_of(lambda x: F.batch_norm(x, None, var, training=True), gpunn.ones(3, 2, device="sim"))
    assert [bool(note.reason) for note in apply_rules(graph, ["tracked_norm"])] == [True]
    assert "MoveStatistics" in names(graph)


def test_running_statistics_of_something_else_stay_where_they_are() -> None:
    mean, var = gpunn.zeros(2, device="sim"), gpunn.ones(2, device="sim")
    graph = graph_of(lambda x: F.instance_norm(x, mean, var), gpunn.ones(3, 2, 4, device="sim"))
    (note,) = apply_rules(graph, ["tracked_norm"])
    assert note.reason == "what they move towards is not what a norm of the batch has found"
