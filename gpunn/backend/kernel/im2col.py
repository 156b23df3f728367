"""The patches of images as columns, and the adjoint."""

from __future__ import annotations

from .family import Family


class Im2col(Family):
    """The patches of images as columns, and the adjoint."""
