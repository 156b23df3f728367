"""What the campaigns of `make trust` have tried, by promise: `benchmarks/results/trust.json`, and its page.

A test says which promise it holds by ``@pytest.mark.promise("...")``; it counts as one input, or as many as
``record_property("tried", n)`` has said. With GPUNN_TRUST set, the end of a test run replaces the entries of the
promises that were tried in it. What is no test calls `record`.

The file: {promise: {"test": which file or program holds it, "tried": how many inputs or faults, "failed": how many of
these broke it, "command": what was run, "date": the day, as 2026-11-28}}.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
RESULTS = CHECKOUT / "benchmarks" / "results" / "trust.json"
PAGE = CHECKOUT / "docs" / "trust.md"
BEGIN, END = "<!-- begin: written by make trust -->", "<!-- end -->"
ENTRY = {"test": str, "tried": int, "failed": int, "command": str, "date": str}


class Counts:
    """What one test run has tried of each promise."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def add(self, report: Any) -> None:
        """Take in the report of a test."""
        properties = dict(report.user_properties)
        promise = properties.get("promise")
        if promise is None or report.skipped or (report.when != "call" and not report.failed):
            return
        test = report.nodeid.split("::")[0]
        entry = self.found.setdefault(promise, {"test": test, "tried": 0, "failed": 0})
        entry["tried"] += properties.get("tried", 1)
        entry["failed"] += report.failed


def record(promise: str, test: str, tried: int, failed: int, command: str) -> None:
    """Replace the entry of a promise, and the page's table."""
    found = read()
    found[promise] = {
        "test": test, "tried": tried, "failed": failed, "command": command, "date": date.today().isoformat(),
    }  # fmt: skip
    RESULTS.write_text(json.dumps(dict(sorted(found.items())), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table(found)}{END}{rest.partition(END)[2]}", encoding="utf-8")


def read() -> dict[str, dict[str, Any]]:
    """All entries; none where there is no file yet."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.exists() else {}


def table(found: dict[str, dict[str, Any]]) -> str:
    """The entries as a table of Markdown."""
    lines = ["| promise | held by | tried | failed | by | on |", "|---|---|---:|---:|---|---|"]
    for promise, entry in sorted(found.items()):
        lines.append(
            f"| {promise} | `{entry['test']}` | {entry['tried']:,} | {entry['failed']:,} | `{entry['command']}` "
            f"| {entry['date']} |"
        )
    return "\n".join(lines) + "\n"
