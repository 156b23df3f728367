"""Elements by indices, and elements put or added up at indices."""

from __future__ import annotations

from .family import Family


class Indexing(Family):
    """Elements by indices, and elements put or added up at indices."""
