"""Losses."""

from __future__ import annotations

from .family import Family


class Loss(Family):
    """Losses."""
