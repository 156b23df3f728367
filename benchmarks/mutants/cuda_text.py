"""The places of a CUDA text that can be changed, and what each is changed into.

The operators are those that mutation testing of C uses (Jia and Harman, "An analysis and survey of the development of
mutation testing", IEEE Transactions on Software Engineering 37, 2011, section 3), and those of CUDA: a barrier less,
another axis of a thread's position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from random import Random
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<number>0[xX][0-9a-fA-F]+[uUlL]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFuUlL]*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<operator><<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|::|.)""",
    re.DOTALL | re.VERBOSE,
)
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w+)[ \t]*((?:[^\n\\]|\\\n)*)", re.MULTILINE)
# The host reads these from the text too; and what only tells the compiler how many registers there are.
_LEFT_ALONE = re.compile(
    r"\benum\b[^;{]*\{.*?\}|__launch_bounds__\s*\((?:[^()]|\([^()]*\))*\)|\bstatic_assert\s*\([^;]*;|\basm\b[^;]*;"
    r"|\btemplate\s*<[^;{}]*?>(?=\s*(?:__|static|struct|constexpr|const|inline|void))",
    re.DOTALL,
)
_EXCHANGED = {
    "bound": {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    "operator": {
        **{"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "<<": ">>", ">>": "<<", "&": "|", "|": "&", "^": "&"},
        **{"&&": "||", "||": "&&"},
        **{
            "+=": "-=",
            "-=": "+=",
            "*=": "/=",
            "/=": "*=",
            "&=": "|=",
            "|=": "&=",
            "^=": "&=",
            "<<=": ">>=",
            ">>=": "<<=",
        },
    },
    "extreme": {"min": "max", "max": "min", "fmin": "fmax", "fmax": "fmin", "fminf": "fmaxf", "fmaxf": "fminf"},
    "constant": {"true": "false", "false": "true"},
    "type": {
        **{"index_t": "signed char", "unsigned": "int", "acc_t": "scalar_t", "float": "half_t", "double": "float"},
    },
    "barrier": {"__syncthreads": None, "__syncwarp": None, "cp_async_wait": None, "cp_async_commit": None},
}
_AXES = {"x": "y", "y": "x", "z": "x"}
_POSITIONS = ("threadIdx", "blockIdx", "blockDim", "gridDim")
_JUMPS = ("return", "continue", "break")
_NOT_A_STATEMENT = (
    *(
        "if",
        "for",
        "while",
        "do",
        "else",
        "switch",
        "case",
        "default",
        "return",
        "continue",
        "break",
        "const",
        "struct",
    ),
    *("constexpr", "template", "typedef", "using", "static", "extern", "typename", "public", "private", "__shared__"),
)


class Mutant(NamedTuple):
    """A text with one change.

    Attributes:
        text: the file's name.
        line: of the change, from 1.
        column: from 1.
        operator: what kind of change.
        before: what stood there.
        after: what stands there now.
    """

    text: str
    line: int
    column: int
    operator: str
    before: str
    after: str

    def applied(self, source: str) -> str:
        """The text with the change."""
        at = sum(len(line) for line in source.splitlines(keepends=True)[: self.line - 1]) + self.column - 1
        assert source.startswith(self.before, at), self
        return source[:at] + self.after + source[at + len(self.before) :]


class _Token(NamedTuple):
    kind: str
    text: str
    at: int
    end: int


def mutants(text: str, source: str) -> list[Mutant]:
    """Every change of a text that there is: of each kind one in turn, in a random order that is always the same."""
    kinds: dict[str, list[Mutant]] = {}
    for operator, at, before, after in _changes(source):
        line = source.count("\n", 0, at) + 1
        column = at - (source.rfind("\n", 0, at) + 1) + 1
        kinds.setdefault(operator, []).append(Mutant(text, line, column, operator, before, after))
    for kind in kinds.values():
        Random(text).shuffle(kind)
    return [mutant for turn in zip_longest(*kinds.values()) for mutant in turn if mutant is not None]


def _changes(source: str) -> Iterator[tuple[str, int, str, str]]:
    """The changes as (operator, position, what is there, what comes there)."""
    tokens = _tokens(source)
    for i, token in enumerate(tokens):
        before, after = (tokens[i - 1] if i else token), (tokens[i + 1] if i + 1 < len(tokens) else token)
        spaced = before.end < token.at and token.end < after.at  # a binary operator, and no template's bracket
        for operator, exchanged in _EXCHANGED.items():
            if token.text not in exchanged:
                continue
            other = exchanged[token.text]
            if other is None:
                if (end := _end_of_statement(tokens, i)) is not None:
                    yield operator, token.at, source[token.at : end], ""
            elif token.kind == "operator":
                if spaced and _is_value(before):
                    yield operator, token.at, token.text, other
            elif operator == "constant" or (_types_a_local(tokens, i) if operator == "type" else after.text == "("):
                yield operator, token.at, token.text, other
        if token.kind == "number":
            for other in _numbers(token.text):
                yield "constant", token.at, token.text, other
        elif token.text == "[" and _is_value(before) and not _declares_array(tokens, i):
            end = tokens[_closing(tokens, i)].at
            inside = source[token.end : end]
            if inside and "\n" not in inside:
                yield "index", token.end, inside, f"({inside}) + 1"
        elif token.text in ("if", "while") and after.text == "(":
            end = tokens[_closing(tokens, i + 1)].at
            condition = source[after.end : end]
            yield "condition", after.end, condition, f"!({condition})"
        elif token.text in _AXES and before.text == "." and tokens[i - 2].text in _POSITIONS:
            yield "index", token.at, token.text, _AXES[token.text]
        elif token.text in _JUMPS and after.text == ";":
            yield "statement", token.at, token.text, ""
        if before.text in (";", "{", "}", ")") and (end := _expression_statement(tokens, i)) is not None:
            yield "statement", token.at, source[token.at : end], ""


def _tokens(source: str) -> list[_Token]:
    """What g++ compiles of a text, token by token."""
    hidden = bytearray(len(source))
    for match in _LEFT_ALONE.finditer(source):
        hidden[match.start() : match.end()] = b"\1" * (match.end() - match.start())
    # Of what is for one compiler alone only what the simulator sees.
    shown, end = [True], 0
    for match in _DIRECTIVE.finditer(source):
        if not shown[-1]:
            hidden[end : match.start()] = b"\1" * (match.start() - end)
        hidden[match.start() : match.end()] = b"\1" * (match.end() - match.start())
        end, word, condition = match.end(), match[1], match[2]
        if word in ("if", "ifdef", "ifndef"):
            shown.append(shown[-1] and (word == "ifndef") != ("GPUNN_SIMULATOR" in condition))
        elif word in ("elif", "else"):
            shown[-1] = shown[-2] and not shown[-1] and word == "else"
        elif word == "endif":
            shown.pop()
    tokens = []
    for match in _TOKEN.finditer(source):
        if match.lastgroup != "space" and not hidden[match.start()]:
            tokens.append(_Token(match.lastgroup or "", match[0], match.start(), match.end()))
    return tokens


def _is_value(token: _Token) -> bool:
    """Whether a value ends with this token, so that an operator behind it is a binary one."""
    return (token.kind in ("name", "number") and token.text not in _NOT_A_STATEMENT) or token.text in (")", "]")


def _closing(tokens: list[_Token], i: int) -> int:
    """The bracket that closes the one at `i`."""
    depth = 0
    for j in range(i, len(tokens)):
        depth += (tokens[j].text in "([{") - (tokens[j].text in ")]}")
        if depth == 0:
            return j
    return len(tokens) - 1


def _end_of_statement(tokens: list[_Token], i: int) -> int | None:
    """Where the statement that begins at `i` ends: before its semicolon."""
    while i < len(tokens) and tokens[i].text != ";":
        if tokens[i].text in ("{", "}", ")", "]"):
            return None
        i = _closing(tokens, i) + 1 if tokens[i].text in ("(", "[") else i + 1
    return tokens[i].at if i < len(tokens) else None


def _expression_statement(tokens: list[_Token], i: int) -> int | None:
    """Where the assignment or call that begins at `i` ends; None where something else begins."""
    token = tokens[i]
    if i and tokens[i - 1].text == ")" and not _closes_a_condition(tokens, i - 1):
        return None
    if token.text in _NOT_A_STATEMENT or token.text in _EXCHANGED["barrier"]:
        return None
    if not (token.kind == "name" or token.text in ("*", "(")):
        return None
    following = tokens[i + 1] if i + 1 < len(tokens) else token
    if token.kind == "name" and following.text not in (
        "=",
        "+=",
        "-=",
        "*=",
        "/=",
        "&=",
        "|=",
        "^=",
        "[",
        "(",
        ".",
        "->",
    ):
        return None
    end = _end_of_statement(tokens, i)
    if end is None:
        return None
    assigns = any(t.text in ("=", "+=", "-=", "*=", "/=", "&=", "|=", "^=") for t in tokens[i:] if t.at < end)
    return end if assigns or following.text in ("(", ".", "->") else None


def _closes_a_condition(tokens: list[_Token], i: int) -> bool:
    """Whether the bracket at `i` closes that of an ``if``, ``for`` or ``while``."""
    depth = 0
    while i:
        depth += (tokens[i].text == ")") - (tokens[i].text == "(")
        i -= 1
        if depth == 0:
            return tokens[i].text in ("if", "for", "while")
    return False


def _types_a_local(tokens: list[_Token], i: int) -> bool:
    """Whether the type at `i` is that of a variable with a value, as in ``const acc_t sum = 0``, or of a cast."""
    before, following = tokens[i - 1], tokens[i + 1 : i + 3]
    if (before.text == "(" and following[0].text == ")") or following[0].text == "(":
        return True
    return following[0].kind == "name" and following[1].text in ("=", "[", ";")


def _declares_array(tokens: list[_Token], i: int) -> bool:
    """Whether the bracket at `i` is that of an array's declaration, such as ``float tile[16][17]``."""
    j = i - 1
    while tokens[j].text == "]":  # an earlier axis
        depth = 0
        while True:
            depth += (tokens[j].text == "]") - (tokens[j].text == "[")
            j -= 1
            if depth == 0:
                break
    before = tokens[j - 1]
    declared = before.kind == "name" and before.text not in ("return", "else", "case")
    if before.text == ",":  # float a[2], b[3]
        start = j
        while start and tokens[start].text not in (";", "{", "}", "("):
            start -= 1
        first, second = tokens[start + 1], tokens[start + 2]
        declared = tokens[start].text != "(" and first.kind == second.kind == "name"
    return declared or (before.text in (">", "*", "&") and tokens[j - 1].end == tokens[j].at - 1 and before.text == ">")


def _numbers(text: str) -> list[str]:
    """Other constants in the place of this one: one more, and one less or half of it."""
    digits = text.rstrip("uUlLfF") if not text.lower().startswith("0x") else text.rstrip("uUlL")
    suffix = text[len(digits) :]
    if digits.lower().startswith("0x"):
        return [f"{int(digits, 16) ^ 1:#x}{suffix}"]
    if digits.isdigit():
        number = int(digits)
        return [f"{number + 1}{suffix}", *([f"{number - 1}{suffix}"] if number else [])]
    return [f"{float(digits) * 1.5 + (float(digits) == 0)!r}{suffix}", *([f"{0.0!r}{suffix}"] if float(digits) else [])]
