"""Which values of a graph need memory, and from which node to which."""

from __future__ import annotations

from gpunn.optim.arena import arranged

from .graph import Assign, Compute, Graph, ProductUpdate, ReduceEnd, ReduceStart, Update, Value
from .in_place import InPlace
from .memory import Storage
from .simplify import Uses

CONSTANT_BYTES = 4096
"""Up to so many bytes, what depends on nothing is computed once and kept."""


class Liveness:
    """The memory that a graph needs.

    Views own none: what reads a view reads the value that it shows. Nor does what is made where it is assigned to
    (`gpunn.plan.in_place`). A result may take over the memory of an input that
    nobody reads later, where the op allows that. Gradients that one optimizer step takes lie one behind the other, as
    their parameters do, so that one walk updates them all. So do gradients that are summed over all ranks, and they are
    made where their sums come to lie.

    Args:
        graph: the step.
        views: the ids of the nodes whose results show the memory of their first input.
        in_place: whether results may take over memory.
        copied: whether the step works on copies of all arguments; else only of those that it writes to.

    Attributes:
        owner: for each value that owns no memory, by its id, the value whose memory it shows or takes over.
        storages: one for each value that owns memory while a step is done, or for gradients that lie together.
        kept: one for each value that owns memory from step to step, a constant.
        place: for each value that owns memory, by its id, the storage and its number there.
        constants: the ids of nodes that are computed once.
        copied: the arguments that need memory for a copy.
        written: those of them that the step writes to, by their places.
        taken_over: how many results took over memory.
        assigned: the ids of assignments that have nothing to do.
        first_write: the first node that writes to what was there before the step; the number of nodes if none does.
    """

    def __init__(self, graph: Graph, views: set[int], in_place: bool = True, copied: bool = False):
        self.owner: dict[int, Value] = {}
        self.storages: list[Storage] = []
        self.kept: list[Storage] = []
        self.place: dict[int, tuple[Storage, int]] = {}
        self.taken_over = 0
        written = Uses(graph).written
        self.written = {i: v for i, v in enumerate(graph.arguments) if id(v) in written}
        self.copied = list(graph.arguments) if copied else list(self.written.values())
        self.constants = {id(n) for n in graph.nodes if id(n) not in views and _is_constant(n, written)}
        in_states = InPlace(graph, views, self.constants)
        self.assigned = in_states.assigned
        self.first_write = _first_write(graph, in_states)
        self.owner.update(in_states.target)
        self._place_reduced(graph, views)
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        made = self._find_lives(graph, views)
        starts = [node for node in graph.nodes if isinstance(node, ReduceStart)]
        together = [[y for start in reversed(starts) for y in start.outputs]]  # the last bucket starts first
        together += [self._together(node) for node in graph.nodes if isinstance(node, Update)]
        fixed = {id(v) for group in together for v in group} | {id(self.owned(v)) for v in graph.results}
        fixed.update(self.place)
        if in_place:
            self._take_over(graph, fixed)
        grouped = {id(v) for group in together for v in group}
        for group in (*together, *([v] for v in made if id(v) not in grouped and id(v) not in self.owner)):
            if group:
                first, last = min(self._first[id(v)] for v in group), max(self._last[id(v)] for v in group)
                storage = Storage([v.spec.nbytes for v in group], first, last)
                self.storages.append(storage)
                self.place.update((id(v), (storage, k)) for k, v in enumerate(group))

    def owned(self, value: Value) -> Value:
        """The value whose memory this one lies in; itself, if it owns some."""
        while id(value) in self.owner:
            value = self.owner[id(value)]
        return value

    def _find_lives(self, graph: Graph, views: set[int]) -> list[Value]:
        """From where to where each value lives; returns those that own memory while a step is done."""
        made: list[Value] = list(self.copied)
        end = len(graph.nodes)
        for x in made:
            self._first[id(x)] = self._last[id(x)] = 0
        for i, node in enumerate(graph.nodes):
            for x in node.reads():
                self._last[id(self.owned(x))] = i
            for y in node.outputs:
                if id(node) in views:
                    self.owner[id(y)] = self.owned(node.inputs[0])
                    continue
                if id(y) in self.owner:
                    self._first.setdefault(id(self.owned(y)), i)
                    continue
                if id(node) in self.constants:
                    self.kept.append(Storage([y.spec.nbytes], 0, end))
                    self.place[id(y)] = self.kept[-1], 0
                    continue
                self._first.setdefault(id(y), i)
                self._last[id(y)] = i
                made.append(y)
        for y in (*graph.results, *self.written.values()):
            self._last[id(self.owned(y))] = end
        return made

    def _place_reduced(self, graph: Graph, views: set[int]) -> None:
        """Let gradients that are summed over all ranks, and their sums, lie in the memory of a `ReduceStart`."""
        uses = Uses(graph)
        for node in graph.nodes:
            if isinstance(node, ReduceEnd):
                self.owner.update((id(z), y) for y, z in zip(node.inputs, node.outputs))
            elif isinstance(node, ReduceStart):
                for x, y in zip(node.inputs, node.outputs):
                    maker = x.node
                    made = isinstance(maker, Compute) and id(maker) not in views and id(maker) not in self.constants
                    if made and uses.only_read_by(x, node) and id(x) not in self.owner:
                        self.owner[id(x)] = y

    def _together(self, node: Update) -> list[Value]:
        """The gradients of an optimizer's step that own their memory, in the order of the parameters', each once."""
        group: dict[int, Value] = {}
        given = {id(p): g for p, g in zip(node.params, node.inputs)}
        groups = ([p for p in options["params"] if id(p) in given] for options in node.optimizer.param_groups)
        for g in [given[id(p)] for params in groups for p in arranged(params)]:
            if g.node is not None and id(g) not in self.owner and id(g) not in self.place:
                group[id(g)] = g
        return list(group.values())

    def _take_over(self, graph: Graph, fixed: set[int]) -> None:
        """Let results lie where an input of theirs does, which nobody reads later."""
        for i, node in enumerate(graph.nodes):
            if not isinstance(node, Compute) or not node.single or id(node) in self.constants:
                continue
            y = node.outputs[0]
            if id(y) in self.owner or id(y) in fixed:
                continue
            for at in node.op.overwrites:
                x = node.inputs[at]
                if not isinstance(x, Value) or x.spec != y.spec:
                    continue
                owner = self.owned(x)
                if owner.spec != x.spec:
                    continue
                alone = [self.owned(z) for z in node.reads()].count(owner) == 1
                if owner.node is None or id(owner) in fixed or self._last[id(owner)] != i or not alone:
                    continue
                self.owner[id(y)] = owner
                self._last[id(owner)] = self._last[id(y)]
                self.taken_over += 1
                break


def _first_write(graph: Graph, in_states: InPlace) -> int:
    for i, node in enumerate(graph.nodes):
        if isinstance(node, (Update, ProductUpdate)) or id(node) in in_states.makers:
            return i
        if isinstance(node, Assign) and node.inputs[0].state is not None:
            return i
    return len(graph.nodes)


def _is_constant(node: object, written: set[int]) -> bool:
    """Whether a node computes the same small thing at every step."""
    return (
        isinstance(node, Compute)
        and node.op.name != "Empty"
        and all(type(x) in (bool, int, float, type(None)) for x in node.inputs)
        and sum(y.spec.nbytes for y in node.outputs) <= CONSTANT_BYTES
        and not any(id(y) in written for y in node.outputs)
    )
