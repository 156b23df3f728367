"""The command: ``python -m benchmarks.gpu_report``; see the package."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpunn
from gpunn.bench import machine

from .ceilings import ceilings, products_tf32
from .checks import ops, tests, trainings
from .kernels import kernels
from .setup import Setup
from .summary import summarise
from .training import training

RESULTS = Path(__file__).resolve().parents[1] / "results"
PARTS: dict[str, Callable[[Setup], Any]] = {
    "tests": tests,
    "ops": ops,
    "trainings": trainings,
    "ceilings": ceilings,
    "tf32": products_tf32,
    "kernels": kernels,
    "training": training,
}
ENVIRONMENT = {"tf32": {"CUPY_TF32": "1"}}
SIMULATED = "These times are those of the simulator on the CPU, with tiny arrays. They say nothing about a GPU."


def main() -> int:
    """Run the parts, each in a process, and write the report; 0 if all of them went through."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_report", description=__doc__)
    parser.add_argument(
        "--device", default="cuda", help="cuda, cuda:1, or sim to try the report itself (default: cuda)"
    )
    parser.add_argument("--parts", default=",".join(PARTS), help=f"default: {','.join(PARTS)}")
    parser.add_argument("--name", help="of the file, results/gpu_NAME.json (default: the GPU's name)")
    parser.add_argument("--limit", type=float, default=1800, metavar="SECONDS", help="for each part (default: 1800)")
    parser.add_argument("--child", metavar="PART", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"there are no parts {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        setup = Setup(gpunn.device(options.device))
        setup.device.backend  # noqa: B018  (loads it)
    except (ValueError, ImportError, gpunn.cuda.DeviceError) as error:
        print(f"no report: {error}", file=sys.stderr)
        return 1
    if setup.device.type == "cpu":
        print("no report: the CPU is what the device is compared with; give --device cuda or sim", file=sys.stderr)
        return 1
    if options.child:
        print("RESULT" + json.dumps(PARTS[options.child](setup)))
        return 0
    return report(setup, options)


def report(setup: Setup, options: argparse.Namespace) -> int:
    """Run the parts and write what they found, after each of them."""
    result: dict[str, Any] = {"machine": machine.describe(setup.device), "device": str(setup.device), "parts": {}}
    if setup.tiny:
        result["note"] = SIMULATED
    else:
        result["nvidia_smi"] = nvidia_smi()
    name = options.name or re.sub(r"\W+", "_", result["machine"].get("gpu", str(setup.device))).strip("_").lower()
    path = RESULTS / f"gpu_{name}.json"
    path.parent.mkdir(exist_ok=True)
    for part in options.parts.split(","):
        print(f"{part} ...", file=sys.stderr, flush=True)
        result["parts"][part] = run(part, options)
        path.write_text(json.dumps(result, indent=1) + "\n")
    failed = summarise(result)
    print(f"wrote {path}", file=sys.stderr)
    return 1 if failed else 0


def run(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """What a part found, in a process of its own, or why it failed."""
    command = [sys.executable, "-m", "benchmarks.gpu_report", "--device", options.device, "--child", part]
    environment = os.environ | ENVIRONMENT.get(part, {})
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=RESULTS.parents[1], env=environment, capture_output=True, text=True, timeout=options.limit
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {options.limit:g} s"}
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if done.returncode or not found:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1] if lines else f"ended with {done.returncode}", "log": done.stderr[-2000:]}
    return {"seconds": round(time.perf_counter() - start, 1), "found": json.loads(found[-1].removeprefix("RESULT"))}


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
