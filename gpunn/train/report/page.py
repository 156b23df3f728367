"""What every page is made of: tables, tiles, figures, sections. All text that comes in appears as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any


def page(
    title: str, sections: Iterable[str], note: str = "", head: str = "", before: str = "", behind: str = ""
) -> str:
    """A whole page that needs nothing else.

    title:    its heading
    sections: made by the functions below
    note:     a line below the heading
    head:     further HTML for its head, and so `before` and `behind` its content
    """
    style = resources.files("gpunn.train.report").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n{head}</head>\n"
        f"<body>\n{before}{main(title, sections, note)}\n{behind}</body>\n</html>\n"
    )


def main(title: str, sections: Iterable[str], note: str = "") -> str:
    """What is in the body of a page."""
    line = f"<p>{escape(note)}</p>" if note else ""
    content = "\n".join(section for section in sections if section)
    return f'<main>\n<header><p class="mark">gpunn</p><h1>{escape(title)}</h1>{line}</header>\n{content}\n</main>'


def section(title: str, *content: str) -> str:
    """A part of a page with a heading; nothing without content."""
    inside = "".join(content)
    return f"<section><h2>{escape(title)}</h2>{inside}</section>" if inside else ""


def paragraph(text: str) -> str:
    """A paragraph of text."""
    return f"<p>{escape(text)}</p>"


def items(lines: Iterable[str]) -> str:
    """A list of lines, to draw attention to."""
    said = "".join(f'<li class="warning">{escape(line)}</li>' for line in lines)
    return f"<ul>{said}</ul>" if said else ""


def preformatted(text: str) -> str:
    """Lines as they are."""
    return f'<pre tabindex="0">{escape(text)}</pre>' if text else ""


def tiles(values: Mapping[str, str]) -> str:
    """Single results, each with its name."""
    cells = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in values.items())
    return f'<dl class="tiles">{cells}</dl>' if values else ""


def figures(svgs: Iterable[str], kind: str = "curves") -> str:
    """Diagrams beside one another, or of the kind "broad", which may be wider than the window, below one another."""
    move = ' tabindex="0" aria-label="Diagram that can be moved sideways"' if kind == "broad" else ""
    drawn = "".join(f"<figure{move}>{svg}</figure>" for svg in svgs if svg)
    return f'<div class="{kind}">{drawn}</div>' if drawn else ""


def legend(names: Sequence[str]) -> str:
    """The names of the series of several diagrams, with the lines that they are drawn in."""
    items = "".join(
        '<li><svg class="key" viewBox="0 0 28 8" aria-hidden="true"><line class="line '
        f'{series(i)}" x1="0" x2="28" y1="4" y2="4"/></svg>{escape(name)}</li>'
        for i, name in enumerate(names)
    )
    return f'<ul class="legend">{items}</ul>'


def series(number: int) -> str:
    """The class of a series, which decides its colour and its dashes; there are eight."""
    return f"s{number % 8}"


def table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], label: str, marked: Iterable[tuple[int, int]] = ()
) -> str:
    """A table, whose rows begin with their names; it may be wider than the window, and is then moved sideways.

    label:  what it is, for those who do not see it
    marked: cells to draw attention to, as (row, column)
    """
    marks = set(marked)
    top = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = []
    for i, row in enumerate(rows):
        cells = "".join(
            f'<td class="marked">{escape(str(v))}</td>' if (i, j) in marks else f"<td>{escape(str(v))}</td>"
            for j, v in enumerate(row)
            if j
        )
        body.append(f'<tr><th scope="row">{escape(str(row[0]))}</th>{cells}</tr>')
    return wide(f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(body)}</tbody></table>", label) if body else ""


def pairs(values: Mapping[str, Any], label: str) -> str:
    """Names and values; those of a table within under "table.name"."""
    rows = "".join(
        f'<tr><th scope="row">{escape(k)}</th><td>{escape(str(v))}</td></tr>' for k, v in flat(values).items()
    )
    return wide(f'<table class="pairs"><tbody>{rows}</tbody></table>', label) if rows else ""


def wide(content: str, label: str) -> str:
    """Something that may be wider than the window, reachable by keyboard."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}">{content}</div>'


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """A table of tables as one, with names such as "table.name"."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return found


def number(name: str, value: float) -> str:
    """Fractions of samples in percent, other numbers with four digits."""
    return f"{value:.2%}" if name.endswith("accuracy") or "top" in name else f"{value:.4g}"
