"""Which values of a graph need memory, and from which node to which."""

from __future__ import annotations

from typing import Any

from .graph import Assign, Compute, Graph, Update, Value
from .memory import Storage


class Liveness:
    """The memory that a graph needs.

    Views own none: what reads a view reads the value that it shows. Gradients that one optimizer step takes lie one
    behind the other, as their parameters do, so that one walk updates them all.

    Attributes:
        owner: for each view, by the id of the value, the value whose memory it shows.
        storages: one for each value that owns memory, or for gradients that lie together.
        place: for each value that owns memory, by its id, the storage and its number there.
    """

    def __init__(self, graph: Graph, is_view: Any):
        """`is_view(node)` says whether a view op really gives a view: strides may force it to copy."""
        self.owner: dict[int, Value] = {}
        self.storages: list[Storage] = []
        self.place: dict[int, tuple[Storage, int]] = {}
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        made: list[Value] = []
        for i, node in enumerate(graph.nodes):
            for x in node.reads():
                last[id(self.owned(x))] = i
            if isinstance(node, Compute) and node.op.view and is_view(node):
                for y in node.outputs:
                    self.owner[id(y)] = self.owned(node.inputs[0])
                continue
            for y in node.outputs:
                first[id(y)] = last[id(y)] = i
                made.append(y)
        for y in graph.results:
            last[id(self.owned(y))] = len(graph.nodes)
        together = [self._together(node) for node in graph.nodes if isinstance(node, Update)]
        grouped = {id(v) for group in together for v in group}
        for group in (*together, *([v] for v in made if id(v) not in grouped)):
            if not group:
                continue
            sizes = [v.spec.nbytes for v in group]
            storage = Storage(sizes, min(first[id(v)] for v in group), max(last[id(v)] for v in group))
            self.storages.append(storage)
            self.place.update((id(v), (storage, k)) for k, v in enumerate(group))

    def owned(self, value: Value) -> Value:
        """The value whose memory this one shows; itself, if it is no view."""
        return self.owner.get(id(value), value)

    def _together(self, node: Update) -> list[Value]:
        """The gradients of an optimizer's step that own their memory, in order, each once."""
        group: dict[int, Value] = {}
        for g in node.reads():
            if g.node is not None and id(g) not in self.owner and id(g) not in self.place:
                group[id(g)] = g
        return list(group.values())


def first_write(graph: Graph) -> int:
    """The first node that writes to what was there before the step; the number of nodes if none does."""
    for i, node in enumerate(graph.nodes):
        if isinstance(node, Update) or (isinstance(node, Assign) and node.inputs[0].state is not None):
            return i
    return len(graph.nodes)
