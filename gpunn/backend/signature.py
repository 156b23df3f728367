"""What the kernels of a text are called with, read from the text itself."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+'
    r"(?:void\s+(?:__launch_bounds__\s*\((?P<bound>[^,]+?)(?:,[^\n]*)?\)\s*)?"
    r"|__launch_bounds__\s*\((?P<before>[^,]+?)(?:,[^\n]*)?\)\s*void\s+)(?P<name>\w+)\s*"
    r"\((?P<parameters>(?://[^\n]*(?=\n|\Z)|(?!//)[^)])*)\)"
)
_PARAMETER = re.compile(r"\s*(const\s+)?(\w+(?:\s+\w+)*?)(\s+const)?\s*(?:(\*)\s*)?(?:const\s+)?\b([A-Za-z_]\w*)\s*")
_COMMENT = r"//[^\n]*|/\*.*?\*/"
_TEXT = r'"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\''
_TOKEN = re.compile(rf"{_COMMENT}|{_TEXT}|[{{}}]", re.DOTALL)
_BETWEEN = re.compile(rf"(?:\s|{_COMMENT})*(?=\{{)", re.DOTALL)
_DIRECTIVE = re.compile(r"^\s*#\s*(?!pragma unroll)", re.MULTILINE)
_IGNORED = re.compile(r"\b(?:__restrict__|__restrict|volatile|__grid_constant__)\b")
_CONSTANT = re.compile(r"constexpr\s+int\s+(\w+)\s*=\s*([^;]+);")
_LONGEST_BOUND = 1000
"""Characters of a launch bound in which constants of the text have taken the places of their names."""
_ENUMERATION = r"enum {}\s*\{{(.*?)\}}"
_ALONE = re.compile(r"^//\s*made for (sm_\d+[af]) alone\s*$", re.MULTILINE)
_FOR = re.compile(r"^//\s*compiled for (\w+) = ([\w ,]*[\w,])\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel.

    Attributes:
        name: as the text has it.
        type: the C type that it is or points to, without const: ``"float"``, ``"scalar_t"``, ``"long long"``.
        pointer: whether it is a pointer.
        const: for a pointer, whether nothing is written through it.
        nullable: for a pointer, whether it may be null, which the comment beside it says.
    """

    name: str
    type: str
    pointer: bool = False
    const: bool = False
    nullable: bool = False

    def __str__(self) -> str:
        return f"{'const ' if self.const else ''}{self.type}{'*' if self.pointer else ''} {self.name}"


@dataclass(frozen=True)
class Signature:
    """A kernel's name, its parameters, and the most threads a block may have (None: as many as the device allows)."""

    name: str
    parameters: tuple[Parameter, ...]
    bound: int | None = None

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parameters))})"


def signatures(text: str) -> dict[str, Signature]:
    """The signature of each kernel of a text, by name.

    Raises:
        ValueError: a parameter or a launch bound can't be read.
    """
    return {match["name"]: _signature(text, match) for match in _KERNEL.finditer(text)}


def signature(text: str, kernel: str, file: str) -> Signature:
    """The signature of one kernel of a text, whatever the others are like; `file` is named in errors.

    Raises:
        ValueError: there is no such kernel, or a parameter or the launch bound can't be read.
    """
    found = {match["name"]: match for match in _KERNEL.finditer(text)}
    if kernel not in found:
        raise ValueError(f'{file} has no kernel {kernel!r} that is extern "C"; it has {", ".join(found) or "none"}')
    return _signature(text, found[kernel])


def alone(text: str, kernel: str) -> str:
    """The text without its other kernels, which compiles in a fraction of the time; every line keeps its number.

    What may be more than a kernel stays: one whose head is in a comment, has no body, or has directives in it.
    """
    quoted = [token.span() for token in _TOKEN.finditer(text) if token[0] not in "{}"]
    kept, at = [], 0
    for match in _KERNEL.finditer(text):
        begin, end = match.start(), _end(text, match.end())
        told_of = any(first <= begin < last for first, last in quoted)
        if match["name"] == kernel or told_of or end is None or _DIRECTIVE.search(text, begin, end):
            continue
        kept += [text[at:begin], "\n" * text.count("\n", begin, end)]
        at = end
    return "".join((*kept, text[at:]))


def _end(text: str, at: int) -> int | None:
    """The end of the body behind a kernel's head, as its braces tell; None where there is none."""
    depth = 0
    for token in _TOKEN.finditer(text, at) if _BETWEEN.match(text, at) else ():
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if token[0] == "}" and depth == 0:
            return token.end()
    return None


def _signature(text: str, match: re.Match[str]) -> Signature:
    name, bound = match["name"], match["bound"] or match["before"]
    number = _number(name, bound, dict(_CONSTANT.findall(text))) if bound else None
    return Signature(name, _parameters(name, match["parameters"]), number)


def type_choices(text: str) -> dict[str, tuple[str, ...]]:
    """The types that a text is compiled for: its lines ``// compiled for scalar_t = float32, float64``.

    With several lines every combination is meant.
    """
    return {name: tuple(choice.strip() for choice in choices.split(",")) for name, choices in _FOR.findall(text)}


def type_combinations(text: str) -> list[dict[str, str]]:
    """Every combination of the `type_choices` of a text; the one empty dictionary for a text that leaves none open."""
    choices = type_choices(text)
    return [dict(zip(choices, combination)) for combination in itertools.product(*choices.values())]


def only_architecture(text: str) -> str:
    """The one architecture that a text is made for: its line ``// made for sm_90a alone``; else empty.

    Its letter stands for instructions that no other architecture has (PTX ISA, "PTX Module Directives: .target").
    """
    found = _ALONE.search(text)
    return found[1] if found else ""


def enumeration(text: str, name: str) -> dict[str, int]:
    """The names and numbers of an enumeration of a text: ``enum Unary { SQUARE, NEGATIVE, ... };``.

    Raises:
        ValueError: the text has no such enumeration.
    """
    found = re.search(_ENUMERATION.format(name), re.sub(r"//.*", "", text), re.DOTALL)
    if found is None:
        raise ValueError(f"the text has no enumeration {name!r}")
    numbers: dict[str, int] = {}
    for entry in filter(None, map(str.strip, found[1].split(","))):
        word, _, number = entry.partition("=")
        numbers[word.strip()] = int(number) if number else max(numbers.values(), default=-1) + 1
    return numbers


def _parameters(kernel: str, between_brackets: str) -> tuple[Parameter, ...]:
    """The parameters, line by line: a comment that says "null" belongs to all pointers on its line."""
    found = []
    for line in between_brackets.splitlines():
        declarations, _, comment = line.partition("//")
        nullable = re.search(r"\bnull\b", comment) is not None
        found += [_parameter(kernel, d, nullable) for d in declarations.split(",") if d.strip()]
    return tuple(found)


def _parameter(kernel: str, declaration: str, nullable: bool) -> Parameter:
    match = _PARAMETER.fullmatch(_IGNORED.sub(" ", declaration))
    if match is None:
        raise ValueError(f"kernel {kernel}: can't read its parameter {declaration.strip()!r}")
    before, words, behind, star, name = match.groups()
    pointer = bool(star)
    const = pointer and bool(before or behind)
    return Parameter(name, " ".join(words.split()), pointer, const=const, nullable=pointer and nullable)


def _number(kernel: str, expression: str, constants: dict[str, str]) -> int:
    """The value of a launch bound: numbers, constants of the text, and arithmetic with them."""
    expanded = expression
    while len(expanded) < _LONGEST_BOUND and (names := set(re.findall(r"[A-Za-z_]\w*", expanded)) & constants.keys()):
        expanded = re.sub(rf"\b({'|'.join(names)})\b", lambda m: f"({constants[m[0]]})", expanded)
    try:
        if not re.fullmatch(r"[\d\s()+*/-]+", expanded) or "**" in expanded:
            raise SyntaxError
        return int(eval(expanded.replace("/", "//")))  # noqa: S307 (digits and operators, nothing else)
    except (SyntaxError, TypeError, ZeroDivisionError, RecursionError, MemoryError):
        raise ValueError(f"kernel {kernel}: can't read its launch bound {expression!r}") from None
