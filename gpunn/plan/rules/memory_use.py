"""How much memory a graph has in use from node to node, and would have if several nodes were one."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Compute, Graph, Value


class MemoryUse:
    """The bytes in use at each node, without what was there before the step.

    Attributes:
        bytes: for each node, by its place.
        place: the place of each node, by its id.
    """

    def __init__(self, graph: Graph) -> None:
        self.bytes = [0] * len(graph.nodes)
        self.place = {id(node): i for i, node in enumerate(graph.nodes)}
        self._base: dict[int, Value] = {}
        """For each view what it is a view of."""
        self._last_read: dict[int, int] = {}
        """For each value that is no view, the place of the last node that reads it or a view of it."""
        for i, node in enumerate(graph.nodes):
            for x in node.reads():
                base = self._base_of(x)
                self._last_read[id(base)] = i
                if isinstance(node, Compute) and node.op.view:
                    self._base.update((id(y), base) for y in node.outputs)
        self._last_read.update((id(self._base_of(y)), len(graph.nodes) - 1) for y in graph.results)
        for i, node in enumerate(graph.nodes):
            for y in node.outputs:
                if id(y) not in self._base:
                    for k in range(i, self._last_read.get(id(y), i) + 1):
                        self.bytes[k] += y.spec.nbytes

    def with_run(self, run: Sequence[Compute], inputs: Sequence[Value]) -> list[int]:
        """The bytes, if all of a run is computed where its last node is.

        Its inputs live until then; in return what it makes on the way, one result a node, does not live at all.
        """
        found = self.bytes.copy()
        end = max(self.place[id(node)] for node in run)
        for base in self._made(inputs):
            for i in range(self._last_read[id(base)] + 1, end + 1):
                found[i] += base.spec.nbytes
        for node in run:
            (y,) = node.outputs
            if self.place[id(node)] < end:
                for i in range(self.place[id(node)], self._last_read[id(y)] + 1):
                    found[i] -= y.spec.nbytes
        return found

    def accept(self, run: Sequence[Compute], inputs: Sequence[Value]) -> None:
        """Take a run for one node from now on."""
        self.bytes = self.with_run(run, inputs)
        end = max(self.place[id(node)] for node in run)
        self._last_read.update((id(base), max(end, self._last_read[id(base)])) for base in self._made(inputs))

    def _base_of(self, x: Value) -> Value:
        return self._base.get(id(x), x)

    def _made(self, inputs: Sequence[Value]) -> list[Value]:
        """What some values are, or are views of, each once, without what was there before the step."""
        bases = {id(base): base for base in map(self._base_of, inputs)}
        return [base for base in bases.values() if base.node is not None]
