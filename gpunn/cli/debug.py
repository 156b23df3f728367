"""``gpunn debug``: the step of a run in which numbers became infinite or NaN, op by op."""

from __future__ import annotations

import argparse
from math import isnan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gpunn.printing import printable

from .common import RUN_HELP, add_command, add_device, as_json, pick_device, positive_int, print_table
from .errors import UsageError

EXAMPLE = """\
  gpunn train --data t.csv --out RUN        ends with: the loss became nan in epoch 3, batch 14 ...
  gpunn debug RUN
  gpunn debug RUN/failed_step.safetensors --all"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("dump", type=Path, metavar="DUMP", help=f"failed_step.safetensors, or its folder: {RUN_HELP}")
    parser.add_argument("--last", type=positive_int, default=8, metavar="N", help="ops to show up to there; default: 8")
    parser.add_argument("--all", action="store_true", help="show all ops of the step")
    add_device(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object, with all ops")


def run(options: argparse.Namespace) -> None:
    """Do the step again, and print it."""
    from gpunn.io import FileFormatError
    from gpunn.train import RunFolder, Trainer, failure

    from . import job
    from .trained import load_trained

    path = RunFolder(options.dump).failed_step_path if options.dump.is_dir() else options.dump
    if not path.exists():
        raise UsageError(
            f"{path} is not there: no step of a training failed, or it was trained by --on-nan skip or ignore"
        )
    trained = load_trained(path.parent, pick_device(options.device), weights=False)
    settings = trained.options
    trainer = Trainer(
        trained.model,
        job.make_loss(settings, SimpleNamespace(classes=trained.classes, name=str(path.parent)), trained.model),  # type: ignore[arg-type]
        job.make_optimizer(settings, trained.model),
        l2=settings.l2,
        clip_norm=settings.clip_norm,
        precision=settings.precision,
        progress=False,
    )
    try:
        found = failure.debug(trainer, path)
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, AttributeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise UsageError(f"{path} is of another training than {path.parent}, or damaged: {error}") from None
    results = found.trace.results
    if options.json:
        print(as_json({"epoch": found.epoch, "batch": found.batch, "loss": found.trace.loss, "ops": _records(results)}))
        return
    print(
        f"epoch {found.epoch}, batch {found.batch}, at learning rate {found.lr:.3g}: the loss is {found.trace.loss:.6g}"
    )
    print(printable(f"in the training: {found.cause}"))
    print(printable(f"here, op by op: {found.trace}" if str(found.trace) else "here, op by op, all numbers are finite"))
    first = found.trace.first()
    stop = len(results) if options.all or not first else results.index(first[-1]) + 1
    start = 0 if options.all else max(0, stop - options.last)
    columns = ["number", "phase", "layer", "op", "by", "elements", "infinite", "NaN", "lowest", "highest"]
    rows = [
        [
            i,
            r.what.phase,
            r.what.layer,
            r.of or r.what.op,
            r.what.op if r.of else "",
            r.elements,
            r.infinite,
            r.nan,
            *("" if isnan(v) else f"{v:.4g}" for v in (r.low, r.high)),
        ]
        for i, r in enumerate(results[start:stop], start + 1)
    ]
    print_table(columns, rows)


def _records(results: Any) -> list[dict[str, Any]]:
    return [
        {"phase": r.what.phase, "layer": r.what.layer, "op": r.of or r.what.op, "by": r.what.op}
        | {name: getattr(r, name) for name in ("elements", "infinite", "nan", "low", "high")}
        for r in results
    ]
