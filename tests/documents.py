"""What a document in Markdown shows: its programs and what they print, and its commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Program(NamedTuple):
    """A block of Python.

    Attributes:
        line: where it begins.
        text: the program.
        output: what the document says that it prints; None where it says nothing.
    """

    line: int
    text: str
    output: str | None


_PROGRAM = re.compile(r"^```python\n(.*?)^```\n(?:\n?^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def programs(document: str) -> list[Program]:
    """The blocks of Python, each with the block of text right after it."""
    found = _PROGRAM.finditer(document)
    return [Program(document[: m.start()].count("\n") + 1, m[1], m[2]) for m in found]


def commands(document: str) -> list[str]:
    """The lines that begin with gpunn, in indented blocks and in those of a console."""
    lines = re.findall(r"^(?:    |\$ )((?:[A-Z_]+=\S+ )*gpunn .*)$", document, re.MULTILINE)
    return [line.split("  #")[0].strip() for line in lines]
