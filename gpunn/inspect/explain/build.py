"""From a traced step to its derivation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from gpunn.backend.kernel import KernelBackend
from gpunn.inspect.primitives import kernel_texts_of
from gpunn.ops.elementwise import Elementwise
from gpunn.ops.linear import PLAIN as LINEAR
from gpunn.plan.graph import Assign, Compute, Node, ProductUpdate, Update, Value

from .derivation import Formula, Jacobian, Step, Variable
from .evaluate import Evaluated, updated
from .formula import Item, latex, mathml, parse, unicode
from .formula.bind import Given, forward, gradient, number
from .formula.of_op import formulas_of
from .formula.tree import Bracket, Over, Row, Sign, Symbol, Text, row
from .memory import Lives
from .names import Names
from .numeric import jacobian
from .sentences import Sentences, title
from .statistics import statistics
from .tracing import GradientOf, Traced


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


class Builder:
    """Makes variables and steps.

    Args:
        traced: the step.
        evaluated: what came of it.
        l2: lambda of the penalty, 0 for none.

    Attributes:
        variables: in the order in which they were made.
        drafts: the steps.
        node_of: for each step, by its number, the node of the forward that it is, or whose gradient it is.
    """

    def __init__(self, traced: Traced, evaluated: Evaluated, l2: float):
        self.traced = traced
        self.graph = traced.graph
        self.l2 = l2
        self.variables: list[Variable] = []
        self.drafts: list[Draft] = []
        self.of_value: dict[int, int] = {}
        """For each value the id of its variable; of a gradient, of the first of its names."""
        self.gradient_of: dict[int, int] = {}
        """For each value of the forward the id of the variable that is its gradient."""
        self.values = evaluated.elements
        self.primitives = evaluated.primitives
        self.lives = Lives(self.graph)
        self.place = {id(node): i for i, node in enumerate(self.graph.nodes)}
        self._backward = self._backward_nodes()
        self._parts: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        self._given: dict[int, int] = {}
        self.new_state: dict[int, int] = {}
        """For each parameter, by the id of its value, the variable that an update makes of it."""

    # All ------------------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Make everything."""
        forward_nodes = [n for n in self.graph.nodes if id(n) not in self._backward and not isinstance(n, Update)]
        self.names = Names([n for n in forward_nodes if isinstance(n, Compute)], self.traced.loss)
        self._arguments()
        self._states(forward_nodes)
        for node in forward_nodes:
            self._forward(node)
        if self.l2:
            self._penalty()
        self._count_parts()
        self._seed()
        for g in self.traced.gradients:
            self._gradient(g)
        self._rest()
        for node in self.graph.nodes:
            if isinstance(node, (Update, ProductUpdate)):
                self.update(node)

    def _backward_nodes(self) -> set[int]:
        """The ids of the nodes of gradients: those noted, and what comes behind them."""
        noted = {id(self.traced.seed)}
        for g in self.traced.gradients:
            noted.update(id(n) for n in g.nodes)
            noted.update(id(n) for _, n in g.adds)
        last = max((self.place[n] for n in noted if n in self.place), default=len(self.graph.nodes))
        noted.update(id(n) for n in self.graph.nodes[last + 1 :] if isinstance(n, Compute))
        return noted

    # Variables --------------------------------------------------------------------------------------------------------

    def variable(
        self,
        value: Value,
        name: str,
        role: str,
        layer: str = "",
        of: int | None = None,
        elements: np.ndarray | None = None,
    ) -> int:
        """Make a variable of a value; its id."""
        elements = self.values.get(id(value)) if elements is None else elements
        v = Variable(
            id=len(self.variables),
            name=name,
            role=role,
            layer=layer,
            path=value.name,
            shape=value.spec.shape,
            dtype=value.spec.dtype.name,
            nbytes=value.spec.nbytes,
            value=elements,
            statistics=None if elements is None else statistics(elements),
            memory=self.lives.memory(value),
            of=of,
        )
        self.variables.append(v)
        self.of_value.setdefault(id(value), v.id)
        if of is not None and role == "gradient" and self.variables[of].gradient is None and "{" not in name:
            self.variables[of].gradient = v.id
        return v.id

    def renumber(self, kept: list[Variable], number: dict[int, int]) -> None:
        """Keep these variables alone, with these new ids."""
        self.variables[:] = kept
        for ids in (self.of_value, self.gradient_of, self.new_state):
            for key, i in list(ids.items()):
                if i in number:
                    ids[key] = number[i]
                else:
                    del ids[key]

        def renamed(x: Item) -> Item:
            return Symbol(x.name, number.get(x.variable)) if isinstance(x, Symbol) and x.variable is not None else x

        for d in self.drafts:
            d.inputs = [number[i] for i in d.inputs]
            d.outputs = [number[i] for i in d.outputs]
            d.items = [item.map(renamed) for item in d.items]

    def symbol(self, variable: int) -> Symbol:
        """A variable in a formula."""
        return Symbol(self.variables[variable].name, variable)

    def given_for(self, x: Any) -> Given:
        if isinstance(x, Value):
            return self.symbol(self.of_value[id(x)]) if id(x) in self.of_value else None
        return None if x is None or isinstance(x, str) else number(x)

    def tensors(self) -> list[int]:
        return [v.id for v in self.variables if v.shape]

    def _arguments(self) -> None:
        *inputs, target = self.graph.arguments
        for i, v in enumerate(inputs, 1):
            letter = "X" if v.spec.ndim else "x"
            self.variable(v, self.names.unique(letter if len(inputs) == 1 else f"{letter}{i}"), "input")
        self.variable(target, self.names.unique("y"), "target")

    def _states(self, nodes: Sequence[Node]) -> None:
        """Parameters, buffers and constants, in the order in which they are read."""
        trained = set(self.traced.total)
        for node in nodes:
            for x in node.reads():
                if x.state is not None and id(x) not in self.of_value:
                    role = "parameter" if id(x) in trained else "buffer" if x.name else "constant"
                    self.variable(x, self.names.state(x), role, x.name.rpartition(".")[0])

    # Forward ----------------------------------------------------------------------------------------------------------

    def _forward(self, node: Node) -> None:
        if isinstance(node, Assign):
            return self._assign(node)
        assert isinstance(node, Compute)
        inputs = [self.of_value[id(x)] for x in node.reads()]
        outputs = []
        for y in node.outputs:
            role = "loss" if y is self.traced.loss or self.names.of[id(y)][:1] == "L" else "activation"
            outputs.append(self.variable(y, self.names.of[id(y)], role, node.layer))
        given = [self.symbol(v) for v in outputs]
        count = count_of_mean(node)
        items = forward(node.op, [self.given_for(x) for x in node.inputs], given, self.tensors(), count)
        self.drafts.append(Draft("forward", node.name, node.layer, [node], items, inputs, outputs))
        return None

    def _assign(self, node: Assign) -> None:
        """State becomes a value: part of the step that makes it."""
        target, value = (self.of_value[id(x)] for x in node.inputs)
        maker = next(d for d in reversed(self.drafts) if value in d.outputs or d.phase == "forward")
        if value in maker.outputs:
            self.variables[value].role = "state"
            maker.nodes.append(node)
            return
        name = self.variables[target].name
        new = self.variable(node.inputs[1], f"{name}'", "state", self.variables[target].layer)
        items = [parse(f"{name}' = x").map(lambda x: self.symbol(value) if x == Symbol("x") else x)]
        self.drafts.append(Draft("forward", "Assign", "", [node], items, [value], [new]))

    def _penalty(self) -> None:
        """s, and J = L + s."""
        decayed = [p for p, g in self.traced.total.items() if self.traced.before_penalty.get(p) is not g]
        weights = sorted(self.of_value[p] for p in decayed if p in self.of_value)
        loss = self.of_value[id(self.traced.loss)]
        values = [self.variables[w].value for w in weights]
        s = j = None
        if all(v is not None for v in values) and self.variables[loss].value is not None:
            s = np.asarray(0.5 * self.l2 * sum(float((np.asarray(v, np.float64) ** 2).sum()) for v in values))
            j = np.asarray(float(self.variables[loss].value) + s)  # type: ignore[arg-type]
        made = []
        for name, value in (("s", s), ("J", j)):
            v = Variable(len(self.variables), self.names.unique(name), "loss", "", "", (), "float64", 8, value)
            v.statistics = None if value is None else statistics(value)
            self.variables.append(v)
            made.append(v.id)
        squares = " + ".join(f"||{self.variables[w].name}||^2" for w in weights) or "0"
        named = {self.variables[v].name: v for v in (*weights, *made, loss)}
        self.penalty_items = [
            self._named(f"s = lambda/2 ({squares})", named),
            self._named(f"J = {self.variables[loss].name} + s", named),
        ]
        self.drafts.append(
            Draft("forward", "Penalty", "", [], self.penalty_items, [loss, *weights], made, kind="penalty")
        )

    penalty_items: Sequence[Item] = ()

    def _named(self, text: str, named: dict[str, int]) -> Item:
        """A formula in which names stand for variables."""

        def change(x: Item) -> Item:
            return self.symbol(named[x.name]) if isinstance(x, Symbol) and x.name in named else x

        return parse(text, named).map(change)

    # Backward ---------------------------------------------------------------------------------------------------------

    def _count_parts(self) -> None:
        """How many gradients come together at each value."""
        for g in self.traced.gradients:
            for place, _ in g.gives:
                x = g.of.inputs[place] if g.of is not None else None
                if isinstance(x, Value):
                    self._parts[id(x)] = self._parts.get(id(x), 0) + 1

    def _is_penalised(self, x: Value) -> bool:
        before = self.traced.before_penalty.get(id(x))
        return before is not None and self.traced.total[id(x)] is not before

    def _gradient_name(self, x: Value, part: str = "") -> str:
        return f"d{self.variables[self.of_value[id(x)]].name}" + (f"{{{part}}}" if part else "")

    def _gradient_variable(self, value: Value, x: Value, part: str = "") -> int:
        """The variable that is the gradient of x, or a part of it."""
        of = self.of_value[id(x)]
        made = self.variable(value, self._gradient_name(x, part), "gradient", self.variables[of].layer, of)
        if not part:
            self.gradient_of[id(x)] = made
        return made

    def _seed(self) -> None:
        loss = self.traced.loss
        made = self._gradient_variable(self.traced.seed.outputs[0], loss)
        name = self.variables[self.of_value[id(loss)]].name
        items = [self._named(f"d{name} = 1", {f"d{name}": made})]
        nodes = [self.traced.seed] if id(self.traced.seed) in self.place else []
        self.drafts.append(Draft("backward", "Seed", "", nodes, items, [], [made], kind="seed"))

    def _gradient(self, g: GradientOf) -> None:
        """The gradient of one op, and what is added up behind it."""
        alive = [n for n in g.nodes if id(n) in self.place]
        adds = dict(g.adds)
        dys, outputs, gives, behind = [], [], {}, []
        for k, dy in enumerate(g.results):
            y = g.of.outputs[k] if g.of is not None else None
            known = None if y is None else self.gradient_of.get(id(y))
            dys.append(known if known is not None or dy is None else self.of_value.get(id(dy)))
        for place, value in g.gives:
            x = g.of.inputs[place] if g.of is not None else None
            if x is None:
                made = self.variable(value, self.names.unique("G"), "gradient", g.layer)
                outputs.append(made)
                continue
            part, final = self._part(x, value)
            made = self._gradient_variable(value, x, part)
            outputs.append(made)
            gives[place] = self.symbol(made)
            if place in adds:
                behind.append((x, made, adds[place], final))
            elif part:
                self._given[id(x)] = made
        items = self._gradient_items(g, dys, gives)
        inputs = self._read_by(alive, [d for d in dys if d is not None], outputs, g)
        self.drafts.append(Draft("backward", g.name, g.layer, alive, items, inputs, outputs, g))
        for x, made, node, final in behind:
            self._add(x, made, node, final)

    def _part(self, x: Value, value: Value) -> tuple[str, bool]:
        """Which part of a gradient comes next, and whether it is the last; no part where there is but one."""
        parts = self._parts[id(x)]
        count = self._seen[id(x)] = self._seen.get(id(x), 0) + 1
        return self._whole(x, value) if parts == 1 else str(count), count == parts

    def _whole(self, x: Value, value: Value) -> str:
        """The part that a whole gradient of L is: none, unless the penalty's comes to it, or it is copied."""
        before = self.traced.before_penalty.get(id(x))
        if before is None:
            return ""
        return "view" if value is not before else "L" if self._is_penalised(x) else ""

    def _gradient_items(self, g: GradientOf, dys: list[int | None], gives: dict[int, Given]) -> list[Item]:
        if not isinstance(g.of, Compute):  # a function of one's own
            made = [self.symbol(self.of_value[id(v)]) for _, v in g.gives if id(v) in self.of_value]
            read = [self.symbol(d) for d in dys if d is not None]
            return [Row((m, Sign("="), Text(f"{g.name}.backward"), Bracket("()", row(*read)))) for m in made]
        if not gives:
            return []
        items = gradient(
            g.of.op,
            [self.given_for(x) for x in g.of.inputs],
            [self.given_for(y) for y in g.of.outputs],
            [None if d is None else self.symbol(d) for d in dys],
            gives,
            self.tensors(),
            count_of_mean(g.of),
        )
        if isinstance(g.of.op, Elementwise) and dys[0] is not None:
            items = [self._summed(item, self.variables[dys[0]].shape) for item in items]
        return items

    def _summed(self, item: Item, shape: tuple[int, ...]) -> Item:
        """An equation dx = ..., with the sum over the dimensions along which x was broadcast."""
        if not isinstance(item, Row) or not isinstance(item.items[0], Symbol) or item.items[0].variable is None:
            return item
        if self.variables[item.items[0].variable].shape == shape:
            return item
        body = row(*item.items[2:])
        if any(isinstance(x, Sign) and x.mark in "+-" for x in getattr(body, "items", ())[1:]):
            body = Bracket("()", body)
        return Row((*item.items[:2], Over("sum", body, Text("what it was broadcast to"))))

    def _read_by(self, nodes: Sequence[Node], dys: list[int], outputs: list[int], g: GradientOf) -> list[int]:
        """The variables that a gradient reads: the gradients of its results, and what the forward kept for it."""
        made = {id(y) for n in nodes for y in n.outputs}
        results = {id(v) for v in g.results if v is not None}
        found = list(dys)
        for n in nodes:
            for x in n.reads():
                if id(x) not in made and id(x) not in results and id(x) in self.of_value:
                    found.append(self.of_value[id(x)])
        return list(dict.fromkeys(v for v in found if v not in outputs))

    def _add(self, x: Value, made: int, node: Node, final: bool) -> None:
        """What comes to a gradient from another reader of x is added to what is there."""
        before = self._given[id(x)]
        if final:
            part = self._whole(x, node.outputs[0])
        else:
            part = self.variables[before].name.partition("{")[2].rstrip("}")
            part += "+" + self.variables[made].name.partition("{")[2].rstrip("}")
        total = self._gradient_variable(node.outputs[0], x, part)
        self._given[id(x)] = total
        names = {self.variables[v].name: v for v in (total, before, made)}
        items = [self._named(f"{self.variables[total].name} = {' + '.join(list(names)[1:])}", names)]
        nodes = [node] if id(node) in self.place else []
        draft = Draft("backward", "Add", self.variables[total].layer, nodes, items, [before, made], [total], kind="add")
        self.drafts.append(draft)

    def _rest(self) -> None:
        """Behind all gradients: that of the penalty, and copies."""
        done = {id(n) for d in self.drafts for n in d.nodes}
        of_total = {id(g): x for found in (self.traced.before_penalty, self.traced.total) for x, g in found.items()}
        states = {id(v): v for v in self.graph.states}
        for node in self.graph.nodes:
            if not isinstance(node, Compute) or id(node) in done or id(node) not in self._backward:
                continue
            y = node.outputs[0]
            x = states.get(of_total.get(id(y), 0))
            inputs = [self.of_value[id(v)] for v in node.reads() if id(v) in self.of_value]
            if node.name == "Mul" and self.l2 and isinstance(node.inputs[0], Value) and node.inputs[0].state is not None:
                weight = node.inputs[0]
                made = self._gradient_variable(y, weight, "s")
                named = {self.variables[v].name: v for v in (made, *inputs)}
                items = [self._named(f"{self.variables[made].name} = lambda {self.variables[inputs[0]].name}", named)]
                draft = Draft("backward", "Penalty", self.variables[made].layer, [node], items, inputs, [made])
                draft.kind = "decay"
            elif x is not None:
                part = "L" if node.name == "Clone" and self._is_penalised(x) else ""
                made = self._gradient_variable(y, x, part)
                names = {self.variables[v].name: v for v in (made, *inputs)}
                joined = " + ".join(self.variables[v].name for v in inputs)
                items = [self._named(f"{self.variables[made].name} = {joined}", names)]
                draft = Draft("backward", node.name, self.variables[made].layer, [node], items, inputs, [made])
                draft.kind = "decayed" if node.name == "Add" else "copy"
            else:
                made = self.variable(y, self.names.unique("T"), "gradient", node.layer)
                given = [self.given_for(v) for v in node.inputs]
                items = forward(node.op, given, [self.symbol(made)], self.tensors())
                draft = Draft("backward", node.name, node.layer, [node], items, inputs, [made])
            self.drafts.append(draft)

    # Update -----------------------------------------------------------------------------------------------------------

    def update(self, node: Update | ProductUpdate) -> None:
        optimizer = node.optimizer
        states = {id(v.state): v for v in self.graph.states}
        inputs = [self.of_value[id(g)] for g in node.reads() if id(g) in self.of_value]
        elements: list[Any] = [None] * len(node.params)
        if isinstance(node, Update) and all(id(g) in self.values for g in node.reads()):
            gradients = [self.values[id(g)] for g in node.reads()]
            elements = updated(node, self.graph.arguments[0].spec.device.backend, gradients)
        outputs = []
        for p, new in zip(node.params, elements):
            x = states.get(id(p._data))
            if x is None or id(x) not in self.of_value:
                continue
            old = self.of_value[id(x)]
            inputs.append(old)
            made = self.new_state.get(id(x))
            if made is None:
                name = f"{self.variables[old].name}'"
                made = self.new_state[id(x)] = self.variable(x, name, "state", self.variables[old].layer, None, new)
                if new is None:
                    self.variables[made].value = self.variables[made].statistics = None
            outputs.append(made)
        items = [parse(text, ("b", "d", "g", "p", "m", "v")) for text in _update_formulas(type(optimizer))]
        if isinstance(node, ProductUpdate):
            items = [*self._product(node), *items]
        draft = Draft("update", type(optimizer).__name__, "", [node], items, inputs, outputs, kind="update")
        draft.sentences = [_options(optimizer)]
        self.drafts.append(draft)

    def _product(self, node: ProductUpdate) -> list[Item]:
        """The gradients that are used as they are made."""
        states = {id(v.state): self.of_value[id(v)] for v in self.graph.states if id(v) in self.of_value}
        names = [None if p is None else self.variables[states[id(p._data)]].name for p in (node.weight, node.bias)]
        gives: dict[int, Given] = {place: Symbol(f"d{name}") for place, name in enumerate(names, 1) if name}
        dz, x = node.inputs
        return gradient(LINEAR, [self.given_for(x), None, None], [None], [self.given_for(dz)], gives, self.tensors())

    # Steps ------------------------------------------------------------------------------------------------------------

    def steps(self) -> list[Step]:
        """The steps with their numbers; variables know by which of them they are made, read and freed."""
        made: list[Step] = []
        number_of: dict[int, int] = {}
        at = 0
        for n, draft in enumerate(self.drafts, 1):
            places = [self.place[id(node)] for node in draft.nodes]
            at = max(places, default=at)
            number_of.update((place, n) for place in places)
            live = max((self.lives.in_use[p] for p in places), default=self.lives.in_use[at] if self.lives.in_use else 0)
            primitives = [name for x in draft.nodes for name in self.primitives.get(id(x), ())]
            primitives = list(dict.fromkeys(primitives))
            made.append(
                Step(
                    number=n,
                    phase=draft.phase,
                    op=draft.op,
                    layer=draft.layer,
                    title=title(draft),
                    formulas=[formula(item) for item in draft.items],
                    inputs=draft.inputs,
                    outputs=draft.outputs,
                    sentences=list(draft.sentences),
                    gradient_of=None,
                    primitives=primitives,
                    kernels=_kernels_of(tuple(primitives)),
                    live_bytes=live,
                )
            )
            for v in draft.inputs:
                self.variables[v].read_by.append(n)
            for v in draft.outputs:
                self.variables[v].written_by = n
        forward_of = {id(d.nodes[0]): n for n, d in enumerate(self.drafts, 1) if d.phase == "forward" and d.nodes}
        for draft, step in zip(self.drafts, made):
            if draft.gradient is not None and draft.gradient.of is not None:
                step.gradient_of = forward_of.get(id(draft.gradient.of))
        self._free(number_of)
        told = Sentences(self, made)
        for draft, step in zip(self.drafts, made):
            step.sentences = [*told.of(draft, step), *draft.sentences]
        self._jacobians(made)
        return made

    def _jacobians(self, steps: Sequence[Step]) -> None:
        """The Jacobians of the steps of the forward, where they are small, and there are numbers."""
        for draft, step in zip(self.drafts, steps):
            if draft.phase != "forward" or len(draft.nodes) != 1 or not isinstance(draft.nodes[0], Compute):
                continue
            node = draft.nodes[0]
            for place, x in enumerate(node.inputs):
                v = self.of_value.get(id(x)) if isinstance(x, Value) else None
                if v is None or self.variables[v].gradient is None or id(node.outputs[0]) not in self.values:
                    continue
                found = jacobian(node, place, self.values)
                if found is not None:
                    step.jacobians.append(Jacobian(self.of_value[id(node.outputs[0])], v, found))

    def activations(self) -> dict[int, str]:
        """By the id of a variable, the activation that made it."""
        found = {}
        for draft in self.drafts:
            if draft.phase == "forward" and draft.nodes and isinstance(draft.nodes[0], Compute):
                op = draft.nodes[0].op
                kind = {"Sigmoid": "sigmoid", "Tanh": "tanh"}.get(op.name)
                kind = kind or getattr(op, "kind", getattr(op, "activation", None))
                if isinstance(kind, str) and draft.outputs:
                    found[draft.outputs[0]] = kind
        return found

    def affine(self) -> list[tuple[int, int | None]]:
        """For each use of a layer with a weight, the ids of its result and of its weight."""
        found = []
        for draft in self.drafts:
            weights = [i for i in draft.inputs if self.variables[i].role == "parameter"]
            weights = [i for i in weights if len(self.variables[i].shape) > 1]
            if draft.phase == "forward" and draft.nodes and weights:
                found.append((draft.outputs[0], weights[0]))
        return found

    def _free(self, number_of: dict[int, int]) -> None:
        """After which step the memory of each variable is free."""
        values = {id(v): v for n in self.graph.nodes for v in n.outputs}
        ends: dict[int, int | None] = {}
        for key, first in self.of_value.items():
            if key in values:
                last = self.lives.last(values[key])
                memory = self.variables[first].memory
                if memory is not None:
                    ends[memory] = None if last is None else number_of.get(last, max(number_of.values()))
        for v in self.variables:
            if v.memory is not None and v.written_by is not None:
                v.freed_after = ends.get(v.memory)


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


@lru_cache(maxsize=None)
def _kernels_of(primitives: tuple[str, ...]) -> list[str]:
    """The kernel texts that primitives are made of on a GPU."""
    return sorted({text for name in primitives for text in kernel_texts_of(getattr(KernelBackend, name, None))})


def _update_formulas(optimizer: type) -> list[str]:
    """The lines of an optimizer's docstring that say what becomes what."""
    lines = [line.strip() for cls in optimizer.__mro__ for line in (cls.__doc__ or "").split("\n") if " <- " in line]
    return [line.split("  ")[0] for line in lines]


def _options(optimizer: Any) -> str:
    group = optimizer.param_groups[0]
    told = [f"{name} = {value}" for name, value in group.items() if name != "params" and value not in (None, False, 0)]
    return "for each parameter p with its gradient g; " + ", ".join(told)


def source_of(op: type) -> str:
    """The book or paper that an op's docstring names."""
    return formulas_of(op).source
