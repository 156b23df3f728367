"""A run as a page shows it: all that its folder knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpunn.train.history import History
from gpunn.train.report.facts import Facts, read_facts
from gpunn.train.run_folder import RunFolder


@dataclass
class Run:
    """A run.

    name:        what it is called
    history:     what was measured, epoch by epoch
    config:      what it was asked to do
    calls:       when it began and was resumed, and by which commands
    fingerprint: what the bits of its results depend on
    facts:       model, memory and evaluations
    gradients:   rows of `GradientFlow`
    """

    name: str
    history: History = field(default_factory=History)
    config: dict[str, Any] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    fingerprint: dict[str, Any] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    gradients: list[dict[str, Any]] = field(default_factory=list)


def read_run(folder: RunFolder, name: str | None = None) -> Run:
    """What is in a run's folder, as far as it has come.

    Raises FileNotFoundError where it holds no run, io.FileFormatError where a file is damaged.
    """
    config = folder.read_config()
    return Run(
        name=folder.path.resolve().name if name is None else name,
        history=History(folder.read_rows() if folder.metrics_path.exists() else []),
        config=config,
        calls=dict(folder.read_calls()),
        fingerprint=folder.read_fingerprint(),
        facts=read_facts(folder.facts_path),
        gradients=folder.read_gradients(),
    )


def names_of(paths: Sequence[Path]) -> list[str]:
    """What runs are called beside one another: by the names of their folders, by whole paths where some are equal."""
    names = [path.resolve().name for path in paths]
    return [str(path) if names.count(name) > 1 else name for name, path in zip(names, paths)]
