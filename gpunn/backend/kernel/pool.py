"""Pooling: the maximum and the mean of windows."""

from __future__ import annotations

from .family import Family


class Pool(Family):
    """Pooling: the maximum and the mean of windows."""
