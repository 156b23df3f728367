"""What the tables say: how many changes were caught, and which were not and why."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator

from .table import RESULTS

EXPLAINED = RESULTS / "survivors.tsv"
"""For each change that no test can catch: text, what the line was, what it became, and why it computes the same."""


def rows(what: str = "*") -> Iterator[dict[str, str]]:
    """All rows of all tables, each with its ``campaign`` and ``text``."""
    for path in sorted(RESULTS.glob(f"{what}/*.tsv")):
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield {"campaign": path.parent.name, "text": path.name.removesuffix(".tsv"), **row}


def explained() -> dict[tuple[str, str, str], str]:
    """Why a change computes the same, by text, place and what it became."""
    if not EXPLAINED.is_file():
        return {}
    found = csv.DictReader(EXPLAINED.read_text(encoding="utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {_key(row): row["why"] for row in found}


def _key(row: dict[str, str]) -> tuple[str, str, str]:
    """What a change is known by. Of a Python text what became of a line tells it, wherever that has moved."""
    place = "" if row["text"].endswith(".py") else f"{row['line']}:{row['column']}"
    return row["text"], place, row["after"]


def unexplained(what: str = "*") -> list[dict[str, str]]:
    """The survivors of which nobody has said why."""
    known = explained()
    survivors = (row for row in rows(what) if row["verdict"] == "survived")
    return [row for row in survivors if _key(row) not in known]


def text() -> str:
    """A table for both campaigns, what is caught by what, and the survivors."""
    lines = []
    for what in sorted(path.name for path in RESULTS.iterdir() if path.is_dir()):
        count = counts(what)
        tried = count["caught"] + count["survived"]
        same = tried - count["caught"] - len(unexplained(what))
        lines += [
            f"{what}: {tried:,} changes, {count['caught']:,} caught ({count['caught'] / max(tried, 1):.1%}); "
            f"without {same} that compute the same {count['caught'] / max(tried - same, 1):.1%}",
            f"  not counted: {count['same code']} with the same machine code, {count['invalid']} that do not compile",
            "  by kind: " + ", ".join(f"{kind} {caught} of {n}" for kind, (caught, n) in by_kind(what).items()),
        ]
        for row in unexplained(what):
            lines.append(f"  {row['text']}:{row['line']}: {row['before']} -> {row['after']} survived {row['what']}")
    return "\n".join(lines)


def counts(what: str) -> Counter[str]:
    """How many changes there are of each verdict."""
    return Counter(row["verdict"] for row in rows(what))


def by_kind(what: str) -> dict[str, tuple[int, int]]:
    """Of each kind of change how many were caught, and how many there are."""
    found = Counter((row["operator"], row["verdict"]) for row in rows(what))
    kinds = sorted({kind for kind, _ in found})
    return {k: (found[k, "caught"], found[k, "caught"] + found[k, "survived"]) for k in kinds}


def record() -> None:
    """Put the counts into `benchmarks/results/trust.json`: what computes the same is not counted.

    Where they are what they were nothing was tried since, and the entry keeps its date.
    """
    from tests.trust import read, record

    for what, texts in (("kernels", "kernel"), ("python", "file of gpunn/ops or gpunn/plan")):
        caught, left = counts(what)["caught"], len(unexplained(what))
        promise = f"a test notices what is changed in one place of a {texts}"
        before = read().get(promise, {})
        if (before.get("tried"), before.get("failed")) != (caught + left, left):
            record(promise, "benchmarks/mutants", caught + left, left, f"make mutants ARGS={what}")
