"""Whether the device computes what the CPU does: the tests, every op, and whole trainings."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import gpunn
from gpunn.bench.implementations.gpunn_eager import Training as Eager
from gpunn.bench.implementations.gpunn_plan import Training as Planned
from gpunn.bench.workloads import WORKLOADS

from .setup import Setup

ROOT = Path(__file__).resolve().parents[2]


def tests(setup: Setup) -> dict[str, Any]:
    """``pytest -m gpu``: how many passed, and what failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}", "-p", "no:cacheprovider"]
        where = ["tests/backend"] if setup.tiny else ["tests"]
        done = subprocess.run([*command, *where], cwd=ROOT, capture_output=True, text=True)
        if not report.exists():
            raise RuntimeError(f"pytest ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
        cases = list(ElementTree.parse(report).iter("testcase"))
    failed, skipped = [], Counter[str]()
    for case in cases:
        for kind in case:
            message = kind.get("message", "").splitlines()[:1]
            if kind.tag in ("failure", "error"):
                failed.append({"test": f"{case.get('classname')}::{case.get('name')}", "message": "".join(message)})
            elif kind.tag == "skipped":
                skipped["".join(message)] += 1
    passed = len(cases) - len(failed) - skipped.total()
    return {"passed": passed, "failed": failed, "skipped": dict(skipped)}


# Every op -------------------------------------------------------------------------------------------------------------


def ops(setup: Setup) -> dict[str, Any]:
    """The op cases of the tests on the device and on the CPU, results and gradients, in every type of the case."""
    from tests.ops import cases
    from tests.ops.harness import CASES

    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"{cases.__name__}.{module.name}")
    chosen = CASES[::20] if setup.tiny else CASES
    failed, worst = [], {}
    for case in chosen:
        for dtype in case.dtypes:
            try:
                error = _largest_error(case, dtype, str(setup.device))
            except Exception as problem:
                failed.append(
                    {"case": case.name, "dtype": dtype, "error": f"{type(problem).__name__}: {problem}"[:300]}
                )
                continue
            if error > 1:
                failed.append({"case": case.name, "dtype": dtype, "error": f"{error:.1f} times the tolerance"})
            if error > worst.get(dtype, ("", -1.0))[1]:
                worst[dtype] = (case.name, error)
    return {"cases": len(chosen), "failed": failed, "largest_error_in_tolerances": worst}


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


def trainings(setup: Setup) -> list[dict[str, Any]]:
    """The first losses of training on the device and on the CPU, and whether two runs have the same bits."""
    rows = []
    device = str(setup.device)
    steps, batch = (4, 2) if setup.tiny else (20, 32)
    for workload in ("W3",) if setup.tiny else ("W1", "W4", "cnn"):
        w = WORKLOADS[workload]
        for optimizer in ("sgd", "adam"):
            expected = Eager(w, batch, 4, optimizer, "cpu").losses(steps)[: w.gate]
            for kind, made in (("eager", Eager), ("planned", Planned)):
                row: dict[str, Any] = {"workload": workload, "optimizer": optimizer, "kind": kind}
                try:
                    first, second = (made(w, batch, 4, optimizer, device).losses(steps)[: w.gate] for _ in range(2))
                    row["loss_error"] = float(np.max(np.abs(np.subtract(first, expected))) / abs(expected[0]))
                    row["agrees"] = row["loss_error"] <= (1e-4 if optimizer == "sgd" else 1e-3)
                    row["same_bits_twice"] = first == second
                except Exception as error:
                    row["error"] = f"{type(error).__name__}: {error}"[:300]
                rows.append(row)
    return rows
