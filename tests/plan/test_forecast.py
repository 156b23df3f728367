"""The forecast of memory, made before the first step, is what is measured, in a process that does nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CASES = [
    ("w1", 1, "sgd"),
    ("w1", 1000, "momentum"),
    ("lenet", 3, "adam"),
    ("lenet", 128, "momentum"),
    ("residual", 64, "amsgrad"),
    ("shared", 32, "rmsprop"),
    ("cnn", 32, "adamw"),
    ("cnn", 128, "momentum"),
    ("recomputed", 2000, "momentum"),
]


@pytest.mark.parametrize(("network", "batch", "optimizer"), CASES)
def test_forecast(network: str, batch: int, optimizer: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.plan.measured", network, str(batch), optimizer],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    forecast, peak, resident = map(int, run.stdout.split())
    assert abs(forecast - peak) <= max(0.02 * peak, 256_000)
    assert abs(forecast - resident) <= max(0.1 * forecast, 16_000_000)
