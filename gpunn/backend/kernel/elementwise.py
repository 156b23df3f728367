"""Functions of each element, of two elements, comparison, logic and choice."""

from __future__ import annotations

from .family import Family


class Elementwise(Family):
    """Functions of each element, of two elements, comparison, logic and choice."""
