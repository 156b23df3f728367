"""What objects look like in a notebook: small tables of text, in the colours of the page around them, dark or light."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .printing import describe

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

MOST_ROWS = 60
"""Of a longer table the rest is a line that says how many rows there are more."""
EDGE = 5
"""Of a dimension with more than twice as many elements, so many are shown at each end."""
_STYLE = """<style>
.gpunn-table { overflow-x: auto; color: inherit }
.gpunn-table table { border-collapse: collapse; border: none; color: inherit; background: transparent }
.gpunn-table :is(td, th) { padding: 1px 8px; border: none; text-align: left; color: inherit; background: transparent }
.gpunn-table th { border-bottom: 1px solid color-mix(in srgb, currentColor 40%, transparent) }
.gpunn-table td { white-space: pre-wrap }
.gpunn-table .number { text-align: right }
.gpunn-table small { opacity: .8 }
</style>"""
_NAMES = ("", "place", "layer", "tensor")
"""Columns that are not of numbers, whatever stands in them."""
_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?( ?(B|KiB|MiB|GiB|TiB|[kMGTPE]|%|ms|us|s|nan|inf))?|[-+]?(nan|inf)|")


def in_notebook() -> bool:
    """Whether this is a notebook's kernel, which shows HTML; not a terminal's IPython."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "", note: str = "") -> str:
    """A table as HTML; all that it shows is text, whatever is in it. Columns of numbers stand to the right.

    Args:
        columns: their names.
        rows: the cells of each row.
        title: a line above.
        note: a line below.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    shown, rest = cells[:MOST_ROWS], len(cells) - MOST_ROWS
    numbers = [
        name not in _NAMES and bool(shown) and all(_NUMBER.fullmatch(row[i]) for row in shown)
        for i, name in enumerate(columns)
    ]
    head, *body = (
        f"<tr>{''.join(_cell(tag, cell, right) for cell, right in zip(row, numbers))}</tr>"
        for tag, row in (("th", columns), *(("td", row) for row in shown))
    )
    more = f"{rest:,} more rows" if rest > 0 else ""
    notes = "".join(f"<div><small>{html.escape(line)}</small></div>" for line in (more, note) if line)
    above = f"<div>{html.escape(title)}</div>" if title else ""
    grid = f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
    return f'{_STYLE}<div class="gpunn-table">{above}{grid}{notes}</div>'


def text(shown: str) -> str:
    """Text as it is, in lines, as HTML."""
    return f'<pre style="background:transparent;color:inherit">{html.escape(shown)}</pre>'


def tensor(x: Tensor) -> str:
    """The elements of a vector or matrix as a table, and of others as text."""
    if not hasattr(x._data, "dtype") or x.device.type == "meta" or x.ndim not in (1, 2) or not x.numel():
        return text(describe(x))
    values = x.detach().cpu().numpy()
    matrix = values.reshape(1, -1) if x.ndim == 1 else values
    rows, columns = _shown(matrix.shape[0]), _shown(matrix.shape[1])
    cells = [
        ["..." if i is None else str(i) if x.ndim == 2 else "", *(_number(matrix, i, j) for j in columns)] for i in rows
    ]
    notes = [repr(x._spec), f"on {x.device}"]
    notes += [repr(x.grad_fn)] if x.grad_fn is not None else ["requires grad"] if x.requires_grad else []
    return table(["", *("..." if j is None else str(j) for j in columns)], cells, note=", ".join(notes))


def _shown(size: int) -> list[int | None]:
    """The places that are shown along a dimension; None for those that are left out."""
    if size <= 2 * EDGE:
        return list(range(size))
    return [*range(EDGE), None, *range(size - EDGE, size)]


def _number(matrix: Any, i: int | None, j: int | None) -> str:
    if i is None or j is None:
        return "..."
    value = matrix[i, j]
    return str(value) if matrix.dtype.kind in "biu" else f"{float(value):.4g}"


def _cell(tag: str, content: str, right: bool) -> str:
    kind = ' class="number"' if right else ""
    return f"<{tag}{kind}>{html.escape(content)}</{tag}>"
