"""Rows of a table by their indices."""

from __future__ import annotations

from .family import Family


class Embedding(Family):
    """Rows of a table by their indices."""
