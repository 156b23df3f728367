"""``gpunn bench workloads``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gpunn
from gpunn.bench import machine
from gpunn.bench.implementations import FLOOR, ON_THE_CPU, PEERS, missing
from gpunn.bench.optimizers import OPTIMIZERS
from gpunn.bench.protocol import QUICK, Effort, recommend
from gpunn.bench.sweep import CASES, OtherRun, Record, Row, sweep
from gpunn.bench.workloads import WORKLOADS

from .bench_rows import checked_peers, gpu_of, line_of, print_rows, write_rows
from .common import add_command, add_device, pick_device, prepare_folder
from .errors import RunError, UsageError
from .values import positive


def add_workloads(parts: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        parts,
        "workloads",
        "all networks at all batch sizes beside the frameworks that are installed, the most telling first; a run that "
        "was ended or killed goes on where it was",
        workloads,
        "  gpunn bench workloads --out results/               # until all is measured\n"
        "  gpunn bench workloads --out results/ --minutes 5   # a piece of it; the same again goes on\n"
        "  gpunn bench workloads --out results/ --workloads W1,W4 --peers torch,jax",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder of the rows and plots")
    parser.add_argument(
        "--minutes", type=positive, metavar="M", help="begin nothing more behind so many; default: go on to the end"
    )
    parser.add_argument("--workloads", metavar="NAME,...", help=f"default: all of {', '.join(WORKLOADS)}")
    parser.add_argument(
        "--peers", metavar="NAME,...", help="time these beside us; default: all that are installed, also gpunn-eager"
    )
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), default="sgd", help="default: sgd (momentum 0.9)")
    add_device(parser)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repeats: a first look, not a result")
    parser.add_argument("--json", action="store_true", help="the last line on standard output is one JSON object")


def workloads(options: argparse.Namespace) -> None:
    """Measure what is not measured yet, print the tables, and write JSON and plots."""
    device = pick_device(options.device)
    peers = _peers(options.peers, device)
    chosen = list(WORKLOADS) if options.workloads is None else options.workloads.split(",")
    if unknown := [name for name in chosen if name not in WORKLOADS]:
        raise UsageError(f"--workloads: there is no {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    cases = [case for case in CASES[device.type] if case[0] in chosen]
    out = prepare_folder(options.out)
    assert out is not None
    names = ["gpunn", *peers, *([FLOOR] if device.type == "cpu" else [])]
    effort = QUICK if options.quick else Effort()
    described = machine.describe(device)
    where = {name: described.get(name) for name in ("gpu", "processor", "cores", "revision")}
    run = {"device": str(device), "optimizer": options.optimizer, "implementations": names, **asdict(effort), **where}
    try:
        record = Record(out / f"workloads_{str(device).replace(':', '')}.jsonl", run, described)
    except OtherRun as error:
        raise UsageError(f"--out: {error}; take another folder, or remove the file") from None
    if done := sum(case in record for case in cases):
        print(f"{done} of {len(cases)} cases are there already", file=sys.stderr)

    def show(rows: list[Row]) -> None:
        print("\n".join(map(line_of, rows)), file=sys.stderr, flush=True)

    left = sweep(
        record,
        cases,
        names,
        device=str(device),
        optimizer=options.optimizer,
        effort=effort,
        gpu=gpu_of(device),
        seconds=60 * (options.minutes or float("inf")),
        on_case=show,
    )
    rows = record.rows(cases)
    result = {"machine": described, "cases": len(cases), "left": left, "rows": rows}
    for name in chosen:
        mine = sorted((row for row in rows if row["workload"] == name), key=lambda row: row["batch_size"])
        if mine:
            whole = all(case in record for case in cases if case[0] == name)
            recommended = recommend(mine) if whole else None
            if not options.json:
                print_rows(mine, recommended, f"{name}, {WORKLOADS[name].title}: ")
            write_rows({"machine": described, "rows": mine, "recommended": recommended}, out, name, str(device))
    if options.json:
        print(json.dumps(result))
    if left:
        print(f"{left} of {len(cases)} cases are left: the same command goes on with them", file=sys.stderr)
    ours = [row for row in rows if row["implementation"] == "gpunn"]
    if ours and all("error" in row for row in ours):
        raise RunError(ours[0]["error"])


def _peers(given: str | None, device: gpunn.device) -> list[str]:
    """Those that were asked for, else all that can be timed on a device."""
    if given is not None:
        return checked_peers(given, device)
    if device.type == "sim":
        return ["gpunn-eager"]
    here = (name for name in PEERS if device.type == "cpu" or name not in ON_THE_CPU)
    return [name for name in here if not missing(name) and (device.type == "cuda" or name != "torch-graph")]
