"""The curves of a run: what is drawn together, and as a picture by matplotlib."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpunn import io
from gpunn.optional import needed
from gpunn.train.history import TIMING, History

TITLES = {
    "lr": "learning rate",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "mae": "mean absolute error",
    "r2": "R²",
}
LOG_RATIO = 50
"""Values over a wider range than this are drawn on a logarithmic axis."""


@dataclass
class Panel:
    """One diagram over epochs, or over steps.

    at:     the places on the axis to the right
    series: label and one value for each of these, NaN where there is none
    axis:   what is counted there
    log:    whether the axis upwards is logarithmic, where only positive values are drawn; None for what fits best
    """

    title: str
    at: list[float]
    series: dict[str, list[float]]
    axis: str = "epoch"
    log: bool | None = None

    @property
    def logarithmic(self) -> bool:
        """Whether the values are positive and spread so widely that a linear axis would hide the small ones."""
        if self.log is not None:
            return self.log
        values = [v for values in self.series.values() for v in values if math.isfinite(v)]
        return bool(values) and min(values) > 0 and max(values) / min(values) > LOG_RATIO


def panels(history: History) -> list[Panel]:
    """A diagram for the loss, one for J = L + s and its parts, one for each metric, and one for a varying lr."""
    epochs = epochs_of(history)

    def column(name: str) -> list[float]:
        return numbers_of(history, name)

    def pair(name: str) -> Panel:
        series = {"training": column(name)}
        if f"val_{name}" in history:
            series["validation"] = column(f"val_{name}")
        return Panel(TITLES.get(name, name), epochs, series)

    found = [pair("loss")]
    if "objective" in history:
        parts = {"J = L + s": column("objective"), "L, loss": column("loss"), "s, L2 penalty": column("penalty")}
        found.append(Panel("objective J = L + s", epochs, parts))
    found += [pair(name) for name in measures_of(history) if name != "loss"]
    if len(set(column("lr"))) > 1:
        found.append(Panel(TITLES["lr"], epochs, {"learning rate": column("lr")}))
    return found


def measures_of(history: History) -> list[str]:
    """The loss and the metrics."""
    hidden = {"epoch", "penalty", "objective", "lr", *TIMING}
    return [name for name in history if name not in hidden and not name.startswith("val_")]


def epochs_of(history: History) -> list[float]:
    """The numbers of the epochs."""
    return numbers_of(history, "epoch")


def numbers_of(history: History, name: str) -> list[float]:
    """A column of the history; NaN where there is no number."""
    values = [row.get(name) for row in history.rows]
    return [float(v) if isinstance(v, (int, float)) else math.nan for v in values]


def write_curves(path: Path, history: History) -> str | None:
    """Draw the curves as a PNG file; where matplotlib is not installed, return a line that says so instead."""
    if importlib.util.find_spec("matplotlib") is None:
        return f"{path.name} was left out: matplotlib is not installed; pip install 'gpunn[plot]'"
    figure = figure_of(history)
    with io.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
    return None


def figure_of(history: History) -> Any:
    """The curves as a figure.

    Raises ImportError where matplotlib is not installed.
    """
    needed("matplotlib", "plotting the history")
    from matplotlib.figure import Figure  # without pyplot, which would choose a backend for the whole process
    from matplotlib.ticker import MaxNLocator

    drawn = panels(history)
    columns = min(2, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, panel in zip(axes, drawn):
        for label, values in panel.series.items():
            axis.plot(panel.at, values, label=label, linewidth=1.8, marker="." if len(values) < 40 else None)
        axis.set_title(panel.title, parse_math=False)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if panel.logarithmic:
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
        if len(panel.series) > 1:
            axis.legend(frameon=False)
    for axis in axes[len(drawn) :]:
        axis.set_axis_off()
    return figure
