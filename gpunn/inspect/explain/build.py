"""From a traced step to variables and steps: the forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpunn.plan.graph import Assign, Compute, Node, ProductUpdate, Update, Value

from .backward import Backward
from .derivation import Variable
from .draft import Draft, count_of_mean
from .evaluate import Evaluated
from .formula import Item, parse
from .formula.bind import Given, forward, number
from .formula.tree import Symbol
from .memory import Lives
from .names import Names
from .statistics import statistics
from .tracing import Traced
from .update import update


class Builder:
    """Makes variables and steps.

    Args:
        traced: the step.
        evaluated: what came of it.
        l2: lambda of the penalty, 0 for none.

    Attributes:
        variables: in the order in which they were made.
        drafts: the steps.
        names: of the values of the forward.
        values: the elements of each value, by its id.
        primitives: for each op, by its node's id, the primitives that it called.
        lives: from when to when values lie in memory.
        place: where each node stands in the graph, by its id.
        backward_nodes: the ids of the nodes that belong to no forward.
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
        self.backward_nodes = self._backward_nodes()
        self.tensors: set[int] = set()
        """The ids of the variables with dimensions."""
        self.new_state: dict[int, int] = {}
        """For each parameter, by the id of its value, the variable that an update makes of it."""

    def build(self) -> None:
        """Make everything."""
        nodes = [n for n in self.graph.nodes if id(n) not in self.backward_nodes]
        nodes = [n for n in nodes if not isinstance(n, (Update, ProductUpdate))]
        self.names = Names([n for n in nodes if isinstance(n, Compute)], self.traced.loss)
        self._arguments()
        self._states(nodes)
        for node in nodes:
            self._forward(node)
        if self.l2:
            self._penalty()
        Backward(self).build()
        for node in self.graph.nodes:
            if isinstance(node, (Update, ProductUpdate)):
                self.drafts.append(update(self, node))

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
        if v.shape:
            self.tensors.add(v.id)
        self.of_value.setdefault(id(value), v.id)
        if of is not None and role == "gradient" and self.variables[of].gradient is None and "{" not in name:
            self.variables[of].gradient = v.id
        return v.id

    def renumber(self, kept: list[Variable], number: dict[int, int]) -> None:
        """Keep these variables alone, with these new ids."""
        self.variables[:] = kept
        self.tensors = {v.id for v in kept if v.shape}
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
        """What stands for an input of an op in a formula."""
        if isinstance(x, Value):
            return self.symbol(self.of_value[id(x)]) if id(x) in self.of_value else None
        return None if x is None or isinstance(x, str) else number(x)

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
        items = forward(node.op, [self.given_for(x) for x in node.inputs], given, self.tensors, count)
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
            self.named(f"s = lambda/2 ({squares})", named),
            self.named(f"J = {self.variables[loss].name} + s", named),
        ]
        self.drafts.append(
            Draft("forward", "Penalty", "", [], self.penalty_items, [loss, *weights], made, kind="penalty")
        )

    penalty_items: Sequence[Item] = ()

    def named(self, text: str, named: dict[str, int]) -> Item:
        """A formula in which names stand for variables."""

        def change(x: Item) -> Item:
            return self.symbol(named[x.name]) if isinstance(x, Symbol) and x.name in named else x

        return parse(text, named).map(change)
