"""Assignments that need no copy: what is assigned is computed where it belongs."""

from __future__ import annotations

from .graph import Assign, Compute, Graph, ProductUpdate, Update, Value


class InPlace:
    """The values of a graph that are made right in the memory of the state that they are assigned to.

    That is so where the value is made at each step and read by nothing else, the state is not read or written between,
    and the op that makes the value does not read the state, or may overwrite it (`Op.overwrites`).

    Args:
        graph: the step.
        views: the ids of the nodes whose results show the memory of their first input.
        constants: the ids of the nodes that are computed once.

    Attributes:
        target: for each such value, by its id, the state.
        assigned: the ids of the assignments that have nothing left to do.
        makers: the ids of the nodes that make such values.
    """

    def __init__(self, graph: Graph, views: set[int], constants: set[int]):
        self.target: dict[int, Value] = {}
        self.assigned: set[int] = set()
        self.makers: set[int] = set()
        self._place = {id(node): i for i, node in enumerate(graph.nodes)}
        self._touched: dict[int, list[int]] = {}
        self._find_touched(graph, views)
        returned = {id(v) for v in graph.results}
        updated = {id(p._data) for n in graph.nodes if isinstance(n, (Update, ProductUpdate)) for p in n.params}
        for node in graph.nodes:
            if isinstance(node, Assign):
                target, value = node.inputs
                maker = value.node
                if (
                    isinstance(maker, Compute)
                    and id(maker) not in views
                    and id(maker) not in constants
                    and target.state is not None
                    and id(target.state) not in updated
                    and id(value) not in returned
                    and target.spec.device.backend.is_contiguous(target.state)
                    and self._touched[id(value)] == [self._place[id(node)]]
                    and self._is_left_alone(target, value, maker, self._place[id(node)])
                ):
                    self.target[id(value)] = target
                    self.assigned.add(id(node))
                    self.makers.add(id(maker))

    def _find_touched(self, graph: Graph, views: set[int]) -> None:
        """For each value that is no view, the places of the nodes that read or write it or a view of it."""
        base: dict[int, int] = {}
        for i, node in enumerate(graph.nodes):
            for x in node.reads():
                self._touched.setdefault(base.get(id(x), id(x)), []).append(i)
            if id(node) in views:
                source = id(node.inputs[0])
                base.update((id(y), base.get(source, source)) for y in node.outputs)

    def _is_left_alone(self, target: Value, value: Value, maker: Compute, end: int) -> bool:
        """Whether a state may change where the value is made already, instead of at the end."""
        start = self._place[id(maker)]
        between = [i for i in self._touched[id(target)] if start <= i < end]
        if not between:
            return True
        op, number = maker.op, next(k for k, y in enumerate(maker.outputs) if y is value)
        may = op.overwrites if maker.single else op.overwrites[number : number + 1]
        return between == [start] and any(at >= 0 and maker.inputs[at] is target for at in may)
