"""The last layer of a classifier, its loss and the gradient of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gpunn.backend.dtypes import float32, float64
from gpunn.ops.cross_entropy import SoftmaxCrossEntropyGradient
from gpunn.ops.linear import LinearActivation
from gpunn.ops.linear_cross_entropy import LinearCrossEntropy

from ..graph import Compute, Graph, Node, Value
from ..simplify import Uses
from .note import Note

MOST_CLASSES, MOST_INPUTS, MOST_ROWS, MOST_ELEMENTS = 16, 2048, 2048, 2048 * 1024
"""Up to which one launch is predicted to take no longer than two, on H100 and A100. Elements are those of X."""


def linear_cross_entropy(graph: Graph) -> Iterator[Note]:
    """A linear layer, and `SoftmaxCrossEntropyGradient` of its result: one launch for few classes.

    It is done where the layer was, so that whatever else needs the logits has them; what the gradient of the loss needs
    besides comes before.
    """
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not (isinstance(node, Compute) and isinstance(node.op, SoftmaxCrossEntropyGradient)):
            continue
        dl, z, target, weight = node.inputs
        layer = z.node
        if not (isinstance(layer, Compute) and isinstance(layer.op, LinearActivation)):
            continue
        where = f"{layer.name} {z.spec!r} + {node.name}"
        (classes, inputs), rows = layer.inputs[1].spec.shape, z.spec.shape[0]
        sizes = (
            ("classes", classes, MOST_CLASSES),
            ("inputs", inputs, MOST_INPUTS),
            ("rows", rows, min(MOST_ROWS, MOST_ELEMENTS // max(inputs, 1))),
        )
        too_many = [f"{n} {what} take longer in one launch; up to {most} do not" for what, n, most in sizes if n > most]
        earlier = _behind(graph, layer, [v for v in (dl, target, weight) if isinstance(v, Value)])
        needed = {id(x) for n in earlier for x in (*n.reads(), *n.outputs)} | {id(v) for v in (dl, target, weight)}
        if layer.op.activation != "none":
            reason = f"{layer.op.activation} is between"
        elif z.spec.ndim != 2:
            reason = f"logits of {z.spec.ndim} dimensions are not rows of classes"
        elif z.spec.dtype not in (float32, float64):
            reason = "tensor cores multiply halves"
        elif too_many:
            reason = too_many[0]
        elif id(z) in needed or not all(isinstance(n, Compute) for n in earlier):
            reason = "the labels, or the gradient in the loss, follow from the logits"
        elif (needed | {id(z)}) & uses.written:
            reason = "what the loss is of is written to"
        else:
            reason = ""
            _join(graph, layer, node, earlier)
        yield Note("linear_cross_entropy", where, reason)


def _behind(graph: Graph, layer: Compute, values: Iterable[Value]) -> list[Node]:
    """The nodes behind `layer` that some values follow from, in order."""
    wanted, found = {id(v) for v in values}, []
    for n in reversed(graph.nodes[graph.nodes.index(layer) + 1 :]):
        if any(id(y) in wanted for y in n.outputs):
            found.append(n)
            wanted.update(id(x) for x in n.reads())
    return found[::-1]


def _join(graph: Graph, layer: Compute, node: Compute, earlier: list[Node]) -> None:
    """Let `node` do the layer too, in its place, behind the nodes that have to come before."""
    dl, z, target, weight = node.inputs
    node.op = LinearCrossEntropy(node.op.reduction, node.op.ignore_index, node.op.label_smoothing)
    node.inputs = dl, *layer.inputs, target, weight
    node.outputs, z.node = (*node.outputs, z), node
    node.layer = layer.layer
    for n in (node, *earlier):
        graph.nodes.remove(n)
    at = graph.nodes.index(layer)
    graph.nodes[at : at + 1] = [*earlier, node]
