"""The benchmark of the first step: two processes on one cache, and what they have compiled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from benchmarks import first_step


def test_a_row_counts_what_each_process_compiled(monkeypatch) -> None:
    seconds, calls = iter([9.0, 2.0]), []

    def run(command, *, env, **options):
        calls.append(command[3:])
        kept = Path(env["GPUNN_CACHE"]) / "nvrtc"
        kept.mkdir(exist_ok=True)
        for name in ("a", "b", "c"):
            (kept / name).touch()
        return SimpleNamespace(stdout=json.dumps({"kernels": 4, "import": 0.5, "all": next(seconds)}))

    monkeypatch.setattr(first_step.subprocess, "run", run)
    assert first_step.measure("W1", 32, "sm_90") == {
        "workload": "W1",
        "batch_size": 32,
        "ends_with": "compilation",
        "kernels": 4,
        "compiled_cold": 3,
        "seconds_cold": 9.0,
        "compiled_warm": 0,
        "seconds_warm": 2.0,
        "seconds_import": 0.5,
    }
    assert calls == [["W1", "32", "sm_90"]] * 2


IMPORTED = """
import sys
import numpy
before = set(sys.modules)
import gpunn
print(*sorted(set(sys.modules) - before))
from gpunn.ops.base import OPS
print(*(name for name, op in OPS.items() if "__dataclass_fields__" in vars(op)))
"""


def test_what_import_gpunn_imports() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    modules, written = (line.split() for line in done.stdout.splitlines())
    ours = [name for name in modules if name.startswith("gpunn")]
    assert len(ours) <= 92, "load it later: gpunn/later.py"
    late = {"io", "nn", "optim", "plan", "train", "inspect", "cli", "backend.numpy", "backend.kernel", "backend.sim"}
    assert not late.intersection(name.removeprefix("gpunn.") for name in ours)
    others = {name.partition(".")[0] for name in modules if not name.startswith(("gpunn", "_"))}
    assert others <= {
        *("ml_dtypes", "dataclasses", "copy", "threading", "pathlib"),
        *("errno", "fnmatch", "ipaddress", "ntpath", "urllib", "weakref", "types", "bisect"),  # what pathlib imports
    }
    assert set(written) <= {"Activation", "LinearActivation"}, "its first object is made at import"
