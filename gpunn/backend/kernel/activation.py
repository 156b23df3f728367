"""Activation functions and their derivatives."""

from __future__ import annotations

from .family import Family


class Activation(Family):
    """Activation functions and their derivatives."""
