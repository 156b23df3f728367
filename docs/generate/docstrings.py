"""gpunn's docstrings as reStructuredText.

They are plain text: asterisks and bars are the signs of formulas, single backticks name something, sections such as
"Args:" list names. What lies in columns, and indented blocks, keep their lines.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

Resolve = Callable[[str], "str | None"]
"""The full public name of what a docstring calls by a name, None where there is none."""

_FIELDS = {"Args": "param", "Raises": "raises"}
_SECTION = re.compile(r"([A-Z][A-Za-z ]*):")
_ENTRY = re.compile(r"([*\w.`\"',/ -]{1,60}?):(?:\s+(.*)|$)")
_COLUMNS = re.compile(r"\S {3,}(?!\([^)]*\d{4}[^)]*\)\.?$)\S")  # a source at the end of a line is no column
_CODE = re.compile(r"``(.+?)``|`([^`]+)`", re.DOTALL)
_SIGNS = re.compile(r"[\\*|_`]")


def to_rst(text: str, resolve: Resolve = lambda name: None) -> list[str]:
    """The lines of a docstring as reStructuredText.

    Args:
        text: the docstring, without the indentation that it has in the source.
        resolve: finds what names in backticks stand for, to link to it.
    """
    return list(_blocks(text.split("\n"), resolve))


def _blocks(lines: list[str], resolve: Resolve) -> Iterator[str]:
    for indented, block in _paragraphs(lines):
        section = _SECTION.fullmatch(block[0].strip())
        if indented:
            yield from _literal(block)
        elif section and len(block) > 1:
            yield from _section(section[1], _dedented(block[1:]), resolve)
        elif _is_list(block):
            yield from _entries("param", block, resolve)
        elif any(_COLUMNS.search(line) for line in block):
            yield from _literal(block)
        else:
            yield from _inline(re.sub(r"\s*::$", ":", "\n".join(block)).removeprefix(":"), resolve).split("\n")
        yield ""


def _paragraphs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """What blank lines divide; an indented block, which may have some within, and a section are one each."""
    rest = list(lines)
    while rest:
        if not rest[0].strip():
            rest.pop(0)
            continue
        indented, section = rest[0].startswith(" "), bool(_SECTION.fullmatch(rest[0].rstrip()))
        end = 1
        while end < len(rest) and (rest[end].startswith(" ") or not rest[end].strip() or not indented):
            blank = not rest[end].strip()
            if (blank and not indented and not section) or (section and not blank and not rest[end].startswith(" ")):
                break
            end += 1
        block = rest[:end]
        while not block[-1].strip():
            block.pop()
        yield indented, block
        rest = rest[end:]


def _section(title: str, block: list[str], resolve: Resolve) -> Iterator[str]:
    if title in ("Returns", "Yields"):
        yield from _field(title.lower(), block, resolve)
    elif title in _FIELDS and all(_ENTRY.match(entry[0]) for entry in _split(block)):
        yield from _entries(_FIELDS[title], block, resolve)
    else:
        yield f".. rubric:: {title}"
        yield ""
        if title == "Attributes":
            yield from _attributes(block, resolve)
        elif title == "Shapes":
            yield from (f"| {_inline(line.strip(), resolve)}" for line in block if line.strip())
        else:
            yield from _blocks(block, resolve)


def _attributes(block: list[str], resolve: Resolve) -> Iterator[str]:
    for entry in _split(block):
        match = _ENTRY.match(entry[0])
        name, text = (match[1], match[2] or "") if match else ("", entry[0])
        yield "- " + (f"``{name}``: " if name else "") + _inline(" ".join([text, *entry[1:]]), resolve)


def _is_list(block: list[str]) -> bool:
    """Whether it lists names and what they are: in two columns, or with indented lines that go on with an entry."""
    heads = [line for line in block if not line.startswith(" ")]
    in_columns = len(heads) < len(block) or any(re.match(r"[*\w, ]+:\s{2,}\S", line) for line in heads)
    return in_columns and all(re.match(r"[*\w, ]+:\s+\S", line) for line in heads)


def _split(block: list[str]) -> list[list[str]]:
    """The entries of a list, each with the lines that go on with it."""
    entries: list[list[str]] = []
    for line in block:
        if line.startswith(" ") or not line.strip():
            if entries:
                entries[-1].append(line.strip())
        else:
            entries.append([line])
    return entries


def _entries(field: str, block: list[str], resolve: Resolve) -> Iterator[str]:
    for entry in _split(block):
        match = _ENTRY.match(entry[0])
        if match is None:
            yield from _inline("\n".join(entry), resolve).split("\n")
            yield ""
            continue
        name = match[1].replace("`", "").replace("*", "\\*")
        yield from _field(f"{field} {name}", [match[2] or "", *entry[1:]], resolve)


def _field(name: str, lines: list[str], resolve: Resolve) -> Iterator[str]:
    text = _inline("\n".join(line.strip() for line in lines).strip(), resolve)
    yield f":{name}: " + text.replace("\n", "\n    ").split("\n")[0]
    yield from ("    " + line.strip() for line in text.split("\n")[1:])


def _dedented(lines: list[str]) -> list[str]:
    depth = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[depth:] for line in lines]


def _literal(block: list[str]) -> Iterator[str]:
    block = _dedented(block)
    try:
        ast.parse("\n".join(block))
        language = "python"
    except SyntaxError:
        language = "text"
    yield f".. code-block:: {language}"
    yield ""
    yield from (f"    {line}" if line else "" for line in block)


def _inline(text: str, resolve: Resolve) -> str:
    """Words with what is code marked, and links to what has a page; everything else stands for itself."""
    result, end = [], 0
    for match in _CODE.finditer(text):
        result.append(_escaped(text[end : match.start()]))
        result.append(_code(match[1] or match[2], resolve if match[2] else lambda name: None))
        end = match.end()
        if text[end : end + 1].isalnum():
            result.append("\\ ")
    return "".join([*result, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return _SIGNS.sub(r"\\\g<0>", text.replace("->", "→").replace("<-", "←"))


def _code(code: str, resolve: Resolve) -> str:
    code = " ".join(code.split())
    target = resolve(code.removesuffix("()"))
    return f":py:obj:`{code} <{target}>`" if target else f"``{code}``"
