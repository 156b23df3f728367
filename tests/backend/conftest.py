"""Machines with GPUs that are none; see `fake_cupy`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import fake_cupy


@pytest.fixture
def machine() -> Iterator[Any]:
    """A machine with one device."""
    with fake_cupy.installed() as found:
        yield found


@pytest.fixture
def two() -> Iterator[Any]:
    """A machine with two devices."""
    with fake_cupy.installed(devices=2) as found:
        yield found
