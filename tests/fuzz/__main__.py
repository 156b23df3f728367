"""Run the targets under atheris, a process for each, and say what was reached; see the package."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from gpunn.backend.cache import cache_folder

from ..trust import record
from .targets import TARGETS

PROMISE = "bytes that coverage leads to are read as any file, or refused by the one error of its kind"

MEMORY = 2048
"""MiB that reading one file may take."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what reads files.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all of them, if none is named")
    parser.add_argument("--seconds", type=int, default=30, help="for each target (%(default)s)")
    parser.add_argument("--executions", type=int, metavar="N", help="so many of each target, however long it takes")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer (%(default)s)")
    parser.add_argument("--patience", type=int, default=20, help="seconds that reading one file may take (%(default)s)")
    parser.add_argument("--counts", type=Path, metavar="FILE", help="add executions and findings to this file of JSON")
    parser.add_argument("--record", action="store_true", help="put the sum of FILE into benchmarks/results/trust.json")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed (it has wheels for Python 3.11 to 3.13): nothing was fuzzed")
        return 0
    findings = 0
    for name in options.targets or TARGETS:
        executions, found = run(name, options)
        findings += len(found)
        print(f"{name}: {executions:,} executions" + "".join(f"\n  {path}" for path in found), flush=True)
        if options.counts is not None:
            _add(options.counts, name, executions, len(found))
    if options.record and options.counts is not None:
        counts = json.loads(options.counts.read_text()).values()
        tried, failed = (sum(entry[what] for entry in counts) for what in ("executions", "findings"))
        record(PROMISE, "tests/fuzz", tried, failed, "make fuzz")
    return int(findings > 0)


def run(name: str, options: argparse.Namespace) -> tuple[int, list[Path]]:
    """Fuzz a target; how often it was executed, and the files of what was found."""
    corpus = cache_folder("fuzz") / name
    corpus.mkdir(parents=True, exist_ok=True)
    executions, found, seed, end = 0, [], options.seed, time.monotonic() + options.seconds
    while True:
        left = f"-max_total_time={max(1, round(end - time.monotonic()))}"
        if options.executions is not None:
            left = f"-runs={options.executions - executions}"
        before = set(corpus.parent.glob(f"{name}-*"))
        command = [
            *(sys.executable, "-m", "tests.fuzz.execute", name, str(corpus), left, f"-seed={seed}"),
            *(f"-artifact_prefix={corpus.parent}/{name}-", f"-rss_limit_mb={MEMORY}", f"-timeout={options.patience}"),
            *("-max_len=16384", "-print_final_stats=1"),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        report = done.stdout + done.stderr
        counts = re.findall(r"number_of_executed_units: (\d+)", report) or re.findall(r"^#(\d+)", report, re.M)
        executions += int(counts[-1]) if counts else 0
        if done.returncode == 0:
            break
        new = sorted(set(corpus.parent.glob(f"{name}-*")) - before)
        if not new and not counts:
            raise SystemExit(f"{name} could not be fuzzed:\n{report[-3500:]}")
        found += new
        if new:
            new[0].with_suffix(".log").write_text(report[-20000:], errors="replace")
        seed += 1
        over = time.monotonic() >= end if options.executions is None else executions >= options.executions
        if over or len(found) >= 5:
            break
    return executions, found


def _add(path: Path, name: str, executions: int, findings: int) -> None:
    """Add to the counts of earlier times."""
    counts = json.loads(path.read_text()) if path.is_file() else {}
    entry = counts.setdefault(name, {"executions": 0, "findings": 0})
    entry["executions"] += executions
    entry["findings"] += findings
    path.write_text(json.dumps(counts, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
