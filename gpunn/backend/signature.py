"""What the kernels of a text are called with, read from the text itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\(\s*(?P<bound>\w+)[^)]*\)\s*)?(?P<name>\w+)\s*\('
)
_CONSTANT = re.compile(r"constexpr\s+int\s+(\w+)\s*=\s*(\d+)\s*;")
_FOR = re.compile(r"^//\s*compiled for (\w+) = ([\w ,]+?)\s*$", re.MULTILINE)


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
        ValueError: a parameter can't be read, such as one without a name.
    """
    constants = dict(_CONSTANT.findall(text))
    found = {}
    for match in _KERNEL.finditer(text):
        name, bound = match["name"], match["bound"]
        parameters = _parameters(name, text, match.end())
        found[name] = Signature(name, parameters, int(constants.get(bound, bound)) if bound else None)
    return found


def type_choices(text: str) -> dict[str, tuple[str, ...]]:
    """The types that a text is compiled for: its lines ``// compiled for scalar_t = float, double``, as a dictionary.

    With several lines every combination is meant.
    """
    return {name: tuple(choice.strip() for choice in choices.split(",")) for name, choices in _FOR.findall(text)}


def _parameters(kernel: str, text: str, start: int) -> tuple[Parameter, ...]:
    """The parameters from the opening bracket on. A comment belongs to the parameters before it on its line."""
    pieces: list[tuple[str, bool]] = []
    piece, at, on_line = "", start, 0
    while True:
        comment = _COMMENT.match(text, at)
        if comment:
            if re.search(r"\bnull\b", comment[0]):
                if piece.strip():
                    piece += " nullable"
                pieces[on_line:] = [(p, True) for p, _ in pieces[on_line:]]
            at = comment.end()
            continue
        character = text[at]
        at += 1
        if character in ",)":
            if piece.strip():
                pieces.append((piece, False))
            piece = ""
            if character == ")":
                return tuple(_parameter(kernel, p, nullable) for p, nullable in pieces)
        else:
            if character == "\n":
                on_line = len(pieces)
            piece += character


def _parameter(kernel: str, declaration: str, nullable: bool) -> Parameter:
    words = re.findall(r"\w+|\*|\S", declaration)
    words = [w for w in words if w not in ("__restrict__",)]
    if "nullable" in words:
        words.remove("nullable")
        nullable = True
    const = "const" in words
    words = [w for w in words if w != "const"]
    name, kind = words[-1], words[:-1]
    if not kind or not re.fullmatch(r"[A-Za-z_]\w*", name) or kind.count("*") > 1:
        raise ValueError(f"kernel {kernel}: can't read its parameter {declaration.strip()!r}")
    pointer = kind[-1] == "*"
    type_name = " ".join(kind[:-1] if pointer else kind)
    return Parameter(name, type_name, pointer, const and pointer, nullable and pointer)
