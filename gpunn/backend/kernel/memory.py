"""Making, moving and viewing arrays."""

from __future__ import annotations

from .family import Family


class Memory(Family):
    """Making, moving and viewing arrays."""
