"""Batch normalisation."""

from __future__ import annotations

from .family import Family


class BatchNorm(Family):
    """Batch normalisation."""
