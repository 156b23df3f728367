"""The logarithm of a softmax, and the negative log likelihood behind it."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.ops.cross_entropy import NLLLoss, NLLLossBackward, SoftmaxCrossEntropy, SoftmaxCrossEntropyBackward
from gpunn.ops.softmax import LogSoftmax, LogSoftmaxBackward

from ..graph import Compute, Graph, Value
from ..simplify import Uses
from .note import Note, other_readers


def softmax_cross_entropy(graph: Graph) -> Iterator[Note]:
    """log_softmax and nll_loss, and their two gradients: `SoftmaxCrossEntropy` and its gradient.

    The logarithms are then never in memory, and the gradient is one pass: softmax(x) less one at the label.
    """
    for loss in [n for n in graph.nodes if isinstance(n, Compute) and isinstance(n.op, NLLLoss)]:
        logarithms = loss.inputs[0]
        softmax = logarithms.node
        if not (isinstance(softmax, Compute) and isinstance(softmax.op, LogSoftmax)):
            continue
        where = f"LogSoftmax + NLLLoss {logarithms.spec!r}"
        uses = Uses(graph)
        backward = _backward(loss, logarithms, uses)
        mine = {id(loss)} if backward is None else {id(loss), id(backward[1])}
        others = other_readers(uses, logarithms, mine)
        if softmax.op.dim != min(logarithms.spec.ndim - 1, 1):
            yield Note("softmax_cross_entropy", where, f"the softmax is along axis {softmax.op.dim}, not the classes")
        elif others:
            yield Note("softmax_cross_entropy", where, f"{others} needs the logarithms")
        elif id(softmax.inputs[0]) in uses.written:
            yield Note("softmax_cross_entropy", where, "what goes into the softmax is written to")
        else:
            _join(graph, softmax, loss, backward)
            yield Note("softmax_cross_entropy", where)


def _backward(loss: Compute, logarithms: Value, uses: Uses) -> tuple[Compute, Compute] | None:
    """The gradient of the loss and, of nothing but that, the gradient of the softmax; None if there are none."""
    for outer in uses.of(logarithms):
        if not (isinstance(outer, Compute) and isinstance(outer.op, LogSoftmaxBackward)):
            continue
        g = outer.inputs[0]
        inner = g.node
        if (
            isinstance(inner, Compute)
            and isinstance(inner.op, NLLLossBackward)
            and uses.only_read_by(g, outer)
            and all(a is b for a, b in zip(inner.inputs[1:], loss.inputs[1:]))
            and (inner.op.reduction, inner.op.ignore_index) == (loss.op.reduction, loss.op.ignore_index)
        ):
            return inner, outer
    return None


def _join(graph: Graph, softmax: Compute, loss: Compute, backward: tuple[Compute, Compute] | None) -> None:
    """Let the loss be computed from what goes into the softmax, and likewise for the gradients."""
    x = softmax.inputs[0]
    target, weight = loss.inputs[1:]
    loss.op = SoftmaxCrossEntropy(loss.op.reduction, loss.op.ignore_index)
    loss.inputs = x, target, weight
    specs = loss.op.shape(x.spec, target.spec, None if weight is None else weight.spec)
    loss.outputs = loss.outputs[0], *(Value(spec, loss) for spec in specs[1:])
    loss.single = False
    graph.nodes.remove(softmax)
    if backward is not None:
        inner, outer = backward
        outer.op = SoftmaxCrossEntropyBackward(loss.op.reduction, loss.op.ignore_index)
        outer.inputs = inner.inputs[0], x, target, weight, *loss.outputs[1:]
        graph.nodes.remove(inner)
