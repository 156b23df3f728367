"""How a kernel is told of the windows on an image, rows first, then columns; `kernels/windows.cuh` takes it apart."""

from __future__ import annotations

Pair = tuple[int, int]
Geometry = tuple[int, ...]


def geometry(
    size: Pair, positions: Pair, kernel: Pair, stride: Pair, corner: Pair, dilation: Pair = (1, 1)
) -> Geometry:
    """For each of the two axes: the image's size, positions, and the windows' size, stride, corner and dilation."""
    rows, columns = zip(size, positions, kernel, stride, corner, dilation)
    return rows + columns
