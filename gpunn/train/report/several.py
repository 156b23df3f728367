"""The page of several runs beside one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from gpunn.train.curves import TITLES, Panel, epochs_of, measures_of, numbers_of
from gpunn.train.report import classes, flow, one, page
from gpunn.train.report.facts import EvaluationFacts
from gpunn.train.report.run import Run
from gpunn.train.report.svg import panel_svg


def sections(runs: Sequence[Run]) -> Iterator[str]:
    """Results, curves, classes and predictions of all, their gradients, what they have in common and what differs."""
    names = [run.name for run in runs]
    results = {run.name: one.tiles(run) for run in runs}
    yield page.section("Results", _side_by_side(results, "Results"))
    yield page.section("Curves", page.legend(names), page.figures(_curves(runs)))
    yield page.section("F1 by class", _by_class(runs))
    yield page.section("Confusion matrices", _each(runs, classes.confusion))
    yield page.section("Misclassified samples", _each(runs, classes.mistakes, closed=True))
    yield page.section("Predictions", _each(runs, lambda e: one.predictions(e, worst=False)))
    gradients = "".join(_named(run.name, flow.sections(run.gradients, run.facts.warnings)) for run in runs)
    yield page.section("Gradient flow", gradients)
    yield page.section("Memory", "".join(_named(run.name, one.memory(run)) for run in runs))
    for title, found in (
        ("Configuration", {run.name: page.flat(run.config) for run in runs}),
        ("What the bits of the results depend on", {run.name: page.flat(run.fingerprint) for run in runs}),
    ):
        different = sum(len({str(v.get(key)) for v in found.values()}) > 1 for key in _keys(found))
        note = page.paragraph(f"{different} of {len(_keys(found))} differ, and stand first.")
        yield page.section(title, note, _side_by_side(found, title, mark=True))


def _side_by_side(found: Mapping[str, Mapping[str, Any]], label: str, mark: bool = False) -> str:
    """A row for each name, a column for each run; with `mark`, rows that differ come first, and are marked."""
    rows = [[key, *(str(values.get(key, "")) for values in found.values())] for key in _keys(found)]
    marked = []
    if mark:
        rows = [[f"≠ {row[0]}" if len(set(row[1:])) > 1 else row[0], *row[1:]] for row in rows]
        rows.sort(key=lambda row: not row[0].startswith("≠ "))
        marked = [(i, j) for i, row in enumerate(rows) for j in range(1, len(row)) if row[0].startswith("≠ ")]
    return page.table(["", *found], rows, label, marked)


def _keys(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for values in found.values() for key in values))


def _curves(runs: Sequence[Run]) -> Iterator[str]:
    """For each measure a diagram of training and one of validation, with a line for each run."""
    measures = dict.fromkeys(name for run in runs for name in measures_of(run.history))
    at = sorted({e for run in runs for e in epochs_of(run.history)})
    for name, prefix, kind in [(n, p, k) for n in measures for p, k in (("", "training"), ("val_", "validation"))]:
        yield _panel(f"{TITLES.get(name, name)}, {kind}", prefix + name, at, runs)
    for name, title in (("lr", TITLES["lr"]), ("samples_per_second", "samples per second")):
        yield _panel(title, name, at, runs)


def _panel(title: str, column: str, at: list[float], runs: Sequence[Run]) -> str:
    series = {}
    for run in runs:
        there = dict(zip(epochs_of(run.history), numbers_of(run.history, column)))
        series[run.name] = [there.get(e, float("nan")) for e in at]
    return panel_svg(Panel(title, at, series), legend=False) if at else ""


def _by_class(runs: Sequence[Run]) -> str:
    """F1 of each class in each run that has classes."""
    found: dict[str, dict[str, str]] = {}
    for run in runs:
        for e in run.facts.evaluations:
            if e.per_class:
                label = run.name if len(run.facts.evaluations) == 1 else f"{run.name}, {e.name}"
                found[label] = {e.class_name(c): f"{f1:.1%}" for c, f1 in enumerate(e.per_class["f1"])}
    return _side_by_side(found, "F1 by class") if found else ""


def _each(runs: Sequence[Run], draw: Callable[[EvaluationFacts], str], closed: bool = False) -> str:
    """Something of each evaluation of each run, under its name."""
    return "".join(_named(f"{run.name}, {e.name} data", draw(e), closed) for run in runs for e in run.facts.evaluations)


def _named(name: str, content: str, closed: bool = False) -> str:
    if not content:
        return ""
    if closed:
        return f"<details><summary>{escape(name)}</summary>{content}</details>"
    return f'<div class="of"><h3>{escape(name)}</h3>{content}</div>'
