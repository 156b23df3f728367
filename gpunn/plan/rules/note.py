"""What a rule says of the places that it looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..graph import Assign, Compute, Graph, Node, Value
from ..simplify import Uses


@dataclass(frozen=True)
class Note:
    """What a rule did, or did not do, at one place.

    Attributes:
        rule: its name.
        where: the ops, as "LinearActivation float32[32, 512] + relu".
        reason: why it was not done; empty if it was.
    """

    rule: str
    where: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}" + (f": not fused, {self.reason}" if self.reason else "")


def other_readers(uses: Uses, value: Value, but: set[int]) -> str:
    """Who needs a value besides some nodes, given by their ids; empty if nobody does."""
    names = {n.name for n in uses.of(value) if id(n) not in but}
    if id(value) in uses.kept:
        names.add("the result of the step")
    if id(value) in uses.written:
        names.add("a write to it")
    return ", ".join(sorted(names))


def written_between(graph: Graph, first: Compute, last: Compute) -> bool:
    """Whether a state may have changed between two nodes."""
    nodes = graph.nodes
    return any(not isinstance(node, Compute) for node in nodes[nodes.index(first) : nodes.index(last)])


def may_wait(graph: Graph, uses: Uses, values: Iterable[Any], first: Node, last: Node) -> bool:
    """Whether values are, at a node, what they were at an earlier one: none of them may have been written to."""
    between = [n for n in graph.nodes[graph.nodes.index(first) : graph.nodes.index(last)] if not isinstance(n, Compute)]
    if not all(isinstance(node, Assign) for node in between):
        return False
    return not between or not any(id(value) in uses.written for value in values)


def are_there(graph: Graph, node: Node, values: Iterable[Any]) -> bool:
    """Whether values are there before a node is computed."""
    before = {id(other) for other in graph.nodes[: graph.nodes.index(node)]}
    return all(x is None or x.node is None or id(x.node) in before for x in values)
