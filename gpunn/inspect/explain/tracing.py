"""The step that is explained, as a graph, with what is the gradient of what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpunn import nn
from gpunn.autograd.mode import state
from gpunn.autograd.tape import wrap
from gpunn.plan import NotPlanned, Step
from gpunn.plan.graph import Graph, Node, Value
from gpunn.plan.simplify import without_dead_code, without_repetitions
from gpunn.tensor import Tensor

from .derivation import NotExplained

if TYPE_CHECKING:
    from gpunn.train.objective import Objective


@dataclass
class GradientOf:
    """The gradient of one op.

    Attributes:
        of: the op's node; None for an `autograd.Function`.
        name: the op's name.
        layer: the path of the module that the op belongs to.
        results: for each result of the op its gradient, or None.
        gives: what goes to each input that gets something: pairs (the input's place, the gradient).
        nodes: what is done for it, without what adds it to other gradients.
        adds: the additions: pairs (the input's place, the node).
    """

    of: Node | None
    name: str
    layer: str
    results: list[Value | None]
    gives: list[tuple[int, Value]] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    adds: list[tuple[int, Node]] = field(default_factory=list)


@dataclass
class Traced:
    """A step that is to be explained.

    Attributes:
        graph: what it does.
        loss: L.
        gradients: of each op, in the order in which they are computed.
        seed: the node that makes dL/dL = 1.
        before_penalty: for each parameter, by the id of its value, the gradient of L.
        total: likewise the gradient of J, which the optimizer takes.
    """

    graph: Graph
    loss: Value
    gradients: list[GradientOf]
    seed: Node
    before_penalty: dict[int, Value]
    total: dict[int, Value]


class ExplainedStep(Step):
    """A training step that notes what is the gradient of what while it is traced."""

    def __init__(self, model: nn.Module, objective: Objective, optimizer: Any):
        super().__init__(model, optimizer, keep_grads=True)
        self.objective = objective
        self._watched = _Watch()

    def body(self, *batch: Any) -> Any:
        """Forward, loss, backward, the penalty's gradient and the update."""
        for p in self.model.parameters():
            p.grad = None
        loss = self.objective.loss(self.model(*batch[:-1]), batch[-1])
        if not loss.requires_grad:
            raise NotExplained("no derivation: the loss depends on no parameter that requires a gradient")
        with self._watched.watching():
            loss.backward()
        self._watched.note(self.model)
        self.objective.add_penalty_gradient()
        if self.optimizer is not None:
            self.optimizer.step()
        return loss.detach()

    def traced(self, batch: Sequence[Tensor]) -> Traced:
        """The graph of the step on such a batch; nothing is computed, and everything is left as it is.

        Raises:
            NotExplained: the step has no place in a graph.
        """
        self._watched = _Watch()
        self._see_changes(count=False)
        try:
            graph, tracer = self._trace([wrap(None, x._spec) for x in batch])
        except NotPlanned as error:
            raise NotExplained(f"no derivation: {error}, which has no place in a graph") from None
        values = {id(v): v for node in graph.nodes for v in node.outputs}
        states = {id(v.state): v for v in graph.states}
        before = {id(states[p]): values[g] for p, g in self._watched.gradients if p in states}
        kept = graph.results[1:]
        total = {id(states[id(p._data)]): g for p, g in zip(tracer.kept, kept) if id(p._data) in states}
        gradients, seed = self._watched.found(values)
        if self.optimizer is not None:  # the update is the end of the gradients
            del graph.results[1:]
        traced = Traced(graph, graph.results[0], gradients, seed, before, total)
        _simplify(traced)
        return traced


def _simplify(traced: Traced) -> None:
    """Take out of the graph what a plan takes out: dead code, and what is computed twice."""
    graph = traced.graph
    without_dead_code(graph)
    named = [v for g in traced.gradients for v in (*g.results, *(v for _, v in g.gives)) if v is not None]
    named += [*traced.before_penalty.values(), *traced.total.values()]
    kept = len(graph.results)
    graph.results += named  # so that what stands for them is found
    without_repetitions(graph)
    instead = {id(v): w for v, w in zip(named, graph.results[kept:])}
    del graph.results[kept:]
    traced.loss = graph.results[0]
    for g in traced.gradients:
        g.results = [None if v is None else instead[id(v)] for v in g.results]
        g.gives = [(place, instead[id(v)]) for place, v in g.gives]
    for found in (traced.before_penalty, traced.total):
        found.update((key, instead[id(v)]) for key, v in list(found.items()))


class _Watch:
    """Between the engine and the tracer: notes which gradient is computed when. Of values it keeps the ids alone.

    Gradients within a gradient, which are taken of a formula, are part of it and are not noted.
    """

    _tracer: Any
    _nodes: list[Node]

    def __init__(self) -> None:
        self._last = -1  # the order of the last node of the tape
        self._events: list[_Event] = []
        self._start = 0
        self.gradients: list[tuple[int, int]] = []
        """The ids of parameters' arrays, each with that of the value of its gradient."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, the engine speaks to this."""
        self._tracer, self._nodes = state.tracer, state.tracer.graph.nodes
        outside, state.watcher = state.watcher, self
        try:
            yield
        finally:
            state.watcher = outside

    def note(self, model: nn.Module) -> None:
        """Note the gradients that the parameters have."""
        self.gradients = [(id(p._data), id(p.grad._data)) for p in model.parameters() if p.grad is not None]

    @property
    def layer(self) -> str:
        """The tracer's."""
        return str(self._tracer.layer)

    @layer.setter
    def layer(self, path: str) -> None:
        self._tracer.layer = path

    @property
    def written(self) -> Any:
        """The tracer's."""
        return self._tracer.written

    def enter(self, module: Any) -> str:
        """A module's forward begins."""
        return str(self._tracer.enter(module))

    def enter_gradient(self, node: Any, dys: Sequence[Any]) -> None:
        """The gradient of what a node of the tape did comes next."""
        self._tracer.enter_gradient(node, dys)
        if self._last < 0:
            self._last, self._start = node.order, len(self._nodes)
        elif node.order <= self._last and dys:
            of = node.written if node.written is not None and getattr(node.written, "op", None) is node.op else None
            results = [None if g is None else id(g._data) for g in dys]
            self._events.append(_Event(of, node.name, node.layer, results, len(self._nodes)))

    def give_gradient(self, node: Any, place: int, gradient: Any) -> None:
        """What of it goes to an input."""
        if node.order <= self._last:
            self._events[-1].gives.append((place, id(gradient._data), len(self._nodes)))

    def found(self, values: dict[int, Value]) -> tuple[list[GradientOf], Node]:
        """What was noted, and the node that made the gradient of the loss with respect to itself."""
        found = []
        # One value may be given several times, as by x + x; what was given last before an addition is what it adds.
        last = {give[2]: give for event in self._events for give in event.gives}
        for event, following in zip(self._events, [*self._events[1:], None]):
            results = [None if g is None else values.get(g) for g in event.results]
            gradient = GradientOf(event.of, event.name, event.layer, results)
            end = event.gives[-1][2] if event.gives else event.start
            added: set[int] = set()
            for give in event.gives:
                place, g, at = give
                gradient.gives.append((place, values[g]))
                if last[at] is give and at < len(self._nodes) and self._is_sum(self._nodes[at], g):
                    gradient.adds.append((place, self._nodes[at]))
                    added.add(at)
            end = end + (end in added) if following is None else following.start
            gradient.nodes = [self._nodes[i] for i in range(event.start, end) if i not in added]
            found.append(gradient)
        return found, self._nodes[self._start]

    @staticmethod
    def _is_sum(node: Node, gradient: int) -> bool:
        return node.name == "Add" and id(node.inputs[1]) == gradient


@dataclass
class _Event:
    """What `GradientOf` says, by ids of values and places in the graph."""

    of: Node | None
    name: str
    layer: str
    results: list[int | None]
    start: int
    gives: list[tuple[int, int, int]] = field(default_factory=list)
