"""The step of the optimizer."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from gpunn.ops.linear import PLAIN as LINEAR
from gpunn.plan.graph import ProductUpdate, Update

from .draft import Draft
from .evaluate import updated
from .formula import Item, parse
from .formula.bind import Given, gradient
from .formula.render import GREEK
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
        elements = updated(node, gradients)
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
    lines = update_lines(type(optimizer))
    items = [parse(text) for text, _ in lines]
    if isinstance(node, ProductUpdate):
        items = [*_product(builder, node), *items]
    draft = Draft("update", type(optimizer).__name__, "", [node], items, inputs, outputs, kind="update")
    draft.sentences = _told(optimizer, lines)
    return draft


def _product(builder: Builder, node: ProductUpdate) -> list[Item]:
    """The gradients that are used as they are made."""
    states = {id(v.state): builder.of_value[id(v)] for v in builder.graph.states if id(v) in builder.of_value}
    names = [None if p is None else builder.variables[states[id(p._data)]].name for p in (node.weight, node.bias)]
    gives: dict[int, Given] = {place: Symbol(f"d{name}") for place, name in enumerate(names, 1) if name}
    dz, x = node.inputs
    return gradient(LINEAR, [builder.given_for(x), None, None], [None], [builder.given_for(dz)], gives, builder.tensors)


def update_lines(optimizer: type) -> list[tuple[str, str]]:
    """The formulas of an optimizer's docstring, each with what is said beside it."""
    blocks = [_block(cls) for cls in optimizer.__mro__]
    own, *inherited = [block for block in blocks if block] or [[]]
    if inherited and "with d = g" in (optimizer.__doc__ or ""):  # decoupled weight decay: before the last line
        base = inherited[0]
        return [("d <- g", ""), *base[1:-1], *own, base[-1]]
    return own


def _block(cls: type) -> list[tuple[str, str]]:
    """The indented lines of a docstring that are formulas."""
    found = []
    for line in inspect.cleandoc(cls.__doc__ or "").split("\n"):
        formula, *remarks = re.split(r" {3,}", line.strip())
        if line.startswith("    ") and re.search(r" (<-|=) ", formula) and not formula.startswith((">", "-")):
            found.append((formula, " ".join(remarks)))
        elif found and not line.strip():
            break
    return found


def _told(optimizer: Any, lines: list[tuple[str, str]]) -> list[str]:
    group = optimizer.param_groups[0]
    options = {name: value for name, value in group.items() if name != "params" and value not in (None, False, 0)}
    found = [
        "For each parameter p with its gradient g: " + ", ".join(f"{name} = {value}" for name, value in options.items())
    ]
    found += [_remark(remark) for _, remark in lines if remark]
    if options.get("weight_decay") and any(formula == "d <- g + l p" for formula, _ in lines):
        found.append(
            f"l = {options['weight_decay']} is the weight decay: l p is what a penalty l/2 ‖p‖² on every parameter, "
            "biases "
            "too, would add to the gradient"
        )
    return [f"{sentence}." for sentence in found]


def _remark(text: str) -> str:
    """What is said beside a formula, with its letters."""
    letters = "|".join(GREEK)
    return re.sub(rf"\b({letters})\b", lambda name: GREEK[name[0]], text).replace("<-", "←")
