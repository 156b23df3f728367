"""Several arrays as one, and the elements of one in another order."""

from __future__ import annotations

from .family import Family


class Rearrange(Family):
    """Several arrays as one, and the elements of one in another order."""
