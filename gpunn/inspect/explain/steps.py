"""The steps, when all of them are there: their numbers, what is said of them, their Jacobians."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from gpunn.backend.kernel import KernelBackend
from gpunn.inspect.primitives import kernel_texts_of
from gpunn.plan.graph import Compute, Value

from .derivation import Jacobian, Step
from .draft import formula
from .numeric import jacobian
from .sentences import Sentences, title

if TYPE_CHECKING:
    from .build import Builder

MOST_STEPS = 100
"""Of derivations with more steps no Jacobians are computed."""


def number_steps(builder: Builder) -> list[Step]:
    """The steps with their numbers; variables know by which of them they are made, read and freed."""
    made: list[Step] = []
    number_of: dict[int, int] = {}
    at = 0
    for n, draft in enumerate(builder.drafts, 1):
        places = [builder.place[id(node)] for node in draft.nodes]
        at = max(places, default=at)
        number_of.update((place, n) for place in places)
        live = max(
            (builder.lives.in_use[p] for p in places), default=builder.lives.in_use[at] if builder.lives.in_use else 0
        )
        primitives = [name for x in draft.nodes for name in builder.primitives.get(id(x), ())]
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
            builder.variables[v].read_by.append(n)
        for v in draft.outputs:
            builder.variables[v].written_by = n
    forward_of = {id(d.nodes[0]): n for n, d in enumerate(builder.drafts, 1) if d.phase == "forward" and d.nodes}
    for draft, step in zip(builder.drafts, made):
        if draft.gradient is not None and draft.gradient.of is not None:
            step.gradient_of = forward_of.get(id(draft.gradient.of))
    _free(builder, number_of)
    told = Sentences(builder, made)
    for draft, step in zip(builder.drafts, made):
        step.sentences = [*told.of(draft, step), *draft.sentences]
    _jacobians(builder, made)
    return made


def _jacobians(builder: Builder, steps: Sequence[Step]) -> None:
    """The Jacobians of the steps of the forward, where they are small and there are numbers."""
    if len(steps) > MOST_STEPS:
        return
    for draft, step in zip(builder.drafts, steps):
        if draft.phase != "forward" or len(draft.nodes) != 1 or not isinstance(draft.nodes[0], Compute):
            continue
        node = draft.nodes[0]
        for place, x in enumerate(node.inputs):
            v = builder.of_value.get(id(x)) if isinstance(x, Value) else None
            if v is None or builder.variables[v].gradient is None or id(node.outputs[0]) not in builder.values:
                continue
            found = jacobian(node, place, builder.values)
            if found is not None:
                step.jacobians.append(Jacobian(builder.of_value[id(node.outputs[0])], v, found))


def activations(builder: Builder) -> dict[int, str]:
    """By the id of a variable, the activation that made it."""
    found = {}
    for draft in builder.drafts:
        if draft.phase == "forward" and draft.nodes and isinstance(draft.nodes[0], Compute):
            op = draft.nodes[0].op
            kind = {"Sigmoid": "sigmoid", "Tanh": "tanh"}.get(op.name)
            kind = kind or getattr(op, "kind", getattr(op, "activation", None))
            if isinstance(kind, str) and draft.outputs:
                found[draft.outputs[0]] = kind
    return found


def affine(builder: Builder) -> list[tuple[int, int | None]]:
    """For each use of a layer with a weight, the ids of its result and of its weight."""
    found: list[tuple[int, int | None]] = []
    for draft in builder.drafts:
        weights = [i for i in draft.inputs if builder.variables[i].role == "parameter"]
        weights = [i for i in weights if len(builder.variables[i].shape) > 1]
        if draft.phase == "forward" and draft.nodes and weights:
            found.append((draft.outputs[0], weights[0]))
    return found


def _free(builder: Builder, number_of: dict[int, int]) -> None:
    """After which step the memory of each variable is free."""
    values = {id(v): v for n in builder.graph.nodes for v in n.outputs}
    ends: dict[int, int | None] = {}
    for key, first in builder.of_value.items():
        if key in values:
            last = builder.lives.last(values[key])
            memory = builder.variables[first].memory
            if memory is not None:
                ends[memory] = None if last is None else number_of.get(last, max(number_of.values()))
    for v in builder.variables:
        if v.memory is not None and v.written_by is not None:
            v.freed_after = ends.get(v.memory)


@cache
def _kernels_of(primitives: tuple[str, ...]) -> list[str]:
    """The kernel texts that primitives are made of on a GPU."""
    return sorted({text for name in primitives for text in kernel_texts_of(getattr(KernelBackend, name, None))})
