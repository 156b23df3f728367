"""Four neighbouring elements as one, or two: `kernels/quad.cuh`."""

from __future__ import annotations

from collections.abc import Callable

from .family import Array, Family


class Quads(Family):
    """For families whose kernels move elements in fours."""

    address: Callable[[Array], int]

    def quads(self, *parts: Array | int | None) -> bool:
        """Whether elements can be moved in fours: the arrays and steps given are all at multiples of four elements.

        A quad of more than 16 bytes is moved in several times 16.
        """
        return all(map(self._fits, parts))

    def twos(self, x: Array) -> bool:
        """Whether an array starts at a multiple of two elements, so that they can be moved in twos."""
        return self.address(x) % (2 * x.dtype.itemsize) == 0

    def _fits(self, part: Array | int | None) -> bool:
        if part is None or isinstance(part, int):
            return not part or part % 4 == 0
        return self.address(part) % min(16, 4 * part.dtype.itemsize) == 0
