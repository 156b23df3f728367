"""Functions that NumPy and CuPy have, and for which there is no kernel of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpunn.backend.numpy.array_module import of_module

from .family import Array, Family, generic


class ArrayModule(Family):
    """Functions of the array module."""

    @generic
    def of_arrays(
        self, function: Callable[..., Any], arrays: Sequence[Array], dtypes: Sequence[Any], out: Any = None
    ) -> Any:
        """What ``function(xp, *arrays)`` gives, in these types: one array for one type, else a tuple of them."""
        return of_module(self.xp, function, arrays, dtypes, out)
