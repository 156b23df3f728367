"""Largest and smallest elements, and sorting."""

from __future__ import annotations

from .family import Family


class Order(Family):
    """Largest and smallest elements, and sorting."""
