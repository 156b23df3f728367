"""Kernel texts as definitions, and what a kernel is made of."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from gpunn.backend.kernel_texts import included_headers, kernel_names, kernel_text
from gpunn.backend.signature import signatures

_TEMPLATE = r"^(?:template <[^{(]*>\s)?"
_NAMES = [
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^#define (\w+)",
        r"^typedef .*?(\w+);",
        r"^using (\w+)",
        _TEMPLATE + r"(?:struct|enum) (\w+)",
        _TEMPLATE + r"constexpr [\w ]+? (\w+)(?: =|\[)",
        r"(\w+)\s*\(",
    )
]
_BOUND = re.compile(r"__launch_bounds__\((?:[^()]|\([^()]*\))*\)")
_WORD = re.compile(r"[A-Za-z_]\w*")
COMMON = ("common.cuh", "scalar.cuh", "ptx.cuh", "layout.cuh")
"""Headers that all kernels speak in: indices, types, machine instructions, strides. They say nothing of one rung."""


class Definition(NamedTuple):
    """A function, struct, constant or macro, with the comment before it.

    Attributes:
        name: of what it defines.
        text: its lines.
    """

    name: str
    text: str


@cache
def text_of(kernel: str) -> str:
    """The name of the text that has a kernel.

    Raises:
        LookupError: no text has it.
    """
    for name in kernel_names():
        if name.endswith(".cu") and kernel in signatures(kernel_text(name)):
            return name
    raise LookupError(f"no text has a kernel {kernel}")


def header_comment(text: str) -> str:
    """The comment that a text begins with."""
    return "\n".join(line[2:].removeprefix(" ") for line in _leading_comment(text.split("\n")))


def comment_of(kernel: str) -> str:
    """The comment right before a kernel; empty where there is none."""
    found = next(d for d in _definitions(kernel_text(text_of(kernel))) if d.name == kernel)
    return header_comment(found.text)


@cache
def kernels_and_what_they_call(kernels: tuple[str, ...]) -> str:
    """The definitions that kernels are made of, without those of the `COMMON` headers."""
    found: dict[Definition, None] = {}
    for kernel in kernels:
        texts = [h for h in (*included_headers(text_of(kernel)), text_of(kernel)) if h not in COMMON]
        definitions = [d for name in texts for d in _definitions(kernel_text(name))]
        wanted, chosen = {kernel}, set()
        while more := {d for d in definitions if d.name in wanted and d not in chosen}:
            chosen |= more
            wanted |= {word for d in more for word in _WORD.findall(_without_comments(d.text))}
        found |= dict.fromkeys(d for d in definitions if d in chosen)
    return "\n\n".join(d.text for d in found) + "\n"


@cache
def _definitions(text: str) -> tuple[Definition, ...]:
    """What a text defines at its top level. Comments that stand by themselves, includes and pragmas are left out."""
    lines = text.split("\n")
    lines = lines[len(_leading_comment(lines)) :]
    found, block, depth = [], list[str](), 0
    for line in lines:
        if not line.strip() and depth == 0:
            block = []
            continue
        block.append(line)
        code = line.split("//")[0]
        depth += code.count("{") + code.count("(") - code.count("}") - code.count(")")
        if depth == 0 and (code.rstrip().endswith((";", "}")) or code.startswith("#")):
            if name := _defined("\n".join(block)):
                found.append(Definition(name, "\n".join(block)))
            block = []
    return tuple(found)


def _defined(text: str) -> str | None:
    code = _BOUND.sub("", _without_comments(text)).strip()
    return next((match[1] for pattern in _NAMES if (match := pattern.search(code))), None)


def _leading_comment(lines: list[str]) -> list[str]:
    end = next((i for i, line in enumerate(lines) if not line.startswith("//")), len(lines))
    return lines[:end]


def _without_comments(text: str) -> str:
    return "\n".join(line.split("//")[0] for line in text.split("\n"))
