"""The derivative of an activation, and the gradients of the layers on both sides of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeGuard

from gpunn.ops.activation import ActivationBackward, derivative_from_output
from gpunn.ops.batch_norm import BatchNormBackward
from gpunn.ops.linear import ActivationLinearBackward, LinearBackward

from ..graph import Compute, Graph, Node
from ..simplify import Uses
from .norm import has_relu, is_norm
from .note import Note, other_readers, written_between


def activation_gradient(graph: Graph) -> Iterator[Note]:
    """The gradient of a linear layer's input, dX, and dX f'(V) behind it, where X = f(V): one op.

    Kernels multiply by f' where they write dX: it saves a launch, and a way to memory and back. On the CPU it would
    save nothing. Nor is it done where f' does not follow from X in a few operations.
    Likewise the gradient of a ReLU and that of the norm of a batch before it: the norm's own input, which is read
    anyway, tells which elements the ReLU let through, and its result is not read again.
    """
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not (isinstance(node, Compute) and isinstance(node.op, ActivationBackward)):
            continue
        dv, maker = node.outputs[0], node.inputs[0].node
        norm = next((n for n in uses.of(dv) if isinstance(n, Compute) and isinstance(n.op, BatchNormBackward)), None)
        if norm is not None:
            yield Note(
                "activation_gradient",
                f"{node.op.kind} backward + {norm.name} {dv.spec!r}",
                _into(graph, node, norm, uses),
            )
        elif isinstance(maker, Compute) and isinstance(maker.op, LinearBackward):
            where = f"{maker.name} {dv.spec!r} + {node.op.kind} backward"
            yield Note("activation_gradient", where, _behind(graph, maker, node, uses))
        else:
            reason = "what makes dY is no linear layer"
            yield Note("activation_gradient", f"{node.op.kind} backward {dv.spec!r}", reason)


def _into(graph: Graph, node: Compute, reader: Compute, uses: Uses) -> str:
    """The gradient of a norm takes that of the ReLU behind it; why not, or nothing."""
    norm, dz = node.inputs[1].node, node.outputs[0]
    if others := other_readers(uses, dz, {id(reader)}):
        return f"{others} needs dZ"
    if node.op.kind != "relu" or dz.spec.device.type == "cpu":
        return "a norm's gradient is joined with that of a ReLU, by kernels"
    if not _is_norm_with_relu(norm, reader):
        return "the ReLU is not that of the norm"
    if id(norm.inputs[2]) in uses.written:
        return "the norm's bias is written to"
    reader.op = replace(reader.op, relu=True)
    reader.inputs = (node.inputs[0], *reader.inputs[1:5], norm.inputs[2])
    graph.nodes.remove(node)
    return ""


def _behind(graph: Graph, maker: Compute, node: Compute, uses: Uses) -> str:
    """The gradients of a linear layer take the derivative of the activation before it; why not, or nothing."""
    (dy, y), dv = node.inputs, node.outputs[0]
    dz, x, w = maker.inputs
    if dv.spec.device.type == "cpu":
        return "on the CPU nothing would be saved"
    if not derivative_from_output(node.op.kind, node.op.parameter):
        return f"the derivative of {node.op.kind} does not follow from its result in a few operations"
    if not uses.only_read_by(dy, node):
        return f"{other_readers(uses, dy, {id(node)})} needs dX"
    if dy is not maker.outputs[0] or (x is not None and x is not y):
        return "what went into the layer is not the result of the activation"
    if written_between(graph, maker, node):
        return "something is written to between"
    maker.op = ActivationLinearBackward(node.op.kind, node.op.parameter, maker.op.wanted)
    maker.inputs = dz, y, w
    maker.outputs = dv, *maker.outputs[1:]
    dv.node = maker
    graph.nodes.remove(node)
    return ""


def _is_norm_with_relu(norm: Node | None, backward: Compute) -> TypeGuard[Compute]:
    """Whether a node is the norm of a batch and a ReLU, and another one the gradient of just that norm."""
    return is_norm(norm) and has_relu(norm.op) and (*norm.inputs[:2], *norm.outputs[1:3]) == backward.inputs[1:5]
