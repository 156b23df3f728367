"""``gpunn profile --gpu H100``: what each launch of a training step would take on a GPU that is not there."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .abstract import step_and_batch, title_of
from .common import as_json, check_plot, print_table
from .errors import RunError, UsageError
from .progress import progress

if TYPE_CHECKING:
    from gpunn.inspect.profile import LaunchProfile, StepPrediction

SHOWN_ADVICE = 10


def add_predicted(parser: argparse.ArgumentParser) -> None:
    """The options of what is predicted."""
    group = parser.add_argument_group("on a GPU that is not there")
    group.add_argument(
        "--gpu",
        metavar="G",
        help="predict what it would take on a GPU, such as h100 or 'RTX 4090'; an unknown name lists those there are",
    )
    group.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the launches of a step under the roofline, as PNG or SVG"
    )


def launches(options: argparse.Namespace) -> None:
    """Count the launches of a step, predict what they would take if a GPU is named, and print it.

    Raises:
        UsageError: there is no such GPU.
        RunError: what is needed is not on this machine.
    """
    from gpunn.inspect.profile import step_launches

    if options.plot and not options.gpu:
        raise UsageError("--plot draws what is predicted; name a GPU by --gpu too")
    check_plot(options.plot)
    if options.gpu is None:
        counted = [launch for _, launch in step_launches(*step_and_batch(options, "sim"))[0]]
        if options.json:
            print(json.dumps({"launches": [_as_dict(launch) for launch in counted]}))
        else:
            print(f"{title_of(options)}: counted on the device sim, nothing is measured")
            _print_counted(counted)
        return
    found = predicted(options)
    if options.plot:
        from gpunn.inspect.profile.plot import plot

        plot(found, options.plot)
    if options.json:
        print(as_json(found.to_dict()))
    else:
        _print_predicted(found)
        if options.plot:
            print(f"drawn in {options.plot}")


def predicted(options: argparse.Namespace) -> StepPrediction:
    """What a step would take on the GPU that the options name.

    Raises:
        UsageError: there is no such GPU.
        RunError: what is needed is not on this machine.
    """
    from gpunn.backend.nvrtc import CompileError, NvrtcMissing, version
    from gpunn.inspect.profile import DisassemblerMissing, SolverMissing, gpu, predict_step
    from gpunn.inspect.profile.disassembler import path

    try:
        chosen = gpu(options.gpu)
    except ValueError as error:
        raise UsageError(f"--gpu: {error}") from None
    step = step_and_batch(options, "sim")
    try:
        path()  # before minutes are spent
        version()
        with progress("predicting", "predicted") as on_progress:
            return predict_step(*step, gpu=chosen, title=title_of(options), on_progress=on_progress)
    except (ValueError, NvrtcMissing, DisassemblerMissing, SolverMissing, CompileError) as error:
        raise RunError(str(error)) from None


def _as_dict(launch: LaunchProfile) -> dict[str, Any]:
    return {name: value for name, value in asdict(launch).items() if name not in ("code", "options")}


# Counted --------------------------------------------------------------------------------------------------------------


def _print_counted(launches: list[LaunchProfile]) -> None:
    from gpunn.printing import bytes_text

    columns = [
        "kernel",
        "blocks",
        "threads",
        "touched",
        "in sectors",
        "sectors/request",
        "shared cycles",
        "in conflict",
    ]
    rows, touched_in_all, sectors_in_all = [], 0, 0
    for launch in launches:
        touched = sum(array.read + array.written for array in launch.arrays)
        memory = [a for a in launch.accesses if a.memory == "global"]
        sectors, requests = (sum(counts) for counts in zip(*((a.sectors, a.requests) for a in memory), (0, 0)))
        cycles = sum(a.passes for a in launch.accesses)
        conflicts = sum(a.conflicts for a in launch.accesses)
        rows.append(
            [
                *(launch.kernel, math.prod(launch.grid), math.prod(launch.block)),
                *(bytes_text(touched), bytes_text(32 * sectors), f"{sectors / requests:.1f}" if requests else ""),
                *((cycles, f"{100 * conflicts / cycles:.0f} %") if cycles else ("", "")),
            ]
        )
        touched_in_all += touched
        sectors_in_all += sectors
    print_table(columns, rows)
    print(
        f"\n{len(launches)} launches, that touch {bytes_text(touched_in_all)}; their warps ask for "
        f"{bytes_text(32 * sectors_in_all)} in sectors of 32 bytes, which caches keep in part"
    )


# Predicted ------------------------------------------------------------------------------------------------------------


def _print_predicted(found: StepPrediction) -> None:
    from gpunn.printing import bytes_text

    node = found.gpu.graph_node_us
    print(f"{found.title}, on {found.gpu.name} ({found.gpu.arch}): predicted, nothing is measured")
    columns = ["phase", "layer", "kernel", "blocks", "threads", "us", "from-to", "limited by"]
    columns += ["% of floor", "warps", "sectors/request", "in conflict"]
    rows = []
    for x in found.launches:
        p = x.prediction
        sectors, conflicts = x.sectors_per_request, x.conflicts
        rows.append(
            [
                *(x.phase, x.layer or x.op, p.kernel, math.prod(p.grid), math.prod(p.block)),
                *(f"{p.microseconds:8.2f}", f"{p.low:.1f}-{p.high:.1f}", p.limiter),
                f"{100 * p.floor / (p.microseconds + node):4.0f}",
                f"{p.occupancy.warps}/{p.occupancy.most_warps}",
                "" if sectors is None else f"{sectors:.1f}",
                "" if conflicts is None else f"{100 * conflicts:.0f} %",
            ]
        )
    print_table(columns, rows)
    count = len(found.launches)
    print(
        f"\n{count} launches in one graph, {node:.2f} us each beside their work: {found.microseconds:,.0f} us a step "
        f"({found.low:,.0f} to {found.high:,.0f}), {found.samples_per_second:,.0f} samples a second"
    )
    floor = sum(x.prediction.floor for x in found.launches)
    print(f"the arithmetic and the bytes of these launches alone would take {floor:,.1f} us")
    executed = sum(64 * x.prediction.kinds.get("FFMA", 0.0) for x in found.launches)
    print(
        f"{found.flop / 1e6:,.1f} MFLOP in ops, {executed / 1e6:,.1f} in fused multiply-adds; "
        f"{bytes_text(found.bytes)} in ops, {bytes_text(found.touched)} by launches"
    )
    if found.resident:
        print(f"all of it is taken to stay in the second-level cache of {bytes_text(found.gpu.l2_bytes)}")
    print("\nwhat would help most:")
    longest = sorted(found.launches, key=lambda x: -x.prediction.microseconds)[:SHOWN_ADVICE]
    print_table(
        ["us", "kernel", ""], [[f"{x.prediction.microseconds:8.2f}", x.prediction.kernel, x.advice] for x in longest]
    )
