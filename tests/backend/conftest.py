"""Machines with GPUs that are none; see `fake_cupy`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import fake_cupy


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
