"""``gpunn report``: a run, or several beside one another, on one page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import add_command, as_json
from .errors import UsageError

EXAMPLE = """\
  gpunn report runs/digits-cnn-1                             writes runs/digits-cnn-1/report.html anew
  gpunn report runs/digits-cnn-1 runs/digits-mlp-1           writes report.html here: both beside one another
  gpunn report runs/digits-* --out digits.html"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run folder of gpunn train or a Trainer")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page (default: report.html, in the folder of a single run, else here)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Read the runs and write the page."""
    from gpunn.train import RunFolder
    from gpunn.train.report import names_of, read_run, write_report

    paths = options.runs
    places = [path.resolve() for path in paths]
    if twice := next((path for path, place in zip(paths, places) if places.count(place) > 1), None):
        raise UsageError(f"{twice} is given twice")
    runs = [read_run(RunFolder(path), name) for path, name in zip(paths, names_of(paths))]
    out = options.out or (paths[0] if len(paths) == 1 else Path()) / "report.html"
    write_report(out, runs)
    found = {
        "report": str(out),
        "runs": [
            {"run": str(path), "epochs": run.history.epochs, **run.history.last} for path, run in zip(paths, runs)
        ],
    }
    print(as_json(found) if options.json else f"report: {out}")
