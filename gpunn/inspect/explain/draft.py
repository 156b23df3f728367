"""Steps before they have their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from gpunn.plan.graph import Compute, Node, Value

from .derivation import Formula
from .formula import Item, latex, mathml, unicode
from .tracing import GradientOf


@dataclass
class Draft:
    """A step before it has its number: the nodes that it is made of, and their gradient if it is one."""

    phase: str
    op: str
    layer: str
    nodes: list[Node]
    items: list[Item]
    inputs: list[int]
    outputs: list[int]
    gradient: GradientOf | None = None
    kind: str = ""
    sentences: list[str] = field(default_factory=list)


def count_of_mean(node: Compute) -> int:
    """Of how many elements, or samples, a node takes the mean; 0 for other ops."""
    x, y = node.inputs[0] if node.inputs else None, node.outputs[0]
    if node.name == "Mean" and isinstance(x, Value):
        return x.spec.numel() // max(1, y.spec.numel())
    if node.name in ("SoftmaxCrossEntropy", "NLLLoss"):
        return int(node.inputs[1].spec.numel())
    return 0


def formula(item: Item) -> Formula:
    """A tree in all three notations."""
    return Formula(unicode(item), latex(item), mathml(item))
