"""What is read from the text of a kernel, and how it is turned into C++ for g++."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BOUNDS = r"__launch_bounds__\s*\((?P<{}>(?:[^()]|\([^()]*\))*)\)"
_KERNEL = re.compile(
    rf"(?P<template>\btemplate\s*<[^;{{}}]*>\s*)?(?:{_BOUNDS.format('before')}\s*)?(?:extern\s+\"C\"\s+)?"
    rf"__global__\s+(?:static\s+|inline\s+)*(?:{_BOUNDS.format('between')}\s*)?"
    rf"void\s+(?:{_BOUNDS.format('after')}\s*)?(?P<name>\w+)\s*\("
)
_DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:(?:__align__|alignas)\s*\([^()]*\)\s*)?(?P<type>[\w:][\w:<>,\s]*?)\s*"
    r"(?:(?:__align__|alignas)\s*\([^()]*\)\s*)?\b(?P<name>\w+)\s*\[\s*\]\s*;"
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">\n]+)[">]', re.MULTILINE)


@dataclass(frozen=True)
class KernelText:
    """A kernel as its text declares it.

    Attributes:
        name: the kernel's name.
        parameters: the names of its parameters.
        restricted: which of them are `__restrict__`.
        bound: its launch bound, as an expression.
        is_template: whether it is a template, of which a name expression makes a kernel.
    """

    name: str
    parameters: tuple[str, ...]
    restricted: tuple[bool, ...]
    bound: str | None
    is_template: bool


def kernels(code: str) -> dict[str, KernelText]:
    """The kernels that a text declares outside macros, by name."""
    plain = _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), code)
    found = {}
    for match in _KERNEL.finditer(plain):
        bounds = match["before"] or match["between"] or match["after"]
        bound = _split(bounds)[0].strip() if bounds else None
        declared = _parameters(plain, match.end())
        found[match["name"]] = KernelText(
            match["name"],
            tuple(_name(declaration) for declaration in declared),
            tuple("__restrict__" in declaration for declaration in declared),
            bound,
            match["template"] is not None,
        )
    return found


def _parameters(text: str, start: int) -> list[str]:
    """The declarations in the list of parameters that begins at `start`, behind the bracket."""
    depth, end = 1, start
    while end < len(text) and depth:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return [declaration for declaration in _split(text[start : end - 1]) if declaration.strip() not in ("", "void")]


def _name(declaration: str) -> str:
    """The name of a parameter; empty for one without."""
    words = re.findall(r"[A-Za-z_]\w*", declaration.split("=")[0])
    return words[-1] if len(words) > 1 and words[-1] != "__restrict__" else ""


def _split(text: str) -> list[str]:
    """The parts between commas that are in no bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, "<": 1, "[": 1, "{": 1, ")": -1, ">": -1, "]": -1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def rewrite_dynamic_shared(code: str) -> str:
    """``extern __shared__ T s[];`` as a pointer to the launch's dynamic shared memory, on as many lines as before."""

    def pointer(match: re.Match[str]) -> str:
        return f"SIMULATOR_DYNAMIC_SHARED({match['type']}, {match['name']});" + "\n" * match[0].count("\n")

    return _DYNAMIC_SHARED.sub(pointer, code)


def translation_unit(code: str, exports: dict[str, str], bounds: dict[str, str]) -> str:
    """The C++ file of a module.

    Args:
        code: the kernel text.
        exports: the kernels that can be launched, as expressions such as ``"axpy<float>"``, by the name of the symbol.
        bounds: the launch bounds as expressions, by the name of the symbol.
    """
    lines = ['#include "cuda.h"', '#line 1 "kernel.cu"', rewrite_dynamic_shared(code), '#line 1 "simulator-exports"']
    lines += [f"SIMULATOR_EXPORT({symbol}, {expression})" for symbol, expression in exports.items()]
    lines += [f"SIMULATOR_BOUND({symbol}, ({bound}))" for symbol, bound in bounds.items()]
    return "\n".join(lines) + "\n"


def included(code: str, folders: Sequence[Path]) -> Iterable[tuple[Path, str]]:
    """The headers that a text includes, directly or not, where they lie in `folders` or beside one another."""
    seen: set[Path] = set()
    todo: list[tuple[str, Path | None]] = [(code, None)]
    while todo:
        text, folder = todo.pop()
        for quote, name in _INCLUDE.findall(text):
            for place in ([folder] if folder and quote == '"' else []) + list(folders):
                path = place / name
                if path in seen:
                    break
                if path.is_file():
                    seen.add(path)
                    header = path.read_text(encoding="utf-8", errors="replace")
                    yield path, header
                    todo.append((header, path.parent))
                    break
