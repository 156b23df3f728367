"""From ``import gpunn`` to the end of the first training step, with kernels to compile and without.

::

    python -m benchmarks.first_step                     # on the GPU; without one, all but the step itself
    python -m benchmarks.first_step --arch sm_90 --batch-size 128 --json

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
    compile_ahead([Job(*text, arch) for text in texts])
    ended = time.perf_counter()
else:
    step(*(gpunn.zeros(x.shape, dtype=x.dtype, device=device) for x in batch)).item()
    ended = time.perf_counter()
    texts = step.texts(*batch)
print(json.dumps({"texts": len(texts), "import": imported - began, "all": ended - began}))
"""


def measure(name: str, batch: int, arch: str) -> dict[str, Any]:
    """One row: seconds with a cold and with a warm cache, and how many texts were compiled each time.

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
            row |= {"texts": found["texts"], f"compiled_{state}": now - before, f"seconds_{state}": found["all"]}
            before = now
    return {**row, "seconds_import": found["import"]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", default="", help="compile for this one, without a GPU (default without one: sm_90)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--json", action="store_true", help="a JSON object a row")
    options = parser.parse_args()

    import gpunn

    arch = options.arch or ("" if gpunn.cuda.is_available() else "sm_90")
    cores = len(os.sched_getaffinity(0))
    if not options.json:
        end = f"the compilation for {arch}, without a GPU" if arch else "the first step"
        print(f"seconds from import gpunn to the end of {end}, on {cores} cores")
        print("network  texts  cold: compiled  seconds  warm: compiled  seconds  of them import")
    for name in WORKLOADS:
        row = measure(name, options.batch_size, arch)
        if options.json:
            print(json.dumps({**row, "arch": arch or None, "cores": cores}), flush=True)
            continue
        print(
            f"{name:<7}  {row['texts']:>5}  {row['compiled_cold']:>14}  {row['seconds_cold']:>7.2f}"
            f"  {row['compiled_warm']:>14}  {row['seconds_warm']:>7.2f}  {row['seconds_import']:>14.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
