"""The derivative of an activation in front of a maximum pooling."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.ops.activation import ActivationBackward, derivative_from_output
from gpunn.ops.pool import MaxPool2d, MaxPool2dActivationBackward, MaxPool2dBackward

from ..graph import Compute, Graph, Value
from ..simplify import Uses
from .note import Note, other_readers


def pooled_slope(graph: Graph) -> Iterator[Note]:
    """f'(Y) on the gradient of a maximum pooling of Y = f(Z), taken at the elements that were chosen alone.

    All others have the gradient 0, and the chosen ones are the result of the pooling: the derivative is applied to that
    many elements instead of to all of Y, which is then not needed after the pooling. For windows of 2 x 2 that lie side
    by side kernels do both in one launch.
    """
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not (isinstance(node, Compute) and isinstance(node.op, ActivationBackward)):
            continue
        spread, y = node.inputs[0].node, node.inputs[1]
        if not (isinstance(spread, Compute) and isinstance(spread.op, MaxPool2dBackward)):
            continue
        dy, which = spread.inputs
        pool = which.node
        kind = node.op.kind
        where = f"{kind} backward + {spread.name} {y.spec!r}"
        if not (isinstance(pool, Compute) and isinstance(pool.op, MaxPool2d) and pool.inputs[0] is y):
            yield Note("pooled_slope", where, "what was pooled is not what the derivative is taken from")
        elif not derivative_from_output(kind, node.op.parameter):
            yield Note("pooled_slope", where, f"the derivative of {kind} is not taken from its result")
        elif not uses.only_read_by(spread.outputs[0], node):
            others = other_readers(uses, spread.outputs[0], {id(node)})
            yield Note("pooled_slope", where, f"{others} needs the gradient of the pooling")
        elif y.spec.device.type != "cpu" and spread.op.tiles_by_two():
            graph.nodes.remove(node)
            op = spread.op
            spread.op = MaxPool2dActivationBackward(
                op.kernel, op.stride, op.padding, op.dilation, op.size, kind, node.op.parameter
            )
            spread.inputs, spread.outputs = (dy, pool.outputs[0], which), node.outputs
            spread.outputs[0].node = spread
            yield Note("pooled_slope", where)
        else:
            at = graph.nodes.index(spread)
            graph.nodes.remove(node)
            graph.nodes.insert(at, node)  # first the derivative, then the spreading
            dz, chosen = node.outputs[0], Value(dy.spec, node)
            node.inputs, node.outputs = (dy, pool.outputs[0]), (chosen,)
            spread.inputs, spread.outputs = (chosen, which), (dz,)
            dz.node = spread
            yield Note("pooled_slope", where)
