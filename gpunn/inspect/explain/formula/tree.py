"""Formulas as trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Item:
    """A part of a formula."""

    def parts(self) -> Iterator[Item]:
        """What it is made of."""
        for f in fields(self):
            value = getattr(self, f.name)
            for x in value if isinstance(value, tuple) else (value,):
                if isinstance(x, Item):
                    yield x

    def walk(self) -> Iterator[Item]:
        """It, and all within it."""
        yield self
        for x in self.parts():
            yield from x.walk()

    def map(self, change: Callable[[Item], Item]) -> Item:
        """The same with each part changed, from the inside out."""

        def changed(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(changed(x) for x in value)
            return value.map(change) if isinstance(value, Item) else value

        return change(replace(self, **{f.name: changed(getattr(self, f.name)) for f in fields(self)}))


@dataclass(frozen=True)
class Number(Item):
    """A number as it is written."""

    text: str


@dataclass(frozen=True)
class Symbol(Item):
    """A letter or a name of the formula; `variable` is the id of the derivation's variable that it stands for."""

    name: str
    variable: int | None = None


@dataclass(frozen=True)
class Text(Item):
    """Words."""

    words: str


@dataclass(frozen=True)
class Sign(Item):
    """An operator or a punctuation mark, such as + or =."""

    mark: str


@dataclass(frozen=True)
class Row(Item):
    """Items one after the other: terms with the signs between them, or the factors of a product."""

    items: tuple[Item, ...]


@dataclass(frozen=True)
class Fraction(Item):
    """above / below."""

    above: Item
    below: Item


@dataclass(frozen=True)
class Power(Item):
    """base^exponent; the exponent T is the transpose."""

    base: Item
    exponent: Item


@dataclass(frozen=True)
class Index(Item):
    """base_index."""

    base: Item
    index: Item


@dataclass(frozen=True)
class Bracket(Item):
    """Something in brackets: "()", "[]", "||" or "‖‖"."""

    kind: str
    inside: Item


@dataclass(frozen=True)
class Call(Item):
    """A function of something, which stands in brackets unless it is a single factor."""

    function: Item
    argument: Item


@dataclass(frozen=True)
class Over(Item):
    """A sum, product, mean, maximum or minimum of `body`, over something that may be left out."""

    kind: str
    body: Item
    over: Item | None = None


@dataclass(frozen=True)
class Choice(Item):
    """`value` if `condition`, else `other`."""

    value: Item
    condition: Item
    other: Item


def row(*items: Item) -> Item:
    """Items as one."""
    return items[0] if len(items) == 1 else Row(items)
