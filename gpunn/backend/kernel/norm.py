"""Normalisation of rows: layer, group and instance norm."""

from __future__ import annotations

from .family import Family


class Norm(Family):
    """Normalisation of rows: layer, group and instance norm."""
