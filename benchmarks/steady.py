"""How much slower a training step gets beside another busy process: ``python -m benchmarks.steady [--out FILE]``.

A process that does nothing but count runs beside the step. The mean counts, and not the median: where threads wait for
one another, few steps take very long.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CASES = (("W1", 32), ("W1", 1024), ("cnn", 32))
SECONDS = 1.5
COUNT = [sys.executable, "-c", "while True: pass"]


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the rows as JSON")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(steps(options.one[0], int(options.one[1]))))
        return
    rows = []
    for native in (False, True):
        for workload, batch in CASES:
            alone, beside = measure(workload, batch, native)
            rows.append({"workload": workload, "batch_size": batch, "native": native, "alone": alone, "beside": beside})
            print(
                f"{workload} at {batch}{', native loops' if native else ''}: {alone['mean']:,.0f} us a step alone, "
                f"{beside['mean']:,.0f} beside a busy process: {beside['mean'] / alone['mean']:.1f} x",
                flush=True,
            )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


def measure(workload: str, batch: int, native: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Microseconds of a step alone, and beside a busy process."""
    environment = {**os.environ, "GPUNN_NATIVE": "1" if native else "0"}
    call = [sys.executable, "-m", "benchmarks.steady", "--one", workload, str(batch)]
    found = []
    for busy in (False, True):
        other = subprocess.Popen(COUNT) if busy else None
        try:
            done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
        finally:
            if other is not None:
                other.kill()
                other.wait()
        found.append(json.loads(done.stdout))
    return found[0], found[1]


def steps(workload: str, batch: int) -> dict[str, Any]:
    """Mean, median and largest microseconds of a step, over `SECONDS`."""
    import numpy as np

    from gpunn.bench.implementations import load
    from gpunn.bench.workloads import WORKLOADS

    training = load("gpunn")(WORKLOADS[workload], batch, 4, "sgd", "cpu")
    training.run(12)
    times: list[float] = []
    start = now = time.perf_counter()
    while now - start < SECONDS:
        training.run(1)
        times.append(time.perf_counter() - now)
        now += times[-1]
    us = np.array(times) * 1e6
    return {"mean": float(us.mean()), "median": float(np.median(us)), "max": float(us.max()), "steps": len(times)}


if __name__ == "__main__":
    main()
