"""What a training run measured, epoch by epoch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TIMING = ("seconds", "samples_per_second")
"""Entries that differ from run to run; all others of a repeated or resumed run are equal to the bit."""

Row = dict[str, Any]


class History(Mapping[str, list[Any]]):
    """One row per epoch, and a column for each entry: ``history["val_loss"]`` is the list over epochs.

    rows: ``{"epoch": 1, "loss": L, metrics, "val_loss": ..., "lr": ..., "seconds": ..., "samples_per_second": ...}``.
          Training entries are means over the epoch's steps, while the weights changed; val_ entries are of the weights
          at its end. With L2 regularisation "penalty" is s = l2/2 sum ||W||^2 at the end of the epoch, and
          "objective" is J = L + s.
    """

    def __init__(self, rows: list[Row] | None = None):
        self.rows: list[Row] = [] if rows is None else rows

    @property
    def history(self) -> dict[str, list[Any]]:
        """The columns as a dict of lists, in Keras's manner."""
        return {name: self[name] for name in self}

    @property
    def epochs(self) -> int:
        """How many epochs were completed."""
        return len(self.rows)

    @property
    def last(self) -> Row:
        """The row of the newest epoch; empty before the first."""
        return self.rows[-1] if self.rows else {}

    @property
    def samples_per_second(self) -> float:
        """The median over epochs, of samples in a second of training steps; validation is not in that time."""
        return statistics.median(row["samples_per_second"] for row in self.rows)

    def plot(self, path: str | Path | None = None) -> Any:
        """The curves, a diagram for the loss and for each metric, as a figure of matplotlib, which a notebook shows.

        path: where to write it too, as .png, .svg or .pdf

        Raises ImportError where matplotlib is not installed, ValueError where no epoch was completed.
        """
        from gpunn.train.curves import figure_of

        if not self.rows:
            raise ValueError("history: there is nothing to plot, no epoch was completed")
        figure = figure_of(self)
        if path is not None:
            figure.savefig(path, dpi=130)
        return figure

    def best(self, monitor: str, mode: str) -> Row:
        """The row with the lowest (mode "min") or highest ("max") value; the first of equal ones.

        Raises KeyError where no epoch has such an entry, ValueError for another mode.
        """
        if mode not in ("min", "max"):
            raise ValueError(f"history: mode is {mode!r}; expected 'min' or 'max'")
        sign = 1 if mode == "min" else -1
        rows = [row for row in self.rows if math.isfinite(row.get(monitor, math.nan))]
        if not rows:
            raise KeyError(f"history: no epoch has a finite {monitor!r}; there are: {', '.join(self) or 'none'}")
        return min(rows, key=lambda row: sign * row[monitor])

    def __getitem__(self, name: str) -> list[Any]:
        if all(name not in row for row in self.rows):
            raise KeyError(f"history: there is no {name!r}; there are: {', '.join(self) or 'no epochs yet'}")
        return [row.get(name) for row in self.rows]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for row in self.rows for name in row))

    def __len__(self) -> int:
        return len(dict.fromkeys(name for row in self.rows for name in row))

    def _repr_html_(self) -> str:
        from gpunn import notebook

        columns = list(self)
        rows = [[_short(row.get(name, "")) for name in columns] for row in self.rows]
        return notebook.table(columns, rows)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in self.last.items() if isinstance(value, (int, float)))
        return f"History({self.epochs} epochs" + (f", the last one: {shown})" if shown else ")")


def _short(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
