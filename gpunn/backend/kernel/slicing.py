"""Views by slices, and arrays put into slices of others."""

from __future__ import annotations

from .family import Family


class Slicing(Family):
    """Views by slices, and arrays put into slices of others."""
