"""Dropout."""

from __future__ import annotations

from .family import Family


class Dropout(Family):
    """Dropout."""
