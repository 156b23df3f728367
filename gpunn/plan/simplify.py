"""What can go from a graph without a trace: what nobody reads, and what is computed twice."""

from __future__ import annotations

from typing import Any

from .graph import Assign, Compute, Graph, Node, ProductUpdate, ReduceStart, SpreadParameters, Update, Value


class Uses:
    """Who reads each value of a graph, and what is written to.

    Attributes:
        readers: for each value, by its id, the nodes that read it; one that reads it twice stands there twice.
        kept: the ids of values that the step returns.
        written: the ids of values whose memory an assignment changes: its target, what that is a view of, and all other
            views of it.
    """

    def __init__(self, graph: Graph):
        self.readers: dict[int, list[Node]] = {}
        self.kept = {id(v) for v in graph.results}
        base: dict[int, int] = {}
        targets: set[int] = set()
        for node in graph.nodes:
            for x in node.reads():
                self.readers.setdefault(id(x), []).append(node)
            if isinstance(node, Compute) and node.op.view:
                source = id(node.inputs[0])
                base.update((id(y), base.get(source, source)) for y in node.outputs)
            if isinstance(node, Assign):
                target = id(node.inputs[0])
                targets.add(base.get(target, target))
        self.written = targets | {view for view, owner in base.items() if owner in targets}

    def of(self, value: Value) -> list[Node]:
        """The nodes that read a value."""
        return self.readers.get(id(value), [])

    def only_read_by(self, value: Value, node: Node) -> bool:
        """Whether nothing but `node` needs the value."""
        return self.of(value) == [node] and id(value) not in self.kept and id(value) not in self.written


def without_dead_code(graph: Graph) -> int:
    """Take out what nobody reads. Returns how many nodes that were."""
    needed = {id(v) for v in graph.results}
    alive: list[Node] = []
    for node in reversed(graph.nodes):
        # What ranks do together all of them have to do.
        if isinstance(node, (Assign, Update, ProductUpdate, ReduceStart, SpreadParameters)) or any(
            id(y) in needed for y in node.outputs
        ):
            alive.append(node)
            needed.update(id(x) for x in node.reads())
    gone = len(graph.nodes) - len(alive)
    graph.nodes[:] = reversed(alive)
    return gone


def without_repetitions(graph: Graph) -> int:
    """Compute the same op on the same values once. Returns how many nodes went.

    Memory that is written to is left alone: it holds one thing at one time and another later. So do parameters, before
    and behind an update.
    """
    written = Uses(graph).written
    known: dict[Any, Compute] = {}
    base: dict[int, Value] = {}
    instead: dict[int, Value] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        replace(node, instead)
        if isinstance(node, (Update, ProductUpdate)):
            updated = {id(p._data) for p in node.params}
            known = {
                key: other
                for key, other in known.items()
                if other.op.view or not any(id(base.get(id(x), x).state) in updated for x in other.reads())
            }
        key = _key(node) if isinstance(node, Compute) else None
        if key is None or any(id(v) in written for v in (*node.reads(), *node.outputs)):
            kept.append(node)
        elif key in known:
            instead.update((id(y), z) for y, z in zip(node.outputs, known[key].outputs))
            continue
        else:
            assert isinstance(node, Compute)
            known[key] = node
            kept.append(node)
        if isinstance(node, Compute) and node.op.view:
            source = base.get(id(node.inputs[0]), node.inputs[0])
            base.update((id(y), source) for y in node.outputs)
    gone = len(graph.nodes) - len(kept)
    graph.nodes[:] = kept
    graph.results[:] = [instead.get(id(v), v) for v in graph.results]
    return gone


def replace(node: Node, instead: dict[int, Value]) -> None:
    """Let a node read other values in the place of some."""
    if any(id(x) in instead for x in node.inputs):
        node.inputs = tuple([instead.get(id(x), x) for x in node.inputs])


def _key(node: Compute) -> Any:
    """What makes two nodes compute the same; None for what never does, and for attributes that can't be compared."""
    if node.op.name == "Empty":
        return None
    key = (node.again, node.op.name, tuple(vars(node.op).items()), tuple(_identity(x) for x in node.inputs))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _identity(x: Any) -> Any:
    """A value is itself; of numbers, those of one type and value are the same, but no two random draws are."""
    return (type(x), x) if type(x) in (bool, int, float) or x is None else id(x)
