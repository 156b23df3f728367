"""An op's formulas with the names of the variables that it is applied to."""

from __future__ import annotations

import inspect
import re
from collections.abc import Container, Mapping, Sequence
from functools import cache
from typing import Any

from gpunn.ops.activation import Activation
from gpunn.ops.base import Op

from .of_op import Equation, OpFormulas, formulas_of
from .parse import parse
from .tree import Bracket, Call, Choice, Fraction, Index, Item, Number, Over, Power, Row, Sign, Symbol, Text, row

Given = Symbol | Number | None
"""What stands for a letter: a variable, a number, or None for an input that there is not."""
_SIGNS = {
    **{"equal": "=", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">="},
    **{"logical_and": "∧", "logical_or": "∨", "logical_xor": "⊻"},
    **{"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "⊻"},
}
_KEPT = ("eps", "wanted", "parameter", "kind", "activation", "reduction", "ignore_index", "label_smoothing")
"""Fields of ops that stay letters, or are told in words."""
_UNTOLD = re.compile(
    r"where f'|where s is|where in|computed as|0 where e|on the last two|as m |from |made of|or for|unless|logarithms|"
    r"NaN|in \(-pi|exact|the product with|mu and v|for ``|for one of|for the label|for given|for y = |by ``|with dd|"
    r"in row-major|without a copy|if `|S_y|I_y"
)
"""How remarks begin that are not about the formula but about how it is computed, or when."""


def forward(
    op: Op, inputs: Sequence[Given], outputs: Sequence[Given], tensors: Container[int] = (), count: int = 0
) -> list[Item]:
    """The equations of what an op makes.

    Args:
        op: the op.
        inputs: what stands for each input.
        outputs: for each result.
        tensors: the ids of the variables with more than one element: their products are those of elements.
        count: of how many a mean is.
    """
    found = formulas_of(type(op))
    given = _given(op, found, inputs, outputs, count)
    wanted = [s for s, y in zip(found.outputs, outputs) if y is not None] or [e.left for e in found.equations[:1]]
    bound = _bound(op, found, wanted, given, tensors)
    if getattr(op, "reduction", "none") in ("mean", "sum") and count > 1:
        bound[0] = _reduced(bound[0], op.reduction, count)  # type: ignore[attr-defined]
    return bound


def gradient(
    op: Op,
    inputs: Sequence[Given],
    outputs: Sequence[Given],
    dys: Sequence[Given],
    gives: Mapping[int, Given],
    tensors: Container[int] = (),
    count: int = 0,
) -> list[Item]:
    """The equations of an op's gradient.

    Args:
        op: the op.
        inputs: what stands for each input.
        outputs: for each result.
        dys: for the gradient of each result.
        gives: for what goes to each input that gets something, by the input's place.
        tensors: as for `forward`.
        count: as for `forward`.
    """
    found = formulas_of(type(op))
    given = _given(op, found, inputs, outputs, count)
    given |= {f"d{s}": g for s, g in zip(found.outputs, dys)}
    given |= {f"d{_symbol(found, place)}": g for place, g in gives.items()}
    if not found.inputs:  # any number of inputs, each with its part
        return [_part_of(op, found, {**given, "dx": g}, tensors) for _, g in sorted(gives.items())]
    wanted = [f"d{_symbol(found, place)}" for place in sorted(gives)]
    bound = _bound(op, found, wanted, given, tensors)
    missing = [place for place in sorted(gives) if found.of(f"d{_symbol(found, place)}") is None]
    bound += [_by_jacobian(gives[place], inputs[place], outputs[0], dys[0]) for place in missing]
    if getattr(op, "reduction", "none") == "mean" and count > 1:
        dl = given[f"d{found.outputs[0]}"]
        share = Fraction(dl, Number(str(count))) if dl is not None else None
        bound[0] = bound[0].map(lambda x: share if share is not None and x == dl else x)
    return bound


def _part_of(op: Op, found: OpFormulas, given: dict[str, Given], tensors: Container[int]) -> Item:
    """The equation of dx_i, with a variable in its place."""
    dx = given["dx"]
    (bound,) = _bound(op, found, ["dx"], given, tensors)
    return bound.map(lambda x: dx if isinstance(x, Index) and x.base == dx and dx is not None else x)


def _by_jacobian(dx: Given, x: Given, y: Given, dy: Given) -> Item:
    """What every gradient is: dx = (∂y/∂x)^T dy."""
    if dx is None or x is None or y is None or dy is None:
        return Text("a product with the Jacobian")
    slope = Fraction(Row((Symbol("∂"), y)), Row((Symbol("∂"), x)))
    return Row((dx, Sign("="), Row((Power(Bracket("()", slope), Symbol("T")), dy))))


def _reduced(equation: Item, reduction: str, count: int) -> Item:
    """The loss of all samples: the mean or the sum of what stands at the right."""
    assert isinstance(equation, Row)
    cut = next(i for i, x in enumerate(equation.items) if x == Sign("="))
    end = next((i for i, x in enumerate(equation.items) if x == Sign(",")), len(equation.items))
    body = row(*equation.items[cut + 1 : end])
    if any(isinstance(x, Sign) for x in getattr(body, "items", ())):
        body = Bracket("()", body)
    over = Over("mean" if reduction == "mean" else "sum", body, Text(f"the {count} samples"))
    return Row((*equation.items[: cut + 1], over, *equation.items[end:]))


def _symbol(found: OpFormulas, place: int) -> str:
    if place < len(found.inputs):
        return found.inputs[place]
    return "x"


def _given(
    op: Op, found: OpFormulas, inputs: Sequence[Given], outputs: Sequence[Given], count: int
) -> dict[str, Given]:
    given: dict[str, Given] = dict(zip(found.inputs, inputs))
    if not found.inputs:  # any number of inputs: x_1, x_2, ...
        given |= {f"x_{i}": x for i, x in enumerate(inputs, 1)}
    given |= dict(zip(found.outputs, outputs))
    for field in getattr(type(op), "__dataclass_fields__", ()):
        value = getattr(op, field)
        if (
            field not in _KEPT
            and field not in given
            and isinstance(value, (int, float))
            and not isinstance(value, bool)
        ):
            given[field] = number(value)
    if count and op.name == "Mean":
        given["n"] = number(count)
    return given


def number(value: float) -> Number:
    """A number as it is shown."""
    return Number(f"{value:.6g}" if isinstance(value, float) else str(value))


def _bound(
    op: Op, found: OpFormulas, wanted: Sequence[str], given: dict[str, Given], tensors: Container[int]
) -> list[Item]:
    """The wanted equations, and those of the letters in them that stand for no variable."""
    activation = _activation(op)
    if activation is not None and activation[0] == "none":
        given = {**given, "Z": given.get("Y"), "dZ": given.get("dY")}
    left = list(dict.fromkeys(wanted))
    bound: list[Item] = []
    seen: set[str] = set()
    while left:
        name = left.pop(0)
        equation = None if name in seen else _equation(op, found, name, given)
        seen.add(name)
        if equation is None:
            continue
        if activation is not None and activation[0] == "none":
            if name == "Y":
                left.insert(0, "Z")
                continue
            if name == "dZ":
                continue
        tree = _with_note(op, equation)
        if activation is not None:
            tree = tree.map(lambda x: _of_activation(x, *activation))
        letters = [x.name for x in tree.walk() if isinstance(x, Symbol)]
        left += [n for n in letters if n not in given and n not in seen and n not in (name, "f'")]
        bound.append(_substituted(op, tree, given, tensors, matrices=name.lstrip("d")[:1].isupper()))
    return bound


def _equation(op: Op, found: OpFormulas, name: str, given: Mapping[str, Given]) -> Equation | None:
    """The equation of a letter; where a docstring has a simple and a general one, that which is true here."""
    several = [e for e in found.equations if e.left == name]
    general = given.get("w") is not None or given.get("p") is not None or bool(vars(op).get("label_smoothing"))
    if not several:
        return None
    return several[-1] if general and name in ("l", "dx", "dt") else several[0]


def _with_note(op: Op, equation: Equation) -> Item:
    note = equation.note
    if not note or _UNTOLD.match(note):
        return equation.tree
    known = {x.name for x in equation.tree.walk() if isinstance(x, Symbol)} | set(vars(op))
    items = equation.tree.items if isinstance(equation.tree, Row) else (equation.tree,)
    return Row((*items, Sign(","), parse(note.replace("``", ""), known)))


# Activations ----------------------------------------------------------------------------------------------------------


@cache
def activations() -> dict[str, tuple[Item, Item | None]]:
    """For each kind of activation f(x), and its derivative in x and y = f(x), from the docstring of `Activation`."""
    found: dict[str, tuple[Item, Item | None]] = {}
    for line in (inspect.getdoc(Activation) or "").split("\n"):
        match = re.match(r"(\w+) {2,}(.*?)(?: {2,}f' = (.*?))?(?: {2,}\(.*)?$", line)
        if match is not None:
            value, slope = _said(match[2]), _said(match[3] or "")
            assert value is not None
            found[match[1]] = value, slope
    return found


def _said(text: str) -> Item | None:
    """A formula, with the letter in it that is defined behind it."""
    formula, _, where = text.partition(", s = ")
    if not formula:
        return None
    tree = parse(re.sub(r", P the .*", "", formula))
    return tree.map(lambda x: parse(where) if x == Symbol("s") else x) if where else tree


def _activation(op: Op) -> tuple[str, float] | None:
    kind = getattr(op, "activation", getattr(op, "kind", None))
    return None if kind is None else (kind, getattr(op, "parameter", 0.0))


def _of_activation(item: Item, kind: str, parameter: float) -> Item:
    """f(Z) and f'(Z) written out, with x for Z and y for what comes of it."""
    if not isinstance(item, Call) or kind == "none" or kind not in activations():
        return item
    slope = item.function == Symbol("f'")
    if item.function != Symbol("f") and not slope:
        return item
    of = item.argument.inside if isinstance(item.argument, Bracket) else item.argument
    value = activations()[kind][slope]
    if value is None:
        return item
    letters: dict[Any, Item] = {Symbol("x"): of, Symbol("a"): number(parameter), Symbol("b"): number(parameter)}
    letters[Symbol("y")] = Symbol("Y") if of == Symbol("Z") else of if of in (Symbol("s"), Symbol("S")) else Symbol("y")
    written = value.map(lambda x: letters.get(x, x))
    return Bracket("()", written) if slope and isinstance(written, (Row, Choice)) else written


# Substitution ---------------------------------------------------------------------------------------------------------


def _substituted(op: Op, tree: Item, given: Mapping[str, Given], tensors: Container[int], matrices: bool) -> Item:
    def change(x: Item) -> Item:
        if isinstance(x, Symbol) and x.variable is None and x.name in given:
            found = given[x.name]
            return _NOTHING if found is None else found
        if isinstance(x, Index) and isinstance(x.base, Symbol) and isinstance(x.index, Number):
            name = f"{x.base.name}_{x.index.text}"
            return x if name not in given else given[name] or _NOTHING
        if x == Sign("?"):
            return Sign(_SIGNS.get(getattr(op, "relation", getattr(op, "operation", "")), "?"))
        if isinstance(x, Over) and x.over == Symbol("dims"):
            return Over(x.kind, x.body, _dims(op))
        if isinstance(x, Row):
            return row(*_without_nothing(x.items, tensors, matrices))
        if isinstance(x, (Power, Index)) and _NOTHING in (x.base,):
            return _NOTHING
        if isinstance(x, Over) and x.body == _NOTHING:
            return _NOTHING
        return x

    def told(x: Item) -> Item:
        value = vars(op).get(x.name) if isinstance(x, Symbol) and x.variable is None else None
        if not isinstance(value, tuple):
            return x
        if isinstance(x, Symbol) and x.name == "key":
            return Text(", ".join(_key_text(k) for k in value))
        return Text(str(value)) if all(isinstance(n, int) for n in value) else x

    return tree.map(change).map(told)


def _key_text(key: Any) -> str:
    """An index, None, or (start, stop, step), as it is written in square brackets."""
    if not isinstance(key, tuple):
        return str(key)
    start, stop, step = key
    return f"{start}:{stop}" + (f":{step}" if step != 1 else "")


_NOTHING = Text("")


def _dims(op: Op) -> Item:
    dims = getattr(op, "dims", None)
    if dims is None:
        dims = getattr(op, "dim", ())
    dims = dims if isinstance(dims, tuple) else (dims,)
    if not dims or None in dims:
        return Text("all elements")
    return Text(f"dimension{'s' if len(dims) > 1 else ''} {', '.join(map(str, dims))}")


def _without_nothing(items: Sequence[Item], tensors: Container[int], matrices: bool) -> list[Item]:
    """A row without what is not there, with the sign before it; products of elements get their sign."""
    found: list[Item] = []
    for x in items:
        if x == _NOTHING:
            if found and isinstance(found[-1], Sign) and found[-1].mark in "+-o*":
                found.pop()
            continue
        if found and not matrices and _is_tensor(found[-1], tensors) and _is_tensor(x, tensors):
            found.append(Sign("o"))
        if found == [] and x in (Sign("+"), Sign("o"), Sign("*")):
            continue
        found.append(x)
    if Sign("o") in found and not any(_is_tensor(x, tensors) for x in found):  # of single numbers: a product like any
        found = [x for x in found if x != Sign("o")]
    numbers = [x for x in found if isinstance(x, Number)]
    if numbers and not any(
        isinstance(x, Text) or (isinstance(x, Sign) and x.mark != "o") for x in found
    ):  # a product: numbers come first
        found = [*numbers, *(x for x in found if not isinstance(x, Number))]
        found = [x for i, x in enumerate(found) if x != Sign("o") or (i > len(numbers) and i + 1 < len(found))]
    return found or [_NOTHING]


def _is_tensor(item: Item, tensors: Container[int]) -> bool:
    """Whether a factor is, or holds, a variable of several elements."""
    if isinstance(item, (Sign, Text, Number, Over)):
        return False
    if isinstance(item, Fraction):
        return _is_tensor(item.above, tensors) or _is_tensor(item.below, tensors)
    return any(
        isinstance(x, Symbol) and (x.variable in tensors or (x.variable is None and x.name in ("xhat", "g")))
        for x in item.walk()
    )
