"""Optimizer updates on flat arenas: one launch for all parameters."""

from __future__ import annotations

from .family import Family


class Optimizer(Family):
    """Optimizer updates on flat arenas: one launch for all parameters."""
