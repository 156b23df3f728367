"""Reductions over a tuple of axes, and running sums."""

from __future__ import annotations

from .family import Family


class Reduction(Family):
    """Reductions over a tuple of axes, and running sums."""
