"""Machines with GPUs that are none; see `fake_cupy`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpunn.backend.kernel import picks, tuning

from . import fake_cupy
from .picked import Clock


@pytest.fixture(params=[12080, 13000], ids=["cuda12", "cuda13"])
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A machine with one device, and CuPy for CUDA 12.8 or 13.0."""
    with fake_cupy.installed(toolkit=request.param) as found:
        yield found


@pytest.fixture
def two() -> Iterator[Any]:
    """A machine with two devices."""
    with fake_cupy.installed(devices=2) as found:
        yield found


@pytest.fixture
def picks_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is measured in a test is kept here."""
    monkeypatch.setattr(picks, "cache_folder", lambda name: tmp_path / name)
    return tmp_path / "tuning"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Says how long graphs take."""
    planted = Clock()
    monkeypatch.setattr(tuning, "seconds_of", planted)
    return planted
