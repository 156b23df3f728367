"""A loss on class labels, and its gradient."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.ops.cross_entropy import SoftmaxCrossEntropy, SoftmaxCrossEntropyBackward, SoftmaxCrossEntropyGradient

from ..graph import Compute, Graph
from ..simplify import Uses
from .note import Note


def loss_gradient(graph: Graph) -> Iterator[Note]:
    """`SoftmaxCrossEntropy` and its gradient: one launch, which looks at the labels too.

    It is done where the gradient was, so nothing between may need the loss. On the CPU it would save nothing.
    """
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not (isinstance(node, Compute) and isinstance(node.op, SoftmaxCrossEntropyBackward)):
            continue
        dl, x, target, weight, m, s = node.inputs
        loss = m.node
        if not (isinstance(loss, Compute) and isinstance(loss.op, SoftmaxCrossEntropy)):
            continue
        where = f"{loss.name} + {node.name} {x.spec!r}"
        begin, end = graph.nodes.index(loss), graph.nodes.index(node)
        between = {id(n): n.name for n in graph.nodes[begin + 1 : end]}
        early = sorted({between[id(n)] for n in uses.of(loss.outputs[0]) if id(n) in between})
        if x.spec.device.type == "cpu":
            reason = "on the CPU two passes take no longer than one"
        elif loss.op.reduction == "none":
            reason = "the losses are not added up"
        elif early:
            reason = f"{', '.join(early)} needs the loss before its gradient"
        elif not all(a is b for a, b in zip(loss.inputs, (x, target, weight))) or not all(
            uses.only_read_by(y, node) for y in (m, s)
        ):
            reason = "there is another gradient of the same loss"
        elif any(id(a) in uses.written for a in (x, target, weight) if a is not None):
            reason = "what the loss is of is written to"
        else:
            reason = ""
            node.op = SoftmaxCrossEntropyGradient(loss.op.reduction, loss.op.ignore_index, loss.op.label_smoothing)
            node.inputs = dl, x, target, weight
            node.outputs = loss.outputs[0], *node.outputs
            node.outputs[0].node, node.single = node, False
            graph.nodes.remove(loss)
        yield Note("loss_gradient", where, reason)
