"""Matrix products and the affine map."""

from __future__ import annotations

from .family import Family


class Linear(Family):
    """Matrix products and the affine map."""
