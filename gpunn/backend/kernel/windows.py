"""How a kernel is told of the windows on an image, rows first, then columns; `kernels/windows.cuh` takes it apart."""

from __future__ import annotations

from .family import ceil_div

Pair = tuple[int, int]
Geometry = tuple[int, ...]

RUN = 4
"""So many pixels, one below the other, has a thread of some kernels, which divide once for all of them."""


def geometry(
    size: Pair, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair = (1, 1)
) -> Geometry:
    """For each of the two axes: the image's size, positions, and the windows' size, stride, corner and dilation."""
    rows, columns = zip(size, positions, kernel, stride, corner, dilation)
    return rows + columns


def runs(planes: int, size: Pair) -> int:
    """Threads that have all pixels between them, each a run of them."""
    return planes * ceil_div(size[0], RUN) * size[1]
