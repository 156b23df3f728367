"""The command: ``python3 -m benchmarks.gpu_report``; see the package."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpunn
from gpunn.bench import machine

from .parts import GO_ON, PARTS, Part
from .setup import Setup
from .summary import Summary

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SIMULATED = "These times are those of the simulator on the CPU, with tiny arrays. They say nothing about a GPU."


def main() -> int:
    """Run the parts, each in a process, and write the report; 0 if all of them went through."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.gpu_report", description="test a GPU, compare it with the CPU, and measure it"
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or sim to try the report (default: cuda)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"default: {','.join(PARTS)}")
    parser.add_argument("--all", action="store_true", help="every case, batch size and test; give it more time")
    parser.add_argument("--limit", type=float, default=540, metavar="SECONDS", help="for everything (default: 540)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: benchmarks/results")
    parser.add_argument("--name", help="of the file, FOLDER/gpu_NAME.json (default: the GPU's name)")
    parser.add_argument("--tiny", action="store_true", help="tiny arrays also on a GPU, to try the report")
    parser.add_argument("--child", metavar="PART", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"there are no parts {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        setup = Setup(gpunn.device(options.device), options.tiny, options.all)
    except ValueError as error:
        parser.error(f"--device {options.device}: {error}")
    if options.child:
        return child(PARTS[options.child], setup, options.rows)
    if setup.device.type == "cpu":
        print("no report: the CPU is what the device is compared with; give --device cuda or sim", file=sys.stderr)
        return 1
    try:
        setup.device.backend  # noqa: B018  (loads it)
    except (ImportError, RuntimeError) as error:
        print(f"no report: {error}", file=sys.stderr)
        return 1
    try:
        folder = _folder(options.out)
    except OSError as error:
        parser.error(f"--out {options.out} can't be written: {error.strerror}")
    return report(setup, options, folder)


def _folder(chosen: Path | None) -> Path:
    """Where the report goes; where the checkout can't be written, and nothing was chosen, a new folder."""
    folder = RESULTS if chosen is None else chosen
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        if chosen is not None:
            raise
        return Path(tempfile.mkdtemp(prefix="gpu-report-"))


def report(setup: Setup, options: argparse.Namespace, folder: Path) -> int:
    """Run the parts, and after each of them write what was found and say it in some lines."""
    result: dict[str, Any] = {"device": str(setup.device), "parts": {}}
    try:
        result["machine"] = machine.describe(setup.device)
    except RuntimeError as error:  # no compiler, which a part says too
        result["machine"] = {"error": str(error)}
    if setup.tiny:
        result["note"] = SIMULATED
    else:
        result["nvidia_smi"] = nvidia_smi()
    name = options.name or re.sub(r"\W+", "_", result["machine"].get("gpu", str(setup.device))).strip("_").lower()
    path = folder / f"gpu_{name}.json"
    names = options.parts.split(",")
    summary = Summary(result, len(names))
    end = time.monotonic() + options.limit
    for i, part in enumerate(names):
        share = PARTS[part].share / sum(PARTS[n].share for n in names[i:])
        result["parts"][part] = run(part, options, (end - time.monotonic()) * share)
        path.write_text(json.dumps(result, indent=1) + "\n")
        summary.say(part)
    return summary.end(path)


def run(name: str, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """The rows that a part found, by processes of their own; and why it broke off, if it did."""
    part = PARTS[name]
    command = [sys.executable, "-m", "benchmarks.gpu_report", "--device", options.device, "--child", name]
    command += [f"--{flag}" for flag in ("tiny", "all") if getattr(options, flag)]
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows, log = Path(folder, "rows"), Path(folder, "log")
        rows.touch()
        error = None
        while True:
            with open(log, "w") as written:
                process = subprocess.Popen(
                    [*command, "--rows", str(rows)], cwd=ROOT, env=os.environ | part.environment, text=True,
                    stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True,
                )  # fmt: skip
                try:
                    code = process.wait(max(1.0, seconds - (time.monotonic() - start)))
                except subprocess.TimeoutExpired:
                    error = f"broken off after {seconds:.0f} s"
                finally:
                    _end(process)  # and whatever it has started
            if error or code != GO_ON:
                break
        found = [json.loads(line) for line in rows.read_text().splitlines()]
        if not error and code:
            said = log.read_text().strip()
            error = (said.splitlines() or [f"ended with {code}"])[-1][:300]
            return {"seconds": _since(start), "found": part.condense(found), "error": error, "log": said[-2000:]}
    outcome = {"seconds": _since(start), "found": part.condense(found)}
    return {**outcome, "error": error} if error else outcome


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and all that it has started, so that nothing is left on the device."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _since(start: float) -> float:
    return round(time.monotonic() - start, 1)


def child(part: Part, setup: Setup, path: Path) -> int:
    """Write a part's rows to a file, a line each, as they are found; those that are there already are left out."""
    setup = replace(setup, known=len(path.read_text().splitlines()))
    with open(path, "a") as rows:
        for row in part.find(setup):
            rows.write(json.dumps(row) + "\n")
            rows.flush()
            if row.get("broken"):
                return GO_ON
    return 0


def nvidia_smi() -> str | None:
    """Driver, clocks and power limit, as nvidia-smi says them."""
    query = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem", "power.limit")
    try:
        command = ["nvidia-smi", f"--query-gpu={','.join(query)}", "--format=csv"]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


if __name__ == "__main__":
    sys.exit(main())
