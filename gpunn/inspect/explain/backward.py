"""The steps of the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpunn.ops.elementwise import Elementwise
from gpunn.plan.graph import Compute, Node, Value

from .draft import Draft, count_of_mean
from .formula import Item
from .formula.bind import Given, forward, gradient
from .formula.tree import Bracket, Choice, Over, Row, Sign, Symbol, Text, row
from .tracing import GradientOf

if TYPE_CHECKING:
    from .build import Builder


class Backward:
    """Adds the gradients to what a builder has of the forward.

    Args:
        builder: where variables and steps go.
    """

    def __init__(self, builder: Builder):
        self._b = builder
        self._parts: dict[int, int] = {}
        """For each value, by its id, how many gradients come together there."""
        self._seen: dict[int, int] = {}
        """How many of them have come."""
        self._given: dict[int, int] = {}
        """The variable that is their sum so far."""

    def build(self) -> None:
        """Make the variables and steps."""
        self._count_parts()
        self._seed()
        for g in self._b.traced.gradients:
            self._gradient(g)
        self._rest()

    def _count_parts(self) -> None:
        """How many gradients come together at each value."""
        for g in self._b.traced.gradients:
            for place, _ in g.gives:
                x = g.of.inputs[place] if g.of is not None else None
                if isinstance(x, Value):
                    self._parts[id(x)] = self._parts.get(id(x), 0) + 1

    def _is_penalised(self, x: Value) -> bool:
        before = self._b.traced.before_penalty.get(id(x))
        return before is not None and self._b.traced.total[id(x)] is not before

    def _gradient_name(self, x: Value, part: str = "") -> str:
        return f"d{self._b.variables[self._b.of_value[id(x)]].name}" + (f"{{{part}}}" if part else "")

    def _gradient_variable(self, value: Value, x: Value, part: str = "") -> int:
        """The variable that is the gradient of x, or a part of it."""
        of = self._b.of_value[id(x)]
        made = self._b.variable(value, self._gradient_name(x, part), "gradient", self._b.variables[of].layer, of)
        if not part:
            self._b.gradient_of[id(x)] = made
        return made

    def _seed(self) -> None:
        loss = self._b.traced.loss
        made = self._gradient_variable(self._b.traced.seed.outputs[0], loss)
        name = self._b.variables[self._b.of_value[id(loss)]].name
        items = [self._b.named(f"d{name} = 1", {f"d{name}": made})]
        nodes = [self._b.traced.seed] if id(self._b.traced.seed) in self._b.place else []
        self._b.drafts.append(Draft("backward", "Seed", "", nodes, items, [], [made], kind="seed"))

    def _gradient(self, g: GradientOf) -> None:
        """The gradient of one op, and what is added up behind it."""
        alive = [n for n in g.nodes if id(n) in self._b.place]
        adds = dict(g.adds)
        gives: dict[int, Given] = {}
        dys, outputs, behind = [], [], []
        for k, dy in enumerate(g.results):
            y = g.of.outputs[k] if g.of is not None else None
            known = None if y is None else self._b.gradient_of.get(id(y))
            dys.append(known if known is not None or dy is None else self._b.of_value.get(id(dy)))
        for place, value in g.gives:
            x = g.of.inputs[place] if g.of is not None else None
            if x is None:
                made = self._b.variable(value, self._b.names.unique("G"), "gradient", g.layer)
                outputs.append(made)
                continue
            part, final = self._part(x, value)
            made = self._gradient_variable(value, x, part)
            outputs.append(made)
            gives[place] = self._b.symbol(made)
            if place in adds:
                behind.append((x, made, adds[place], final))
            elif part:
                self._given[id(x)] = made
        items = self._gradient_items(g, dys, gives)
        inputs = self._read_by(alive, [d for d in dys if d is not None], outputs, g)
        self._b.drafts.append(Draft("backward", g.name, g.layer, alive, items, inputs, outputs, g))
        for x, made, node, final in behind:
            self._add(x, made, node, final)

    def _part(self, x: Value, value: Value) -> tuple[str, bool]:
        """Which part of a gradient comes next, and whether it is the last; no part where there is but one."""
        parts = self._parts[id(x)]
        count = self._seen[id(x)] = self._seen.get(id(x), 0) + 1
        return self._whole(x, value) if parts == 1 else str(count), count == parts

    def _whole(self, x: Value, value: Value) -> str:
        """The part that a whole gradient of L is: none, unless the penalty's comes to it, or it is copied."""
        before = self._b.traced.before_penalty.get(id(x))
        if before is None:
            return ""
        return "view" if value is not before else "L" if self._is_penalised(x) else ""

    def _gradient_items(self, g: GradientOf, dys: list[int | None], gives: dict[int, Given]) -> list[Item]:
        if not isinstance(g.of, Compute):  # a function of one's own
            made = [self._b.symbol(self._b.of_value[id(v)]) for _, v in g.gives if id(v) in self._b.of_value]
            read = [self._b.symbol(d) for d in dys if d is not None]
            return [Row((m, Sign("="), Text(f"{g.name}.backward"), Bracket("()", row(*read)))) for m in made]
        if not gives:
            return []
        items = gradient(
            g.of.op,
            [self._b.given_for(x) for x in g.of.inputs],
            [self._b.given_for(y) for y in g.of.outputs],
            [None if d is None else self._b.symbol(d) for d in dys],
            gives,
            self._b.tensors,
            count_of_mean(g.of),
        )
        if isinstance(g.of.op, Elementwise) and dys[0] is not None:
            items = [self._summed(item, self._b.variables[dys[0]].shape) for item in items]
        return items

    def _summed(self, item: Item, shape: tuple[int, ...]) -> Item:
        """An equation dx = ..., with the sum over the dimensions along which x was broadcast."""
        if not isinstance(item, Row) or not isinstance(item.items[0], Symbol) or item.items[0].variable is None:
            return item
        if self._b.variables[item.items[0].variable].shape == shape:
            return item
        body = row(*item.items[2:])
        if isinstance(body, Choice) or any(x in (Sign("+"), Sign("-")) for x in getattr(body, "items", ())[1:]):
            body = Bracket("()", body)
        return Row((*item.items[:2], Over("sum", body, Text("what it was broadcast to"))))

    def _read_by(self, nodes: Sequence[Node], dys: list[int], outputs: list[int], g: GradientOf) -> list[int]:
        """The variables that a gradient reads: the gradients of its results, and what the forward kept for it."""
        made = {id(y) for n in nodes for y in n.outputs}
        results = {id(v) for v in g.results if v is not None}
        found = list(dys)
        for n in nodes:
            for x in n.reads():
                if id(x) not in made and id(x) not in results and id(x) in self._b.of_value:
                    found.append(self._b.of_value[id(x)])
        return list(dict.fromkeys(v for v in found if v not in outputs))

    def _add(self, x: Value, made: int, node: Node, final: bool) -> None:
        """What comes to a gradient from another reader of x is added to what is there."""
        before = self._given[id(x)]
        if final:
            part = self._whole(x, node.outputs[0])
        else:
            part = f"1-{self._seen[id(x)]}"
        total = self._gradient_variable(node.outputs[0], x, part)
        self._given[id(x)] = total
        names = {self._b.variables[v].name: v for v in (total, before, made)}
        items = [self._b.named(f"{self._b.variables[total].name} = {' + '.join(list(names)[1:])}", names)]
        nodes = [node] if id(node) in self._b.place else []
        draft = Draft(
            "backward", "Add", self._b.variables[total].layer, nodes, items, [before, made], [total], kind="add"
        )
        self._b.drafts.append(draft)

    def _rest(self) -> None:
        """Behind all gradients: that of the penalty, and copies."""
        done = {id(n) for d in self._b.drafts for n in d.nodes}
        of_total = {
            id(g): x for found in (self._b.traced.before_penalty, self._b.traced.total) for x, g in found.items()
        }
        states = {id(v): v for v in self._b.graph.states}
        for node in self._b.graph.nodes:
            if not isinstance(node, Compute) or id(node) in done or id(node) not in self._b.backward_nodes:
                continue
            y = node.outputs[0]
            x = states.get(of_total.get(id(y), 0))
            inputs = [self._b.of_value[id(v)] for v in node.reads() if id(v) in self._b.of_value]
            if (
                node.name == "Mul"
                and self._b.l2
                and isinstance(node.inputs[0], Value)
                and node.inputs[0].state is not None
            ):
                weight = node.inputs[0]
                made = self._gradient_variable(y, weight, "s")
                named = {self._b.variables[v].name: v for v in (made, *inputs)}
                items = [
                    self._b.named(f"{self._b.variables[made].name} = lambda {self._b.variables[inputs[0]].name}", named)
                ]
                draft = Draft("backward", "Penalty", self._b.variables[made].layer, [node], items, inputs, [made])
                draft.kind = "decay"
            elif x is not None:
                part = "L" if node.name == "Clone" and self._is_penalised(x) else ""
                made = self._gradient_variable(y, x, part)
                names = {self._b.variables[v].name: v for v in (made, *inputs)}
                joined = " + ".join(self._b.variables[v].name for v in inputs)
                items = [self._b.named(f"{self._b.variables[made].name} = {joined}", names)]
                draft = Draft("backward", node.name, self._b.variables[made].layer, [node], items, inputs, [made])
                draft.kind = "decayed" if node.name == "Add" else "copy"
            else:
                made = self._b.variable(y, self._b.names.unique("T"), "gradient", node.layer)
                given = [self._b.given_for(v) for v in node.inputs]
                items = forward(node.op, given, [self._b.symbol(made)], self._b.tensors)
                draft = Draft("backward", node.name, node.layer, [node], items, inputs, [made])
            self._b.drafts.append(draft)
