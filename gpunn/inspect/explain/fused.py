"""What fusion makes of a derivation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunn.backend.device import device
from gpunn.plan.fuse import RULES, apply_rules
from gpunn.plan.fuse import explain as explain_notes
from gpunn.plan.graph import Compute, Node, ProductUpdate, Update

from .build import Builder
from .draft import Draft, count_of_mean
from .evaluate import evaluate
from .formula.bind import forward
from .memory import Lives
from .update import update


def fuse(builder: Builder, arrays: Sequence[Any]) -> list[str]:
    """Fuse the graph of a builder, and put the steps of what came of it in the place of those that it had.

    Variables that lie nowhere any more are left without a step that makes or reads them, and go.

    Args:
        builder: what `Builder.build` was called of.
        arrays: what the step is called with.

    Returns:
        What was fused, and what was not and why, a line for all places that are alike.
    """
    graph = builder.graph
    before = {id(node): _as_it_is(node) for node in graph.nodes}
    if graph.arguments[0].spec.device.type == "meta":  # what is fused depends on where it is done
        graph.take_for(device("cpu"))
    notes = apply_rules(graph, RULES)
    computed = evaluate(graph, arrays).elements if builder.values else {}
    for key, elements in computed.items():
        builder.values.setdefault(key, elements)
    builder.lives = Lives(graph)
    builder.place.clear()
    builder.place.update((id(node), i) for i, node in enumerate(graph.nodes))
    unchanged = {id(n) for n in graph.nodes if id(n) in before and _as_it_is(n) == before[id(n)]}
    builder.drafts[:] = _drafts(builder, unchanged)
    _forget(builder)
    return explain_notes(notes).split("\n")


def _as_it_is(node: Node) -> Any:
    return getattr(node, "op", None), tuple(map(id, node.inputs)), tuple(map(id, node.outputs))


def _drafts(builder: Builder, unchanged: set[int]) -> list[Draft]:
    """The steps of the graph: those that are as they were, and new ones."""
    kept = {id(d.nodes[0]): d for d in builder.drafts if d.nodes and all(id(n) in unchanged for n in d.nodes)}
    done = {id(n) for d in kept.values() for n in d.nodes}
    penalty = [d for d in builder.drafts if d.kind == "penalty"]
    loss = builder.of_value[id(builder.traced.loss)]
    behind = False
    found: list[Draft] = []
    for node in builder.graph.nodes:
        if id(node) in kept:
            found.append(kept[id(node)])
        elif isinstance(node, (Update, ProductUpdate)):
            found.append(update(builder, node))
        elif isinstance(node, Compute) and id(node) not in done:
            found.append(_draft(builder, node, "backward" if behind else "forward"))
        if any(builder.of_value.get(id(y)) == loss for y in node.outputs):
            behind = True
            found += penalty
    return found


def _draft(builder: Builder, node: Compute, phase: str) -> Draft:
    outputs = []
    for y in node.outputs:
        v = builder.of_value.get(id(y))
        if v is None:
            v = builder.variable(y, builder.names.unique("T"), "gradient" if phase == "backward" else "activation")
        outputs.append(v)
    inputs = [builder.of_value[id(x)] for x in node.reads()]
    given = [builder.given_for(x) for x in node.inputs]
    items = forward(node.op, given, [builder.symbol(v) for v in outputs], builder.tensors, count_of_mean(node))
    return Draft(phase, node.name, node.layer, [node], items, inputs, outputs, kind="fused")


def _forget(builder: Builder) -> None:
    """Leave only the variables of these steps, and of what was there before; ids are their places again."""
    used = {i for d in builder.drafts for i in (*d.inputs, *d.outputs)}
    kept = [v for v in builder.variables if v.id in used or v.role in ("input", "target", "parameter", "buffer")]
    values = {id(v): v for n in builder.graph.nodes for v in (*n.outputs, *n.reads())}
    for key, i in builder.of_value.items():
        if key in values and values[key].node is not None:
            builder.variables[i].memory = builder.lives.memory(values[key])
    number = {v.id: i for i, v in enumerate(kept)}
    for v in kept:
        v.id = number[v.id]
        v.of = None if v.of is None else number.get(v.of)
        v.gradient = None if v.gradient is None else number.get(v.gradient)
    builder.renumber(kept, number)
