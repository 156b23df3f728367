"""The derivative of an activation, and the gradients of the layer before it."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.ops.activation import ActivationBackward, derivative_from_output
from gpunn.ops.batch_norm import BatchNormBackward
from gpunn.ops.linear import ActivationLinearBackward, LinearBackward

from ..graph import Compute, Graph
from ..simplify import Uses
from .note import Note, other_readers, written_between


def activation_gradient(graph: Graph) -> Iterator[Note]:
    """The gradient of a linear layer's input, dX, and dX f'(V) behind it, where X = f(V): one op.

    Kernels multiply by f' where they write dX: it saves a launch, and a way to memory and back. On the CPU it would
    save nothing. Nor is it done where f' does not follow from X in a few operations.
    Likewise the gradient of a ReLU and that of the norm of a batch before it, which takes f' on the way.
    """
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not (isinstance(node, Compute) and isinstance(node.op, ActivationBackward)):
            continue
        kind, parameter = node.op.kind, node.op.parameter
        (dy, y), dv = node.inputs, node.outputs[0]
        maker = dy.node
        norm = next((n for n in uses.of(dv) if isinstance(n, Compute) and isinstance(n.op, BatchNormBackward)), None)
        if norm is not None:
            where = f"{kind} backward + {norm.name} {dv.spec!r}"
            if others := other_readers(uses, dv, {id(norm)}):
                reason = f"{others} needs dZ"
            elif kind != "relu" or dv.spec.device.type == "cpu":
                reason = "a norm's gradient is joined with that of a ReLU, by kernels"
            else:
                reason = ""
                norm.inputs = (dy, *norm.inputs[1:5], y)
                graph.nodes.remove(node)
        elif isinstance(maker, Compute) and isinstance(maker.op, LinearBackward):
            where = f"{maker.name} {dy.spec!r} + {kind} backward"
            dz, x, w = maker.inputs
            if dv.spec.device.type == "cpu":
                reason = "on the CPU nothing would be saved"
            elif not derivative_from_output(kind, parameter):
                reason = f"the derivative of {kind} does not follow from its result in a few operations"
            elif not uses.only_read_by(dy, node):
                reason = f"{other_readers(uses, dy, {id(node)})} needs dX"
            elif dy is not maker.outputs[0] or (x is not None and x is not y):
                reason = "what went into the layer is not the result of the activation"
            elif written_between(graph, maker, node):
                reason = "something is written to between"
            else:
                reason = ""
                maker.op = ActivationLinearBackward(kind, parameter, maker.op.wanted)
                maker.inputs = dz, y, w
                maker.outputs = dv, *maker.outputs[1:]
                dv.node = maker
                graph.nodes.remove(node)
        else:
            where, reason = f"{kind} backward {dv.spec!r}", "what makes dY is no linear layer"
        yield Note("activation_gradient", where, reason)
