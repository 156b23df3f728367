"""The derivative of an activation, and the gradients of the layer before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeGuard

from gpunn.ops.activation import ActivationBackward, derivative_from_output
from gpunn.ops.batch_norm import BatchNormBackward, BatchNormRelu, TrackedBatchNorm
from gpunn.ops.conv import Conv2dInputGrad, Conv2dWeightGrad
from gpunn.ops.linear import LinearActivationBackward, LinearBackward

from ..graph import Compute, Graph, Node
from ..simplify import Uses
from .note import Note, other_readers


def activation_gradient(graph: Graph) -> Iterator[Note]:
    """dZ = dY f'(Z) and what a linear layer makes of it, dX, dW and db: kernels make dZ on the way to the products.

    It saves the launch and the way of dZ to memory and back. On the CPU it would save nothing: dZ is made in the
    memory of dY, and a product wants it there. Nor would it where f' takes more than a few operations, since each
    product would repeat them, and for convolutions, whose two products read each element of dZ several times over.
    Likewise the gradient of the norm of a batch, where the activation is a ReLU: the norm's own input, which is read
    anyway, tells which elements that let through, and its result is not read again.
    """
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not (isinstance(node, Compute) and isinstance(node.op, ActivationBackward)):
            continue
        dz = node.outputs[0]
        reader = next((n for n in uses.of(dz) if isinstance(n, Compute) and isinstance(n.op, _READERS)), None)
        if reader is None:
            continue
        kind, parameter = node.op.kind, node.op.parameter
        where = f"{kind} backward + {reader.name} {dz.spec!r}"
        others = other_readers(uses, dz, {id(reader)})
        if isinstance(reader.op, BatchNormBackward):
            norm = node.inputs[1].node
            if others:
                reason = f"{others} needs dZ"
            elif kind != "relu" or dz.spec.device.type == "cpu":
                reason = "a norm's gradient is joined with that of a ReLU, by kernels"
            elif not _is_norm_with_relu(norm, reader):
                reason = "the ReLU is not that of the norm"
            elif id(norm.inputs[2]) in uses.written:
                reason = "the norm's bias is written to"
            else:
                reason = ""
                reader.op = replace(reader.op, relu=True)
                reader.inputs = (node.inputs[0], *reader.inputs[1:5], norm.inputs[2])
                graph.nodes.remove(node)
        elif not isinstance(reader.op, LinearBackward):
            reason = "the products of a convolution read each element of dZ several times"
        elif dz.spec.device.type == "cpu":
            reason = "on the CPU dZ takes the memory of dY, and nothing would be saved"
        elif not derivative_from_output(kind, parameter):
            reason = f"the derivative of {kind} takes more than a few operations, so it is computed once"
        elif others or reader.inputs.count(dz) > 1:
            reason = f"{others or reader.name} needs dZ"
        else:
            reason = ""
            reader.op = LinearActivationBackward(kind, parameter, reader.op.wanted)
            reader.inputs = *node.inputs, *reader.inputs[1:]
            graph.nodes.remove(node)
        yield Note("activation_gradient", where, reason)


def _is_norm_with_relu(norm: Node | None, backward: Compute) -> TypeGuard[Compute]:
    """Whether a node is the norm of a batch and a ReLU, and another one the gradient of just that norm."""
    if not isinstance(norm, Compute):
        return False
    if not (isinstance(norm.op, BatchNormRelu) or (isinstance(norm.op, TrackedBatchNorm) and norm.op.relu)):
        return False
    return (*norm.inputs[:2], *norm.outputs[1:3]) == backward.inputs[1:5]


_READERS = (LinearBackward, Conv2dInputGrad, Conv2dWeightGrad, BatchNormBackward)
