"""A table as text of which a diff is readable: one line a row, columns that keep their places."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

NONE = "-"
"""Where a column has nothing to say of a row."""
_STEP = 4  # a column's width is a multiple of it, so that a longer cell seldom moves the others

Measure = Callable[[str], float]
Row = tuple[str, ...]
"""The cells of one row, those that name it first."""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: its heading.
        cost: a number for each cell, the higher the worse; None where neither more nor less is worse.
    """

    name: str
    cost: Measure | None = None


def more(cell: str) -> float:
    """The cost where more is worse."""
    return 0.0 if cell == NONE else float(cell)


def less(cell: str) -> float:
    """The cost where less is worse."""
    return -more(cell)


def narrower(cell: str) -> float:
    """The cost where less bits at a time are worse, of a cell such as "128x4 32x1": bits and how many accesses."""
    accesses = [tuple(map(int, part.split("x"))) for part in cell.split()] if cell != NONE else []
    return -sum(bits * count for bits, count in accesses) / max(1, sum(count for _, count in accesses))


class Layout(NamedTuple):
    """What a table has: the headings of the cells that name a row, and its columns."""

    names: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def headings(self) -> Row:
        """All headings."""
        return (*self.names, *(column.name for column in self.columns))

    def keyed(self, rows: Iterable[Row]) -> dict[Row, Row]:
        """The other cells of each row, by those that name it.

        Raises:
            ValueError: two rows have the same name.
        """
        found: dict[Row, Row] = {}
        for row in rows:
            key, cells = row[: len(self.names)], row[len(self.names) :]
            if key in found:
                raise ValueError(f"there are two rows of {' '.join(key)}")
            found[key] = cells
        return found


class Table(NamedTuple):
    """What was measured, and the versions of the programs that it depends on."""

    versions: str
    rows: list[Row]


def write(file: Path, title: str, layout: Layout, table: Table) -> None:
    """Write a table."""
    lines = [layout.headings, *table.rows]
    widths = [-(-(max(map(len, column)) + 2) // _STEP) * _STEP for column in zip(*lines)]
    text = [f"# {title}", f"# {table.versions}"]
    text += ["".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip() for line in lines]
    file.write_text("\n".join(text) + "\n", encoding="utf-8")


def read(file: Path, layout: Layout) -> Table:
    """Read a table that `write` wrote.

    Raises:
        ValueError: it has other columns, or none at all.
    """
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    versions = next((line.removeprefix("# ") for line in lines[1:2]), "")
    headings, *rows = [tuple(re.split(r"\s{2,}", line)) for line in lines[2:]] or [()]
    if headings != layout.headings:
        raise ValueError(f"{file} has other columns than are measured now")
    return Table(versions, rows)


class Difference(NamedTuple):
    """How a row differs from what was recorded: "worse", "better", "other", "new" or "gone", the row's name, and what
    has changed.
    """

    verdict: str
    name: str
    changes: str

    def __str__(self) -> str:
        return f"{self.verdict:<6}  {self.name}: {self.changes}"


VERDICTS = ("worse", "new", "gone", "better", "other")
"""In the order in which differences are told. A row of which something is worse is worse, whatever else is better."""


def differences(layout: Layout, recorded: Sequence[Row], found: Sequence[Row]) -> list[Difference]:
    """How two tables differ, the worst first."""
    before, now = layout.keyed(recorded), layout.keyed(found)
    result = [_difference(layout, key, before.get(key), now.get(key)) for key in {**before, **now}]
    return sorted((d for d in result if d), key=lambda d: VERDICTS.index(d.verdict))


def _difference(layout: Layout, key: Row, before: Row | None, now: Row | None) -> Difference | None:
    name = " ".join(key)
    if before is None or now is None:
        cells = before or now or ()
        headed = ", ".join(f"{c.name} {cell}" for c, cell in zip(layout.columns, cells) if cell != NONE)
        return Difference("new" if before is None else "gone", name, headed)
    changes = list(_changes(layout, before, now))
    if not changes:
        return None
    verdicts = {verdict for verdict, _ in changes}
    verdict = next(v for v in VERDICTS if v in verdicts)
    return Difference(verdict, name, ", ".join(f"{text} ({v})" if v != "other" else text for v, text in changes))


def _changes(layout: Layout, before: Row, now: Row) -> Iterator[tuple[str, str]]:
    """Each cell that has changed: whether it is worse, better or neither, and how."""
    for column, old, new in zip(layout.columns, before, now):
        if old != new:
            rise = column.cost(new) - column.cost(old) if column.cost else 0
            yield "worse" if rise > 0 else "better" if rise < 0 else "other", f"{column.name} {old} -> {new}"
