"""The gradient of a linear layer's weight that is not there yet."""

from __future__ import annotations

from typing import Any, NamedTuple


class WeightGradient(NamedTuple):
    """dz^T x, of shape (outputs, inputs), as its factors dz (..., outputs) and x (..., inputs).

    Updates of backends that have kernels take it in the place of an array, and make it where they use it.
    """

    dz: Any
    x: Any
