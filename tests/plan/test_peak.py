"""The most memory of a planned step is less than PyTorch's for the same step, each in a process that does nothing else.

``pytest tests/plan/test_peak.py -s`` prints both.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

W2_WEIGHTS = 4 * 4 * (4096 * 4096 + 4096)
CNN_WEIGHTS = 4 * (32 * (9 + 1) + 64 * (32 * 9 + 1) + 128 * (64 * 7 * 7 + 1) + 10 * (128 + 1))
# What PyTorch keeps of one sample for the backward: results of ReLUs and of poolings, and where the maxima were.
CNN_KEPT = 4 * (32 * 28 * 28 + 32 * 14 * 14 + 64 * 14 * 14 + 64 * 7 * 7) + 8 * (32 * 14 * 14 + 64 * 7 * 7)

CASES = [
    # One step of W2 is enough; in the next one PyTorch needs more, since there is momentum from the beginning.
    pytest.param("W2", 128, 1, W2_WEIGHTS, 128 * (4 * 4096 + 8), W2_WEIGHTS, marks=pytest.mark.slow),
    ("cnn", 128, 3, CNN_WEIGHTS, 128 * (4 * 28 * 28 + 8), 128 * CNN_KEPT),
]
"""Workload, batch size, steps, and in bytes: weights, batch, and what PyTorch needs at one time beside those and the
momentum: the gradients when the optimizer steps, or what the forward keeps."""


def peaks(framework: str, *args: object) -> list[int]:
    run = subprocess.run(
        [sys.executable, "-m", "tests.plan.peaks", framework, *map(str, args)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [int(word) for word in run.stdout.splitlines()[-1].split()]


@pytest.mark.parametrize(("workload", "batch", "steps", "weights", "data", "more"), CASES)
def test_less_than_pytorch(
    torch: ModuleType, workload: str, batch: int, steps: int, weights: int, data: int, more: int
) -> None:
    theirs, left = peaks("torch", workload, batch, steps)
    ours, forecast = peaks("gpunn", workload, batch, steps)
    print(f"\n{workload}, batches of {batch}: forecast {forecast:,}, measured {ours:,}, PyTorch {theirs:,} bytes")
    assert left == 0
    assert 2 * weights + data + more <= theirs
    assert 2 * weights + data <= ours
    assert max(forecast, ours) < theirs
