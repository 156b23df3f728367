"""A layer and the activation behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gpunn.ops.activation import Activation, derivative_from_output
from gpunn.ops.batch_norm import BatchNorm, BatchNormRelu
from gpunn.ops.conv import Conv2d
from gpunn.ops.linear import LinearActivation
from gpunn.ops.math import Sigmoid, Tanh

from ..graph import Compute, Graph, Value
from ..simplify import Uses
from .note import Note, other_readers


def affine_activation(graph: Graph) -> Iterator[Note]:
    """A linear layer or a convolution with the activation behind it: one op, one pass over the result.

    Likewise, by kernels, the norm of a batch and a ReLU.
    """
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not isinstance(node, Compute):
            continue
        norm = type(node.op) is BatchNorm
        if not norm and not (isinstance(node.op, (LinearActivation, Conv2d)) and node.op.activation == "none"):
            continue
        z = node.outputs[0]
        activation = next((n for n in uses.of(z) if isinstance(n, Compute) and _activation(n.op)), None)
        if activation is None:
            continue
        kind, parameter = _activation(activation.op)
        where = f"{node.name} {z.spec!r} + {kind}"
        if norm and (kind != "relu" or z.spec.device.type == "cpu"):
            yield Note("affine_activation", where, "a norm is joined with a ReLU, by kernels")
        elif not derivative_from_output(kind, parameter):
            yield Note("affine_activation", where, f"the derivative of {kind} needs what goes into it")
        elif not uses.only_read_by(z, activation):
            others = other_readers(uses, z, {id(activation)})
            yield Note("affine_activation", where, f"{others} needs what goes into {kind}")
        else:
            op = BatchNormRelu(node.op.eps) if norm else replace(node.op, activation=kind, parameter=parameter)
            _join(graph, node, activation, op)
            yield Note("affine_activation", where)


def _activation(op: Any) -> Any:
    """Kind and parameter of an op that is an activation, else None."""
    if isinstance(op, Activation):
        return op.kind, op.parameter
    return ("sigmoid", 0.0) if isinstance(op, Sigmoid) else ("tanh", 0.0) if isinstance(op, Tanh) else None


def _join(graph: Graph, first: Compute, second: Compute, op: Any) -> None:
    """Put `op` on the inputs of `first` in its place, with the result of `second`, which goes."""
    result: Value = second.outputs[0]
    first.op, first.outputs = op, (result, *first.outputs[1:])
    result.node = first
    graph.nodes.remove(second)
