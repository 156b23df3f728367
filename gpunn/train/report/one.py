"""The page of one run."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.printing import bytes_text
from gpunn.train.curves import Panel, epochs_of, numbers_of, panels
from gpunn.train.progress import duration
from gpunn.train.report import classes, flow, page
from gpunn.train.report.facts import EvaluationFacts
from gpunn.train.report.run import Run
from gpunn.train.report.scatter import errors_svg, predicted_svg, residuals_svg
from gpunn.train.report.svg import panel_svg

MOST_TARGETS = 8


def sections(run: Run) -> Iterator[str]:
    """Results, curves, classes, mistakes, predictions, gradients, speed and memory, configuration, machine."""
    facts, history = run.facts, run.history
    yield page.tiles(tiles(run))
    yield page.section("Curves", page.figures(map(panel_svg, panels(history))))
    for evaluation in facts.evaluations:
        yield from _evaluation(evaluation)
    yield page.section("Gradient flow", flow.sections(run.gradients, facts.warnings))
    speed = Panel("samples per second", epochs_of(history), {"training": numbers_of(history, "samples_per_second")})
    yield page.section("Throughput", page.figures([panel_svg(speed)] if history.epochs else []))
    yield page.section("Memory", memory(run))
    yield page.section("Model", page.preformatted(facts.model))
    yield page.section("Configuration", page.pairs({**run.config, "call": run.calls}, "Configuration"))
    yield page.section("What the bits of the results depend on", page.pairs(run.fingerprint, "Numeric fingerprint"))


def tiles(run: Run) -> dict[str, str]:
    """The results of a run, each under its name."""
    history, facts = run.history, run.facts
    found = {
        f"{evaluation.name} {name}": page.number(name, value)
        for evaluation in facts.evaluations
        for name, value in evaluation.results.items()
        if name not in ("penalty", "objective")  # they are the training's
    }
    last = history.last
    for name in ("loss", "objective", *(n for n in last if n.startswith("val_"))):
        if isinstance(last.get(name), (int, float)):
            label = name.replace("val_", "validation ") if name.startswith("val_") else f"training {name}"
            found[label] = page.number(name, last[name])
    if history.epochs:
        found["epochs"] = str(history.epochs)
    if facts.parameters:
        found["parameters"] = f"{facts.parameters:,}"
    if history.epochs:
        found["training time"] = duration(sum(history["seconds"]))
        found["samples/s, median of epochs"] = f"{history.samples_per_second:,.0f}"
    return found


def memory(run: Run) -> str:
    """What a step needs by its forecast, by use, and what was measured."""
    facts = run.facts
    total = sum(facts.memory.values())
    rows = [[name, bytes_text(size), f"{size / total:.0%}"] for name, size in facts.memory.items() if size]
    if rows:
        rows.append(["a training step in all, by its forecast", bytes_text(total), "100%"])
    if facts.peak:
        rows.append(["the process at most, Python and data included, as measured", bytes_text(facts.peak), ""])
    if facts.device_peak:
        rows.append(["arrays on the GPU at most, as measured", bytes_text(facts.device_peak), ""])
    return page.table(["use", "memory", "share"], rows, "Memory")


def _evaluation(evaluation: EvaluationFacts) -> Iterator[str]:
    of = f"{evaluation.name} data"
    yield page.section(f"Classes, {of}", classes.table(evaluation))
    yield page.section(classes.confusion_title(evaluation), classes.confusion(evaluation))
    yield page.section("Misclassified samples", classes.mistakes(evaluation))
    if per_target := evaluation.per_target:
        rows = [[f"target {i}", *(f"{v:.4g}" for v in values)] for i, values in enumerate(zip(*per_target.values()))]
        yield page.section(f"Targets, {of}", page.table(["", *per_target], rows, f"Targets of the {of}"))
    yield page.section(f"Predictions, {of}", predictions(evaluation))


def predictions(evaluation: EvaluationFacts, worst: bool = True) -> str:
    """Of each target of a regression what was predicted and how far off it was, and the samples furthest off."""
    parts = []
    for number, found in enumerate(evaluation.targets[:MOST_TARGETS]):
        title = "target" if len(evaluation.targets) == 1 else f"target {number}"
        parts.append(page.figures(draw(title, found) for draw in (predicted_svg, residuals_svg, errors_svg)))
        if found.left_out:
            parts.append(page.paragraph(f"{title}: {found.left_out} samples have no finite value and are left out."))
        if worst and found.worst:
            rows = [[i, f"{t:.5g}", f"{o:.5g}", f"{o - t:+.4g}"] for i, t, o in found.worst]
            parts.append(page.paragraph(f"{title}: the largest errors."))
            parts.append(page.table(["sample", "true", "predicted", "predicted less true"], rows, "The largest errors"))
    return "".join(parts)
