"""Deterministic algorithms can be asked for, and are always there."""

import pytest

import gpunn


def test_it_is_always_true() -> None:
    gpunn.use_deterministic_algorithms(True, warn_only=True)
    assert gpunn.are_deterministic_algorithms_enabled()
    with pytest.warns(UserWarning, match="no nondeterministic algorithms"):
        gpunn.use_deterministic_algorithms(False)
    assert gpunn.are_deterministic_algorithms_enabled()
    assert not gpunn.is_deterministic_algorithms_warn_only_enabled()
