"""Fixtures for tests of plans."""

from __future__ import annotations

import importlib

import pytest

from gpunn.plan.rules import elementwise_chain


@pytest.fixture
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains on the CPU where arrays are small too, and then in several blocks."""
    monkeypatch.setattr(elementwise_chain, "CPU_BYTES", 0)
    monkeypatch.setattr(importlib.import_module("gpunn.backend.numpy.chain"), "_BLOCK", 1000)
