"""The step of the optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.ops.linear import PLAIN as LINEAR
from gpunn.plan.graph import ProductUpdate, Update

from .draft import Draft
from .evaluate import updated
from .formula import Item, parse
from .formula.bind import Given, gradient
from .formula.tree import Symbol

if TYPE_CHECKING:
    from .build import Builder


def update(builder: Builder, node: Update | ProductUpdate) -> Draft:
    """The step of an optimizer; the parameters' new values are variables of their own."""
    optimizer = node.optimizer
    states = {id(v.state): v for v in builder.graph.states}
    inputs = [builder.of_value[id(g)] for g in node.reads() if id(g) in builder.of_value]
    elements: list[Any] = [None] * len(node.params)
    if isinstance(node, Update) and all(id(g) in builder.values for g in node.reads()):
        gradients = [builder.values[id(g)] for g in node.reads()]
        elements = updated(node, builder.graph.arguments[0].spec.device.backend, gradients)
    outputs = []
    for p, new in zip(node.params, elements):
        x = states.get(id(p._data))
        if x is None or id(x) not in builder.of_value:
            continue
        old = builder.of_value[id(x)]
        inputs.append(old)
        made = builder.new_state.get(id(x))
        if made is None:
            name = f"{builder.variables[old].name}'"
            made = builder.new_state[id(x)] = builder.variable(
                x, name, "state", builder.variables[old].layer, None, new
            )
            if new is None:
                builder.variables[made].value = builder.variables[made].statistics = None
        outputs.append(made)
    items = [parse(text, ("b", "d", "g", "p", "m", "v")) for text in _update_formulas(type(optimizer))]
    if isinstance(node, ProductUpdate):
        items = [*_product(builder, node), *items]
    draft = Draft("update", type(optimizer).__name__, "", [node], items, inputs, outputs, kind="update")
    draft.sentences = [_options(optimizer)]
    return draft


def _product(builder: Builder, node: ProductUpdate) -> list[Item]:
    """The gradients that are used as they are made."""
    states = {id(v.state): builder.of_value[id(v)] for v in builder.graph.states if id(v) in builder.of_value}
    names = [None if p is None else builder.variables[states[id(p._data)]].name for p in (node.weight, node.bias)]
    gives: dict[int, Given] = {place: Symbol(f"d{name}") for place, name in enumerate(names, 1) if name}
    dz, x = node.inputs
    return gradient(LINEAR, [builder.given_for(x), None, None], [None], [builder.given_for(dz)], gives, builder.tensors)


def _update_formulas(optimizer: type) -> list[str]:
    """The lines of an optimizer's docstring that say what becomes what."""
    lines = [line.strip() for cls in optimizer.__mro__ for line in (cls.__doc__ or "").split("\n") if " <- " in line]
    return [line.split("  ")[0] for line in lines]


def _options(optimizer: Any) -> str:
    group = optimizer.param_groups[0]
    told = [f"{name} = {value}" for name, value in group.items() if name != "params" and value not in (None, False, 0)]
    return "for each parameter p with its gradient g; " + ", ".join(told)
