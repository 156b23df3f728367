"""Which memory a plan would have in use at each node of a graph."""

from __future__ import annotations

from itertools import accumulate

from gpunn.plan.graph import Graph, Value
from gpunn.plan.liveness import Liveness
from gpunn.plan.strides import follow


class Lives:
    """From when to when values lie in memory.

    Args:
        graph: a step.

    Attributes:
        in_use: the bytes at each node.
        views: the ids of the nodes whose results own no memory.
    """

    def __init__(self, graph: Graph):
        self.views = follow(graph)
        self._life = Liveness(graph, self.views)
        self._number = {id(s): i for i, s in enumerate((*self._life.storages, *self._life.kept))}
        self._nodes = len(graph.nodes)
        change = [0] * (self._nodes + 1)
        for s in self._life.storages:
            change[s.first] += s.size
            change[min(s.last, self._nodes - 1) + 1] -= s.size
        self.in_use = list(accumulate(change))[: self._nodes]

    def memory(self, value: Value) -> int | None:
        """The number of the memory that a value lies in; None for what was there before."""
        place = self._life.place.get(id(self._life.owned(value)))
        return None if place is None else self._number[id(place[0])]

    def owner(self, value: Value) -> Value | None:
        """The value whose memory this one shows or takes over; None where it has its own."""
        return self._life.owner.get(id(value))

    def last(self, value: Value) -> int | None:
        """The last node for which the value's memory is needed; None where it stays."""
        place = self._life.place.get(id(self._life.owned(value)))
        if place is None or place[0].last >= self._nodes or id(place[0]) in {id(s) for s in self._life.kept}:
            return None
        return place[0].last
