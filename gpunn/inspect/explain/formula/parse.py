"""From the notation of the docstrings to trees.

The notation: ``x y`` is a product, ``x o y`` the product of elements, ``x / y`` a fraction of all factors before and
the one factor behind, ``W^T`` the transpose, ``e^-x`` and ``x^(1/2)`` powers, ``x_i`` an index, ``dx`` the gradient of
x; ``sum of x over c``, ``sum over c of x`` and ``sum_c x`` are sums, and so are ``product of``, ``mean of``, ``max of``
and ``min of``; ``x if c else y`` is a choice. What is no symbol, number, function or sign is text.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

from .tree import (
    Bracket,
    Call,
    Choice,
    Fraction,
    Index,
    Item,
    Number,
    Over,
    Power,
    Row,
    Sign,
    Symbol,
    Text,
    row,
)

FUNCTIONS = (
    *(
        "log_softmax",
        "softmax",
        "sigmoid",
        "softplus",
        "arcsinh",
        "arccosh",
        "arctanh",
        "arcsin",
        "arccos",
        "arctan",
        "log10",
        "log2",
        "sinh",
        "cosh",
    ),
    *("tanh", "sign", "floor", "ceil", "trunc", "sqrt", "diag", "exp", "sin", "cos", "tan", "max", "min", "ln", "erf"),
    *("columns", "im2col", "col2im", "angle", "cast", "round", "flip", "roll"),
)
OVER = {"sum": "sum", "product": "product", "mean": "mean", "max": "max", "min": "min"}
SYMBOLS = (
    "xhat",
    "mu",
    "eps",
    "pi",
    "lambda",
    "gamma",
    "beta",
    "sigma",
    "theta",
    "lr",
    "tau",
    "eta",
    "alpha",
    "J",
    "keep",
)
"""Names of several letters that are symbols everywhere."""
_RELATIONS = ("=", "<-", "<=", ">=", "<", ">", "!=", "->")
_NUMBER = r"(?P<number>\d+(?:\.\d+)?(?:e-?\d+)?)"
_FUNCTION = rf"(?P<function>(?:{'|'.join(FUNCTIONS)})(?![A-Za-z_']))"
_NAME = r"[^\W\d_]+(?:-[^\W\d_]{2,})*\d*(?:\(\d+\))?(?:\{[^}]*\})?'*"
_MARK = r"(?P<mark>\.\.\.|\.\.|<-|->|<=|>=|!=|\|\||``[^`]*``|`[^`]*`|\S)"
_STOPS = frozenset((")", "]", ";"))


def parse(text: str, known: Container[str] = ()) -> Item:
    """A formula, such as ``dX = dZ W``.

    Args:
        text: in the notation above.
        known: the names that are symbols beside single letters, their gradients and `SYMBOLS`.
    """
    return _Parser(re.sub(r"_\{([^}]*)\}", r"_(\1)", text), known).all()


def _long(known: Container[str]) -> list[str]:
    """Known names with an underscore, which are one name for all that."""
    return [name for name in known if "_" in name] if isinstance(known, Iterable) else []


def is_symbol(name: str, known: Container[str] = ()) -> bool:
    """Whether a name is a symbol rather than a word."""
    bare = re.sub(r"(\(\d+\))?(\{[^}]*\})?'*$", "", name)
    plain = re.sub(r"^d{1,2}(?=.)", "", bare)
    return any(n in known or n in SYMBOLS or re.fullmatch(r"[^\W\d_]\d*", n) is not None for n in (bare, plain))


class _Parser:
    def __init__(self, text: str, known: Container[str]):
        self._tokens: list[tuple[str, str, int]] = []
        names = [re.escape(name) for name in sorted(_long(known), key=len, reverse=True)]
        name = "|".join([*(f"(?:{n})(?![\\w'])" for n in names), _NAME])
        token = re.compile(rf"\s*(?:{_NUMBER}|{_FUNCTION}|(?P<name>{name})|{_MARK})")
        for match in token.finditer(text.rstrip()):
            kind = match.lastgroup or "mark"
            self._tokens.append((kind, match[kind], match.start(kind)))
        self._known = known
        self._at = 0
        self._depth = 0
        """How many square brackets are open: there o is an index."""

    def all(self) -> Item:
        """Everything, as a row of relations."""
        items: list[Item] = []
        while self._at < len(self._tokens):
            before = self._at
            items.append(self._relations())
            if self._at == before:  # a bracket that was never opened
                items.append(Sign(self._take()))
        return row(*items)

    # Tokens

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at][1] if at < len(self._tokens) else ""

    def _kind(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at][0] if at < len(self._tokens) else ""

    def _take(self) -> str:
        self._at += 1
        return self._peek(-1)

    def _is_word(self, ahead: int = 0) -> bool:
        word = self._peek(ahead)
        if self._kind(ahead) == "mark":
            return word.startswith("`") and len(word) > 1 and word.strip("`") not in self._known
        if self._kind(ahead) != "name":
            return False
        if word == "a":  # the article, or a parameter
            return self._kind(ahead + 1) == "name" and self._is_word(ahead + 1)
        return not is_symbol(word, self._known)

    # Grammar

    def _relations(self) -> Item:
        """choice {relation choice} {"," ...}: everything up to a closing bracket."""
        items = [self._choice()]
        while self._peek() and self._peek() not in _STOPS and not self._closes():
            if self._peek() in (*_RELATIONS, ",", ":", "?", "&"):
                items.append(Sign(self._take()))
                if self._peek() and self._peek() not in _STOPS and self._peek() not in (*_RELATIONS, ","):
                    items.append(self._choice())
            else:
                before = self._at
                items.append(self._choice())
                if self._at == before:
                    items.append(Sign(self._take()))
        items = [x for x in items if x != Row(())]
        return row(*items)

    def _closes(self) -> bool:
        return self._peek() in ("|", "||") and self._bars > 0

    _bars = 0

    def _choice(self) -> Item:
        value = self._sum()
        if self._peek() == "if":
            self._take()
            condition = self._condition()
            if self._peek() == "else":
                self._take()
                return Choice(value, condition, self._choice())
            return row(value, Text("if"), condition)
        return value

    def _condition(self) -> Item:
        items = [self._sum()]
        while self._peek() in _RELATIONS:
            items += [Sign(self._take()), self._sum()]
        return row(*items)

    def _sum(self) -> Item:
        items: list[Item] = []
        if self._peek() in ("-", "+", "~"):
            items.append(Sign(self._take()))
        items.append(self._product())
        while self._peek() in ("+", "-"):
            items += [Sign(self._take()), self._product()]
        return row(*items)

    def _product(self) -> Item:
        factors: list[Item] = []
        while self._starts_factor():
            if factors and self._peek() == "o" and self._depth == 0 and self._starts_factor(1):
                self._take()
                factors.append(Sign("o"))
                continue
            factors.append(self._factor())
            if self._peek() == "*" and self._starts_factor(1):
                self._take()
                factors.append(Sign("*"))
            while self._peek() == "/" and self._starts_factor(1):
                self._take()
                cut = max((i + 1 for i, f in enumerate(factors) if f in (Sign("o"), Sign("*"))), default=0)
                factors[cut:] = [Fraction(row(*factors[cut:]), self._factor())]
        return row(*factors) if factors else Row(())

    def _starts_factor(self, ahead: int = 0) -> bool:
        mark = self._peek(ahead)
        if not mark or mark in ("if", "else") or (mark == "over" and self._in_over):
            return False
        if self._kind(ahead) != "mark":
            return True
        if mark in ("|", "||"):
            return not self._bars
        return mark in ("(", "[", "...", "..") or mark.startswith("`") or mark.isdigit()

    _in_over = 0

    def _factor(self) -> Item:
        base = self._primary()
        while True:
            if self._peek() == "_" and not self._spaced():
                self._take()
                base = Index(base, self._script())
            elif self._peek() == "^":
                self._take()
                base = Power(base, self._script())
            elif self._peek() == "'" and not self._spaced():
                self._take()
                base = Power(base, Sign("'"))
            else:
                break
        if isinstance(base, (Symbol, Power)) and self._peek() in ("[", "(") and not self._spaced():
            kind = self._peek()
            inside = self._bracket()
            return Call(base, inside) if kind == "(" else Index(base, inside)
        return base

    def _script(self) -> Item:
        """What is raised or lowered: one factor, with a sign before it."""
        if self._peek() in ("-", "+"):
            return row(Sign(self._take()), self._primary())
        item = self._primary()
        return item.inside if isinstance(item, Bracket) and item.kind == "()" else item

    def _spaced(self) -> bool:
        """Whether there is a space before the next token."""
        if not 0 < self._at < len(self._tokens):
            return False
        _, text, start = self._tokens[self._at - 1]
        return self._tokens[self._at][2] > start + len(text)

    def _primary(self) -> Item:
        kind, mark = self._kind(), self._peek()
        if kind == "number":
            return Number(self._take())
        if mark in ("(", "[") or (mark in ("|", "||") and not self._bars):
            return self._bracket()
        if (
            mark in OVER
            and mark not in self._known
            and ((self._kind(1) == "mark" and self._peek(1) == "_") or self._peek(1) in ("of", "over"))
        ):
            return self._over()
        if mark == "sum":
            return self._over()
        if kind == "function":
            return self._call()
        if mark in ("...", ".."):
            return Sign(self._take())
        if self._is_word():
            return self._text()
        if mark.startswith("`") and mark.strip("`") in self._known:
            return Symbol(self._take().strip("`"))
        if kind == "name":
            return Symbol(self._take())
        return Sign(self._take())

    def _text(self, ends: tuple[str, ...] = ()) -> Item:
        words: list[str] = []
        while self._is_word() and self._peek() not in ("if", "else", *ends) and not (words and self._peek() in OVER):
            if self._peek() == "over" and self._in_over:
                break
            words.append(self._take().strip("`"))
        return Text(" ".join(words))

    def _bracket(self) -> Item:
        opening = self._take()
        if opening in ("|", "||"):
            self._bars += 1
            inside = self._relations()
            self._bars -= 1
            if self._peek() == opening:
                self._take()
            return Bracket("||" if opening == "|" else "‖‖", inside)
        self._depth += opening == "["
        outer, self._bars = self._bars, 0
        outer_over, self._in_over = self._in_over, 0
        inside = self._relations()
        self._bars, self._in_over = outer, outer_over
        self._depth -= opening == "["
        if self._peek() in (")", "]"):
            self._take()
        return Bracket("()" if opening == "(" else "[]", inside)

    def _call(self) -> Item:
        function: Item = Symbol(self._take())
        while self._peek() in ("_", "^") and not self._spaced():
            script = self._take()
            function = Index(function, self._script()) if script == "_" else Power(function, self._script())
        if self._peek() == "(":
            return Call(function, self._bracket())
        return Call(function, self._factor()) if self._starts_factor() else function

    def _over(self) -> Item:
        """sum of x over c; sum over c of x; sum_c x; sum x over c."""
        kind = OVER[self._take()]
        over: Item | None = None
        if self._peek() == "_":
            self._take()
            over = self._script()
        elif self._peek() == "over":
            self._take()
            over = self._set(("of",))
        if self._peek() == "of":
            self._take()
        self._in_over += 1
        body = self._product()
        self._in_over -= 1
        if over is None and self._peek() == "over":
            self._take()
            over = self._set(())
        return Over(kind, body, over)

    def _set(self, ends: tuple[str, ...]) -> Item:
        """What a sum is over: names, commas and words."""
        items: list[Item] = []
        while self._peek() and self._peek() not in (*ends, *_STOPS, "=", "+", "-", "/"):
            if self._peek() == ",":
                if self._kind(1) != "name" or (self._is_word(1) and self._peek(1) != "dims"):
                    break
                items.append(Sign(self._take()))
            elif self._is_word():
                items.append(self._text(ends))
            else:
                items.append(self._factor())
        return row(*items)
