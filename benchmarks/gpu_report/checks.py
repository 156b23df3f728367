"""Whether the device computes what the CPU does: the tests, every op, and whole trainings."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from gpunn.bench.implementations.gpunn_eager import Training as Eager
from gpunn.bench.implementations.gpunn_plan import Training as Planned
from gpunn.bench.workloads import WORKLOADS

from .setup import Row, Setup

ROOT = Path(__file__).resolve().parents[2]


OP_CASES = 1500
"""Of the tests of every op on the device, how many are run unless all are wanted."""


def tests(setup: Setup) -> Iterator[Row]:
    """``pytest -m gpu`` in a process for each core: a row for each test that failed or was skipped, then the count.

    On the simulator its own tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        which = "gpu" if setup.device.type == "cuda" else "not slow and not gpu"
        command = [sys.executable, "-m", "pytest", "-q", "-m", which, f"--junitxml={report}", "-p", "no:cacheprovider"]
        if importlib.util.find_spec("xdist"):
            command += ["--numprocesses", str(max(1, len(os.sched_getaffinity(0)) - 2)), "--dist", "worksteal"]
        if importlib.util.find_spec("pytest_benchmark"):
            command.append("--benchmark-disable")  # else it warns that it does so itself beside several processes
        if not setup.all:
            command += ["--op-cases", str(OP_CASES)]
        where = ["tests/backend/simulator/test_stream.py"] if setup.tiny else ["tests"]
        done = subprocess.run([*command, *where], cwd=ROOT, capture_output=True, text=True)
        if not report.exists():
            raise RuntimeError(f"pytest ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    passed = 0
    for case in cases:
        outcome = next((kind for kind in case if kind.tag in ("failure", "error", "skipped")), None)
        if outcome is None:
            passed += 1
            continue
        said = (outcome.get("message") or outcome.text or "").strip().splitlines()[:1]
        kind = "skipped" if outcome.tag == "skipped" else "failed"
        yield {"test": f"{case.get('classname')}::{case.get('name')}", "outcome": kind, "said": "".join(said)[:300]}
    yield {"passed": passed}


# Every op -------------------------------------------------------------------------------------------------------------


def ops(setup: Setup) -> Iterator[Row]:
    """The op cases of the tests on the device and on the CPU, results and gradients, in every type of the case.

    In an order in which the first ones are of every op, so that less time finds most of what all would find.
    """
    from tests.ops import cases
    from tests.ops.harness import CASES

    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"{cases.__name__}.{module.name}")
    for case in CASES[::40] if setup.tiny else (case for start in range(16) for case in CASES[start::16]):
        for dtype in case.dtypes:
            row: Row = {"case": case.name, "dtype": dtype}
            try:
                error = _largest_error(case, dtype, str(setup.device))
            except Exception as problem:
                yield {**row, "failed": f"{type(problem).__name__}: {problem}"[:300]}
                continue
            if error > 1:
                row["failed"] = f"more than what is tolerated, {error:.1f} times"
            yield {**row, "error": error if np.isfinite(error) else None}


def condense_ops(rows: list[Row]) -> dict[str, Any]:
    """How many there were, what failed, and the largest error of each type with its case."""
    worst: dict[str, tuple[str, float]] = {}
    for row in rows:
        error = row.get("error")
        if error is not None and error > worst.get(row["dtype"], ("", -1.0))[1]:
            worst[row["dtype"]] = row["case"], error
    failed = [row for row in rows if "failed" in row]
    return {"compared": len(rows), "failed": failed, "largest_error_in_tolerances": worst}


def _largest_error(case: Any, dtype: str, device: str) -> float:
    """The largest difference between the device and the CPU, as a part of what the case tolerates."""
    expected, got = _values(case, dtype, "cpu"), _values(case, dtype, device)
    if len(expected) != len(got):
        raise AssertionError(f"{len(got)} results and gradients, and {len(expected)} on the CPU")
    largest = 0.0
    for e, g in zip(expected, got):
        if (e.shape, e.dtype) != (g.shape, g.dtype):
            raise AssertionError(f"{g.dtype}{g.shape}, and {e.dtype}{e.shape} on the CPU")
        allowed = case.tolerance(e.dtype.name)  # an op may give another type than it takes
        e, g = e.astype(np.float64), g.astype(np.float64)
        odd = ~np.isfinite(e)
        if not np.array_equal(e[odd], g[odd], equal_nan=True):
            return float("inf")
        scale = float(np.max(np.abs(e[~odd]), initial=0))
        difference = np.max(np.abs(e[~odd] - g[~odd]), initial=0)
        largest = max(largest, float(difference / (2 * (allowed["atol"] + allowed["rtol"] * scale))))
    return largest


def _values(case: Any, dtype: str, device: str) -> list[np.ndarray]:
    """The results, and the gradients of their sums."""
    gpunn.set_default_device(device)
    gpunn.manual_seed(0)
    try:
        inputs = case.tensors(dtype, device, requires_grad=case.gradient)
        results = case.function(*inputs)
        results = results if isinstance(results, (tuple, list)) else (results,)
        with_grad = [y for y in results if y.requires_grad]
        if with_grad:
            gpunn.autograd.backward([y.sum() for y in with_grad])
        grads = [x.grad for x in inputs if x.grad is not None]
        return [t.detach().cpu().numpy() for t in (*results, *grads)]
    finally:
        gpunn.set_default_device("cpu")


# Training -------------------------------------------------------------------------------------------------------------


def trainings(setup: Setup) -> Iterator[Row]:
    """The first losses of training on the device and on the CPU, and whether two runs have the same bits."""
    device = str(setup.device)
    steps, batch = (4, 2) if setup.tiny else (20, 32)
    for workload in ("W3",) if setup.tiny else ("W1", "W4", "cnn"):
        w = WORKLOADS[workload]
        for optimizer in ("sgd", "adam"):
            expected = Eager(w, batch, 4, optimizer, "cpu").losses(steps)[: w.gate]
            for kind, made in (("eager", Eager), ("planned", Planned)):
                row: Row = {"workload": workload, "optimizer": optimizer, "kind": kind}
                try:
                    first, second = (made(w, batch, 4, optimizer, device).losses(steps)[: w.gate] for _ in range(2))
                    row["loss_error"] = float(np.max(np.abs(np.subtract(first, expected))) / abs(expected[0]))
                    row["agrees"] = row["loss_error"] <= (1e-4 if optimizer == "sgd" else 1e-3)
                    row["same_bits_twice"] = first == second
                except Exception as error:
                    row["error"] = f"{type(error).__name__}: {error}"[:300]
                yield row
