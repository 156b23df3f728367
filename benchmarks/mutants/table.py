"""What was tried of each text: a table with a line for each change."""

from __future__ import annotations

import csv
import fcntl
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .cuda_text import Mutant

RESULTS = Path(__file__).parents[1] / "results" / "mutants"
_COLUMNS = ("line", "column", "operator", "before", "after", "verdict", "what", "test", "seconds")


class Verdict(NamedTuple):
    """What came of a change.

    Attributes:
        verdict: "caught", "survived", "same code" (nothing was changed), or "invalid" (it does not compile).
        what: how it was caught, or what was tried.
        test: the test that caught it.
        seconds: of CPU time.
    """

    verdict: str
    what: str
    test: str
    seconds: float


class Table:
    """The table of one text. It is kept while the text is the same; several processes may add to it.

    Args:
        folder: of the table, in `RESULTS`.
        name: the text's.
        source: the text as it is now.
    """

    def __init__(self, folder: str, name: str, source: str) -> None:
        self.name = name
        self.path = RESULTS / folder / f"{name.replace('/', '.')}.tsv"
        self.key = f"# {hashlib.sha256(source.encode()).hexdigest()[:16]}"

    def rows(self) -> list[dict[str, str]]:
        """What the table has, if it is of the text as it is now."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return (
            list(csv.DictReader(lines[1:], delimiter="\t", quoting=csv.QUOTE_NONE)) if lines[:1] == [self.key] else []
        )

    def left(self, chosen: Iterable[Mutant]) -> list[Mutant]:
        """Those that are not in the table."""
        done = {(row["line"], row["column"], row["operator"], row["after"]) for row in self.rows()}
        return [m for m in chosen if (str(m.line), str(m.column), m.operator, cell(m.after)) not in done]

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        """Add a line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+", encoding="utf-8", newline="") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            if file.readline().rstrip("\n") != self.key:
                file.truncate(0)
                file.write(f"{self.key}\n" + "\t".join(_COLUMNS) + "\n")
            row = (*mutant[1:], *verdict[:3], f"{verdict.seconds:.1f}")
            file.write("\t".join(map(cell, row)) + "\n")

    def forget(self, mutant: Mutant) -> None:
        """Take a line out, which is about to be tried again."""
        key = "\t".join(map(cell, mutant[1:])) + "\t"
        with open(self.path, "r+", encoding="utf-8", newline="") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            left = [line for line in file if not line.startswith(key)]
            file.seek(0)
            file.truncate()
            file.writelines(left)


def cell(value: object) -> str:
    """What stands in the table: one line without tabs."""
    return " ".join(str(value).split())
