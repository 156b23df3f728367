"""The formulas of an op, read from its docstring."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from gpunn.ops.base import Op
from gpunn.ops.elementwise import Elementwise

from .parse import is_symbol, parse
from .tree import Item

_SYMBOL = r"[^\W\d_]+\d*'?"
_LEFT = re.compile(rf"({_SYMBOL})(_\w+(,\w+)?|_\([^)]*\)|\[[^\]]*\]|\([a-z]\))?$")
_SOURCE = re.compile(r"\(([^()]*\b(?:1[89]|20)\d\d\b[^()]*)\)")
OTHER_NAMES = {"weight": "w", "bias": "b", "target": "y", "which": "K", "indices": "i"}
"""The letters in the formulas for arguments with longer names; a variance is v where v is no argument itself."""
_GRADIENTS_OF = re.compile(r"gradients? of `(\w+)`")


@dataclass(frozen=True)
class Equation:
    """A statement of a docstring: left = right.

    Attributes:
        left: the symbol that it defines, such as "dX".
        tree: all of it.
        text: as it stands in the docstring.
        note: what is said behind it in words.
    """

    left: str
    tree: Item
    text: str
    note: str


@dataclass(frozen=True)
class OpFormulas:
    """What the docstring of an op says.

    Attributes:
        equations: in their order.
        inputs: for each input its symbol; of an op with any number of inputs those that the docstring names.
        outputs: for each result its symbol, as far as the docstring names it.
        source: the book or paper.
    """

    equations: tuple[Equation, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: str

    def of(self, symbol: str) -> Equation | None:
        """The equation that defines a symbol."""
        return next((e for e in self.equations if e.left == symbol), None)


def formulas_of(op: type[Op]) -> OpFormulas:
    """The formulas in an op's docstring."""
    if op not in _KNOWN:
        _KNOWN[op] = _read(op)
    return _KNOWN[op]


_KNOWN: dict[type[Op], OpFormulas] = {}


def _read(op: type[Op]) -> OpFormulas:
    doc = _docstring(op)
    arguments = _arguments(op)
    known = {*arguments, *(OTHER_NAMES.get(a, a) for a in arguments), *getattr(op, "__dataclass_fields__", ())}
    found = [Equation(left, parse(text, known), text, note) for left, text, note in _statements(doc, known)]
    symbols = [e.left for e in found]
    text = " ".join(e.text for e in found)
    inputs = tuple(_letter(a, text) for a in arguments)
    source = _SOURCE.search(doc)
    return OpFormulas(tuple(found), inputs, _outputs(doc, symbols, inputs), source[1] if source else "")


def _docstring(op: type[Op]) -> str:
    """Its own, or with that of the class that it names at the beginning."""
    doc = inspect.getdoc(op) or ""
    base = next((b for b in op.__mro__[1:] if doc.startswith(f"`{b.__name__}`")), None)
    if base is None and (named := _GRADIENTS_OF.search(doc)) is not None and " = " not in doc:
        base = getattr(sys.modules[op.__module__], named[1])
    return doc if base is None else f"{doc}\n\n{inspect.getdoc(base)}"


def _arguments(op: type[Op]) -> tuple[str, ...]:
    """The names of the inputs: of the first of shape, forward and vjp that names them."""
    formula = getattr(op, "formula", op.shape)
    for function, skip in ((op.shape, 1), (op.forward, 2), (formula, 1), (op.vjp, 4)):
        parameters = list(inspect.signature(function).parameters.values())[skip:]
        parameters = [p for p in parameters if p.name not in ("out", "call")]
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            named = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
            if not named:
                continue
            return tuple(named)
        return tuple(p.name for p in parameters)
    return ("x",) if issubclass(op, Elementwise) else ()


def _letter(argument: str, text: str) -> str:
    """The symbol of an argument in the formulas."""
    names = re.findall(rf"{_SYMBOL}", text)
    other = OTHER_NAMES.get(argument, "v" if argument == "var" else argument)
    for name in (argument, argument.upper(), argument[0] + argument[1:].upper(), other, other.upper()):
        if name in names or f"d{name}" in names:
            return name
    return other


def _outputs(doc: str, symbols: Sequence[str], inputs: Sequence[str]) -> tuple[str, ...]:
    """The symbols of the results: those behind the arrow, else the first that is defined and those with it."""
    if _GRADIENTS_OF.search(doc.split("\n")[0]) or re.match("d[^ ]* = ", doc):
        return tuple(dict.fromkeys(s for s in symbols if re.fullmatch(r"d(?!d)\w+", s) and s != "dZ"))
    arrow = doc.find("->")
    if arrow >= 0:
        line = doc[arrow + 2 :].split("\n")[0]
        found = [s for names in re.findall(rf"({_SYMBOL}(?:, {_SYMBOL})*) \(", line) for s in names.split(", ")]
        if found:
            return tuple(found)
    if not symbols:
        return ()
    gradients = {f"d{x}" for x in inputs}
    return tuple(dict.fromkeys(s for s in symbols if s not in gradients))[:1]


def _statements(doc: str, known: set[str]) -> list[tuple[str, str, str]]:
    """(left symbol, equation, what is said behind it) for each equation of a docstring."""
    found: list[tuple[str, str, str]] = []
    for sentence in _sentences(doc):
        pending: list[str] = []
        current: list[str] | None = None
        for piece in _pieces(sentence):
            left = _left_of(piece, known)
            if left is not None:
                current = [left, ", ".join([*pending, piece]), ""]
                found.append(tuple(current))  # type: ignore[arg-type]
                pending = []
            elif current is None and (_LEFT.match(piece) and is_symbol(_LEFT.match(piece)[1], known)):  # type: ignore[index]
                pending.append(piece)
            elif current is not None:
                last = found[-1]
                if not last[2] and " over " in last[1] and re.match(r"[a-z](?: of .*)?$", piece):
                    found[-1] = (last[0], f"{last[1]}, {piece}", "")
                    continue
                found[-1] = (last[0], last[1], f"{last[2]}, {piece}" if last[2] else piece)
            else:
                break
    return found


def _sentences(doc: str) -> list[str]:
    """Where statements begin: at lines, and behind full stops and semicolons."""
    found = []
    for line in doc.split("\n"):
        line = _SOURCE.sub("", line)
        line = re.split(r" {4,}", line)[0] if "->" in line or re.search(r" {4,}[A-Za-z]\w* \(", line) else line
        for sentence in re.split(r"(?<!\.)\.(?:\s|$)|;|: (?=[a-z]\w* = )|(?<=,) {2,}|: (?=the )| {4,}", line):
            if sentence.strip():
                found.append(sentence.strip().rstrip(","))
    return found


def _pieces(sentence: str) -> list[str]:
    """A sentence cut at commas outside of brackets."""
    pieces, depth, start = [], 0, 0
    for i, c in enumerate(sentence):
        depth += (c in "([") - (c in ")]")
        if c == "," and depth == 0:
            pieces.append(sentence[start:i].strip())
            start = i + 1
    return [p for p in (*pieces, sentence[start:].strip()) if p]


def _left_of(piece: str, known: set[str]) -> str | None:
    """The symbol that a piece defines; None for one that defines none."""
    left, equals, right = piece.partition(" = ")
    match = _LEFT.match(left.strip())
    if not equals or match is None or not right:
        return None
    name = match[1]
    return name if is_symbol(name, known) or name.endswith("'") else None
