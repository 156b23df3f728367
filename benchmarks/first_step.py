"""From ``import gpunn`` to the end of the first training step, with kernels to compile and without.

::

    python -m benchmarks.first_step                     # on the GPU; without one, all but the step itself
    python -m benchmarks.first_step --arch sm_90 --batch-size 128 --json
    python -m benchmarks.first_step --cpu               # import, --help and first step on the CPU, against their limits

Each row is two processes on a cache of their own: in the first one the kernels are compiled, in the second one they are
found. Where there is no GPU a process ends when what the step launches is compiled; it makes the plan without a device.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WORKLOADS = ("W1", "W4", "cnn")

CHILD = """
import json, sys, time
name, batch, arch = sys.argv[1], int(sys.argv[2]), sys.argv[3]
began = time.perf_counter()
import gpunn
imported = time.perf_counter()
from gpunn.backend.compile_ahead import compile_ahead
from gpunn.backend.nvrtc import Job
from gpunn.backend.spec import Spec
from gpunn.bench.implementations.gpunn_eager import build
from gpunn.bench.workloads import WORKLOADS
workload = WORKLOADS[name]
device = gpunn.device("meta" if arch else "cuda")
with device:
    model = build(workload.layers)
step = gpunn.TrainStep(model, gpunn.nn.CrossEntropyLoss(), gpunn.optim.Adam(model.parameters()))
batch = Spec((batch, *workload.input_shape), gpunn.float32, device), Spec((batch,), gpunn.int64, device)
if arch:
    texts = step.texts(*batch)
    compile_ahead([Job.of(text, arch) for text in texts])
    ended = time.perf_counter()
else:
    step(*(gpunn.zeros(x.shape, dtype=x.dtype, device=device) for x in batch)).item()
    ended = time.perf_counter()
    texts = step.texts(*batch)
print(json.dumps({"kernels": len(texts), "import": imported - began, "all": ended - began}))
"""


def measure(name: str, batch: int, arch: str) -> dict[str, Any]:
    """One row: seconds with a cold and with a warm cache, and how many kernels were compiled each time.

    Args:
        name: of the workload.
        batch: samples of the step.
        arch: what to compile for without a GPU; empty to do the step on the GPU.
    """
    row: dict[str, Any] = {"workload": name, "batch_size": batch, "ends_with": "compilation" if arch else "step"}
    with tempfile.TemporaryDirectory() as cache:
        kept = Path(cache) / "nvrtc"
        before = 0
        for state in ("cold", "warm"):
            run = subprocess.run(
                [sys.executable, "-c", CHILD, name, str(batch), arch],
                cwd=ROOT, env={**os.environ, "GPUNN_CACHE": cache}, stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            found = json.loads(run.stdout)
            now = len(list(kept.iterdir())) if kept.is_dir() else 0
            row |= {"kernels": found["kernels"], f"compiled_{state}": now - before, f"seconds_{state}": found["all"]}
            before = now
    return {**row, "seconds_import": found["import"]}


IMPORT = "import gpunn"
HELP = "import sys; sys.argv = ['gpunn', '--help']\nfrom gpunn.cli import main\ntry: main()\nexcept SystemExit: pass"
STEP = """
from gpunn import nn
model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), gpunn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
step(gpunn.zeros(128, 784), gpunn.zeros(128, dtype=gpunn.int64)).item()
"""
TIMED = """
import sys, time
{before}
wall, cpu = time.perf_counter(), time.thread_time()
{code}
print(time.perf_counter() - wall, time.thread_time() - cpu, file=sys.stderr)
"""
STARTS = (("import numpy", "", "import numpy", None), ("import gpunn", "", IMPORT, 0.15),
          ("gpunn --help", "", HELP, 0.3), ("first step of W1, imported", IMPORT, STEP, 0.5))  # fmt: skip
"""What is timed, what is done before, and how many seconds it may take."""
TRIES = 5


def starts() -> list[dict[str, Any]]:
    """The medians of wall time, and of CPU time of the thread that does it: those of the BLAS spin when they begin."""
    rows = []
    for title, before, code, limit in STARTS:
        script = TIMED.format(before=before, code=code)
        seconds = []
        for _ in range(TRIES + 1):
            run = subprocess.run(
                [sys.executable, "-c", script],
                cwd=ROOT,
                env=_with_bytecode(),
                capture_output=True,
                text=True,
                check=True,
            )
            seconds.append([float(v) for v in run.stderr.split()[-2:]])
        wall, cpu = (sorted(column)[TRIES // 2] for column in zip(*seconds[1:]))  # the first one may compile
        rows.append({"what": title, "seconds": wall, "cpu_seconds": cpu, "limit": limit})
    return rows


def imports(count: int = 12) -> list[tuple[str, float]]:
    """The modules that take longest to import, each without what it imports itself, in milliseconds."""
    command = [sys.executable, "-X", "importtime", "-c", IMPORT]
    run = subprocess.run(command, cwd=ROOT, env=_with_bytecode(), capture_output=True, text=True, check=True)
    found = [line.removeprefix("import time:").split("|") for line in run.stderr.splitlines() if "|" in line]
    times = [(name.strip(), int(own) / 1000) for own, _, name in found[1:]]
    return sorted(times, key=lambda entry: -entry[1])[:count]


def _with_bytecode() -> dict[str, str]:
    """The environment of a machine that keeps compiled modules, as one's own does."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def on_the_cpu(as_json: bool) -> None:
    """Print how long it takes until something is trained, and what of it which import takes."""
    rows, slow = starts(), imports()
    if as_json:
        print(json.dumps({"rows": rows, "slowest_imports_ms": dict(slow)}))
        return
    print("what                         seconds  CPU seconds  limit")
    for row in rows:
        limit = (
            "" if row["limit"] is None else f"{row['limit']:.2f}{'' if row['seconds'] <= row['limit'] else ': MISSED'}"
        )
        print(f"{row['what']:<27}  {row['seconds']:>7.3f}  {row['cpu_seconds']:>11.3f}  {limit}")
    print("\nms   the slowest imports, each by itself")
    for name, ms in slow:
        print(f"{ms:4.1f} {name}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", default="", help="compile for this one, without a GPU (default without one: sm_90)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--json", action="store_true", help="a JSON object a row")
    parser.add_argument("--cpu", action="store_true", help="until the first step on the CPU, with a table of imports")
    options = parser.parse_args()
    if options.cpu:
        on_the_cpu(options.json)
        return

    import gpunn

    arch = options.arch or ("" if gpunn.cuda.is_available() else "sm_90")
    cores = len(os.sched_getaffinity(0))
    if not options.json:
        end = f"the compilation for {arch}, without a GPU" if arch else "the first step"
        print(f"seconds from import gpunn to the end of {end}, on {cores} cores")
        print("network  kernels  cold: compiled  seconds  warm: compiled  seconds  of them import")
    for name in WORKLOADS:
        row = measure(name, options.batch_size, arch)
        if options.json:
            print(json.dumps({**row, "arch": arch or None, "cores": cores}), flush=True)
            continue
        print(
            f"{name:<7}  {row['kernels']:>7}  {row['compiled_cold']:>14}  {row['seconds_cold']:>7.2f}"
            f"  {row['compiled_warm']:>14}  {row['seconds_warm']:>7.2f}  {row['seconds_import']:>14.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
