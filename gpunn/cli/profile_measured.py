"""``gpunn profile --device cpu`` or ``cuda``: where the time of a training step goes, measured."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .abstract import step_and_batch, title_of
from .common import as_json, pick_device, positive_int, print_table
from .errors import UsageError
from .profile_predicted import predicted
from .progress import progress

if TYPE_CHECKING:
    from gpunn.inspect.profile import Part, StepPrediction, StepProfile

STEPS = 20


def add_measured(parser: argparse.ArgumentParser) -> None:
    """The options of what is measured."""
    group = parser.add_argument_group("with --model and --device")
    group.add_argument("--device", metavar="D", help="measure a step on cpu, cuda or cuda:1")
    group.add_argument(
        "--steps", type=positive_int, metavar="N", help=f"measured steps, whose medians are shown (default: {STEPS})"
    )
    group.add_argument("--eager", action="store_true", help="op by op, and not through a plan")
    group.add_argument("--by", choices=("op", "layer"), help="sums (default: one line for all that the step does)")
    group.add_argument(
        "--trace", type=Path, metavar="FILE", help="write one step as a trace for https://ui.perfetto.dev"
    )


def given(options: argparse.Namespace) -> str:
    """The first of these options that is given; empty if none is."""
    return next((f"--{name}" for name in ("device", "steps", "eager", "by", "trace") if getattr(options, name)), "")


def measured(options: argparse.Namespace) -> None:
    """Measure a step, and print where its time goes.

    Raises:
        UsageError: there is no such device, nothing to measure there, or no place for the trace.
    """
    if options.device is None:
        raise UsageError(f"{given(options)} is for steps that are measured; give --device cpu or cuda too")
    if options.device == "sim":
        raise UsageError(
            "--device sim: the times of the simulator say nothing about a GPU; without --device its launches are "
            "counted"
        )
    device = pick_device(options.device)
    if options.plot:
        raise UsageError("--plot draws what is predicted; leave out --device")
    if options.gpu and device.type != "cuda":
        raise UsageError(f"--gpu predicts launches; beside measured ones it needs --device cuda, not {device}")
    if options.trace is not None:  # a place where nothing can be written is known early
        try:
            options.trace.touch()
        except OSError as error:
            raise UsageError(f"--trace {options.trace}: {error.strerror}") from None
    found = _profile(options, device)
    foretold = predicted(options) if options.gpu else None
    if options.trace is not None:
        options.trace.write_text(json.dumps(found.trace()))
    if options.json:
        print(as_json(found.to_dict() | ({"prediction": foretold.to_dict()} if foretold else {})))
    else:
        print(f"{found.title}, measured on {device}: {_how(found)}")
        _print(found, options.by, foretold)
        if options.trace is not None:
            print(f"a step is in {options.trace}; open it in https://ui.perfetto.dev")


def _profile(options: argparse.Namespace, device: Any) -> StepProfile:
    from gpunn.inspect.profile import profile_step

    batch, title = step_and_batch(options, device), title_of(options)
    with progress("measuring", "measured") as on_progress:
        return profile_step(
            *batch, steps=options.steps or STEPS, eager=options.eager, title=title, on_progress=on_progress
        )


# What is printed ------------------------------------------------------------------------------------------------------


def _how(found: StepProfile) -> str:
    way = "a captured plan" if found.captured else "a plan" if found.planned else "op by op"
    return f"{way}, medians of {found.steps}"


def _print(found: StepProfile, by: str | None, foretold: StepPrediction | None) -> None:
    # Of launches that are measured alone there is nothing between.
    whole = found.microseconds - (found.between if found.captured else 0)
    if by == "op":
        _print_ops(found, whole)
    elif by == "layer":
        _print_layers(found, whole)
    elif found.captured:
        _print_launches(found, whole, foretold)
    else:
        _print_parts(found, whole)
    phases = ", ".join(f"{total.name} {_us(total.microseconds)}" for total in found.by("phase"))
    if found.captured:
        count = sum(len(part.calls) for part in found.parts)
        print(f"\n{count} launches, each alone: {phases}; in all {_us(whole)} us")
        print(f"launched as graphs {_us(found.graph)} us; the step with all that the host does {_us(found.step)} us")
    else:
        print(f"\n{phases}, between them {_us(found.between)}; in all {_us(whole)} us")
        print(f"a step that is not watched takes {_us(found.step)} us")


def _print_parts(found: StepProfile, whole: float) -> None:
    columns = ["phase", "layer", "op", "calls", "us", "%", "GFLOP/s", "GB/s"]
    rows = [
        [*_names(part), len(part.calls), *_time(part.microseconds, whole), *_rates(part.microseconds, part)]
        for part in found.parts
    ]
    print_table(columns, [*rows, ["", "", "between them", 0, *_time(found.between, whole), "", ""]])


def _print_launches(found: StepProfile, whole: float, foretold: StepPrediction | None) -> None:
    columns = ["phase", "layer", "op", "kernel", "blocks", "threads", "us", "%"]
    rows: list[list[Any]] = [
        [
            *(*_names(part), call.name),
            *(math.prod(n) if n else 0 for n in (call.grid, call.block)),
            *_time(call.microseconds, whole),
        ]
        for part in found.parts
        for call in part.calls
    ]
    if foretold is None:
        print_table(columns, rows)
        return
    node = foretold.gpu.graph_node_us
    predictions = [x.prediction for x in foretold.launches]
    same = [row[3] for row in rows] == [p.kernel for p in predictions]
    for row, p in zip(rows, predictions if same else ()):
        row += [f"{_us(p.microseconds + node):>10}", p.limiter]
    print_table([*columns, f"predicted, {foretold.gpu.name}", "limited by"] if same else columns, rows)
    print(f"\npredicted of the graph: {_us(foretold.microseconds)} us ({_us(foretold.low)} to {_us(foretold.high)})")
    if not same:
        print(f"its {len(predictions)} launches on the simulator are others than these {len(rows)}: not shown")


def _print_ops(found: StepProfile, whole: float) -> None:
    rows = [
        [total.name, total.calls, *_time(total.microseconds, whole), *_rates(total.microseconds, total)]
        for total in found.by("op")
    ]
    print_table(["op", "calls", "us", "%", "GFLOP/s", "GB/s"], rows)


def _print_layers(found: StepProfile, whole: float) -> None:
    rows = [
        [
            *(total.name or "the model", total.calls),
            *(f"{_us(us):>9}" for us in (total.forward, total.backward, total.update)),
            *_time(total.microseconds, whole),
        ]
        for total in found.by("layer")
    ]
    print_table(["layer", "calls", "forward us", "backward us", "update us", "us", "%"], rows)


def _names(part: Part) -> list[str]:
    return [part.phase, part.layer, part.op]


def _us(microseconds: float) -> str:
    return f"{microseconds:,.1f}"


def _time(microseconds: float, whole: float) -> list[str]:
    return [f"{_us(microseconds):>10}", f"{100 * microseconds / whole:5.1f}" if whole else ""]


def _rates(microseconds: float, cost: Any) -> list[str]:
    """GFLOP/s and GB/s, where the cost is known."""
    counts = (cost.flop, cost.bytes)
    return ["" if count is None or not microseconds else f"{count / microseconds / 1e3:8.1f}" for count in counts]
