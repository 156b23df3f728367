"""``gpunn bench scaling``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gpunn.bench.workloads import WORKLOADS

from .common import add_command, draw_possible, int_list, positive_int, prepare_folder, print_table
from .errors import RunError


def add_scaling(parts: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        parts,
        "scaling",
        "training on several ranks of this machine: throughput, efficiency, time in sums; and a model of more ranks",
        scaling,
        "  gpunn bench scaling --workload W1 --ranks 1,2\n"
        "  gpunn bench scaling --ranks 1,2,4 --batch-size 512 --out results/",
    )
    parser.add_argument("--workload", choices=list(WORKLOADS), default="W1", help="default: W1")
    parser.add_argument(
        "--ranks", type=int_list, metavar="N,...", help="default: 1, 2, 4, ... up to the number of cores"
    )
    parser.add_argument(
        "--batch-size", type=positive_int, default=128, metavar="N", help="of one rank, and in strong scaling of all"
    )
    parser.add_argument("--steps", type=positive_int, default=10, metavar="N", help="steps a round; default: 10")
    parser.add_argument("--rounds", type=positive_int, default=5, metavar="N", help="medians of so many; default: 5")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write the rows as JSON and the plot into this folder")
    parser.add_argument("--json", action="store_true", help="the last line on standard output is one JSON object")


def scaling(options: argparse.Namespace) -> None:
    """Measure, print a table, and write JSON and the plot if asked for."""
    from gpunn.bench.scaling import NotMeasured, measure, scaling_plot, usable_ranks

    out = prepare_folder(options.out)

    def show(row: dict[str, Any]) -> None:
        speed = f"{row['samples_per_second']:,.0f} samples/s"
        print(f"{row['mode']} scaling, {row['ranks']} ranks: {speed}", file=sys.stderr, flush=True)

    ranks = sorted(set(options.ranks or usable_ranks()))
    try:
        result = measure(
            options.workload, ranks, options.batch_size, steps=options.steps, rounds=options.rounds, on_row=show
        )
    except NotMeasured as error:
        raise RunError(str(error)) from None
    if options.json:
        print(json.dumps(result))
    else:
        columns = ["scaling", "ranks", "samples/s", "efficiency", "ms a step", "ms in sums", ""]
        rows = [_cells(row, "measured") for row in result["rows"]]
        print_table(columns, rows + [_cells(row, "predicted") for row in result["predicted"]])
        if cost := result["cost"]:
            print(
                f"predicted by the {cost['shape']} fitted to all-reduces of 1 KiB to 16 MiB measured here: alpha "
                f"{cost['alpha'] * 1e6:.3g} us, beta {cost['beta'] * 1e9:.3g} ns a byte, relative error "
                f"{cost['error']:.0%}; other machines and networks have others"
            )
    if out is not None:
        stem = out / f"scaling_{options.workload}"
        stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        print(f"wrote {stem}.json", file=sys.stderr)
        if draw_possible():
            scaling_plot(result, stem.with_suffix(".png"))
            print(f"wrote {stem}.png", file=sys.stderr)


def _cells(row: dict[str, Any], kind: str) -> list[Any]:
    times = [f"{row[name] * 1e3:.3g}" for name in ("step", "communication")]
    return [row["mode"], row["ranks"], f"{row['samples_per_second']:,.0f}", f"{row['efficiency']:.0%}", *times, kind]
