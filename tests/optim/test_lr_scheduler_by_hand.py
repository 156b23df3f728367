"""Schedules by their formulas, worked by hand."""

from __future__ import annotations

import math

import pytest

from gpunn.optim import lr_scheduler

from .small import ours, rates


def test_step_by_hand() -> None:
    assert rates(lr_scheduler.StepLR(ours(), 2, 0.5), 4) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025], rel=1e-15)


def test_linear_by_hand() -> None:
    scheduler = lr_scheduler.LinearLR(ours(), start_factor=0.5, total_iters=5)
    assert rates(scheduler, 7) == pytest.approx([0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.1, 0.1], rel=1e-14)


def test_cosine_is_half_a_wave() -> None:
    """Loshchilov and Hutter 2017, equation 5."""
    expected = [0.02 + 0.5 * (0.1 - 0.02) * (1 + math.cos(math.pi * t / 10)) for t in range(31)]
    assert rates(lr_scheduler.CosineAnnealingLR(ours(), 10, eta_min=0.02), 30) == pytest.approx(expected, rel=1e-12)


def test_one_cycle_by_hand() -> None:
    optimizer = ours(momentum=0.5)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=11, pct_start=5 / 11, anneal_strategy="linear")
    got = rates(scheduler, 4)
    assert got == pytest.approx([0.04, 0.28, 0.52, 0.76, 1.0], rel=1e-14)
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.85)
    for _ in range(6):
        scheduler.step()
    assert scheduler.get_last_lr()[0] == pytest.approx(0.04 / 1e4)
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.95)
    scheduler.step()
    with pytest.raises(ValueError, match="Tried to step 12 times"):
        scheduler.step()


def test_one_cycle_without_a_way_up() -> None:
    """Where the way up takes no step at all, the cycle begins at the top."""
    scheduler = lr_scheduler.OneCycleLR(ours(momentum=0.5), 1.0, total_steps=10, pct_start=0.1)
    assert scheduler.get_last_lr()[0] == 1.0


def test_constant_zero_comes_back() -> None:
    assert rates(lr_scheduler.ConstantLR(ours(), 0.0, 3), 4) == [0.0, 0.0, 0.0, 0.1, 0.1]
