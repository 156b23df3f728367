"""The gradients of a linear layer, and that of the maximum pooling in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from gpunn.ops.linear import LinearBackward
from gpunn.ops.linear_pooled import PooledLinearBackward
from gpunn.ops.pool import MaxPool2dActivationBackward, MaxPool2dBackward
from gpunn.ops.view import Reshape

from ..graph import Compute, Graph, Node, Value
from ..simplify import Uses
from ..strides import is_last
from .note import Note, are_there, other_readers, written_between


def pooled_linear_gradient(graph: Graph) -> Iterator[Note]:
    """The gradient of a linear layer's input X, and that of the pooling by windows of 2 x 2 that gave X: one op.

    So convolutions end where classifiers begin. Kernels write each element of dX to the one of four that its window
    has chosen, with the derivative of the activation there. It saves a launch, and a way to memory and back.
    """
    uses = Uses(graph)
    for spread in list(graph.nodes):
        if not (
            isinstance(spread, Compute) and isinstance(spread.op, (MaxPool2dBackward, MaxPool2dActivationBackward))
        ):
            continue
        row = spread.inputs[0].node
        dx = row.inputs[0] if _is_reshape(row) else None
        if dx is None or not (isinstance(dx.node, Compute) and isinstance(dx.node.op, LinearBackward)):
            continue
        linear, which, dv = dx.node, spread.inputs[-1], spread.outputs[0]
        where = f"{linear.name} {dx.spec!r} + {spread.name}"
        pooled, f = None, ("none", 0.0)
        if isinstance(spread.op, MaxPool2dActivationBackward):
            pooled, f = spread.inputs[1], (spread.op.activation, spread.op.parameter)
        if dv.spec.device.type == "cpu":
            reason = "on the CPU nothing would be saved"
        elif not spread.op.tiles_by_two() or dv.spec.shape[2:] != tuple(2 * n for n in which.spec.shape[2:]):
            reason = "windows of 2 x 2 that lie side by side and cover the image are written on the way"
        elif is_last(spread, {}):
            reason = "images whose channels lie last have another order than what the layer is given"
        elif dx.spec.ndim != 2 or dx.spec.shape[0] != which.spec.shape[0]:
            reason = "an image is no row of what the layer is given"
        elif not (uses.only_read_by(dx, row) and uses.only_read_by(row.outputs[0], spread)):
            others = other_readers(uses, dx, {id(row)}) or other_readers(uses, row.outputs[0], {id(spread)})
            reason = f"{others} needs dX"
        elif pooled is not None and not _is_row_of(linear.inputs[1], pooled):
            reason = "what went into the layer is not what was pooled"
        elif written_between(graph, linear, spread) or not are_there(graph, linear, [which]):
            reason = "something is written to between"
        else:
            reason = ""
            linear.op = PooledLinearBackward(*f, linear.op.wanted)
            linear.inputs = (*linear.inputs, which)
            linear.outputs = dv, *linear.outputs[1:]
            dv.node = linear
            graph.nodes.remove(row)
            graph.nodes.remove(spread)
        yield Note("pooled_linear_gradient", where, reason)


def _is_reshape(node: Node | None) -> TypeGuard[Compute]:
    return isinstance(node, Compute) and isinstance(node.op, Reshape)


def _is_row_of(x: Value | None, pooled: Value) -> bool:
    return x is not None and _is_reshape(x.node) and x.node.inputs[0] is pooled
