"""Convolution and its two gradients."""

from __future__ import annotations

from .family import Family


class Conv(Family):
    """Convolution and its two gradients."""
