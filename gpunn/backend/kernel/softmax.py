"""Softmax and its logarithm."""

from __future__ import annotations

from .family import Family


class Softmax(Family):
    """Softmax and its logarithm."""
