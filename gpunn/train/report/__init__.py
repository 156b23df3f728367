"""report.html: a run, or several beside one another, on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpunn import io
from gpunn.train.report import one, page, several
from gpunn.train.report.facts import EvaluationFacts, Facts, MistakeFacts, read_facts, write_facts
from gpunn.train.report.run import Run, names_of, read_run

__all__ = [
    "Run", "read_run", "names_of", "report_page", "write_report",
    "Facts", "EvaluationFacts", "MistakeFacts", "read_facts", "write_facts",
]  # fmt: skip


def report_page(runs: Sequence[Run]) -> str:
    """The page of a run, or of several."""
    if len(runs) == 1:
        return page.page(runs[0].name, one.sections(runs[0]))
    return page.page(f"{len(runs)} runs", several.sections(runs), note=", ".join(run.name for run in runs))


def write_report(path: Path, runs: Sequence[Run]) -> None:
    """Write the page of a run, or of several."""
    io.write_text(path, report_page(runs))
