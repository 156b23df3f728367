"""Going through arrays in blocks that stay in the L2 cache, so that all passes over a block but the first are fast.

Blocks depend on the shape only, and so do the bits of what is computed with them.
"""

from __future__ import annotations

from collections.abc import Iterator

_BLOCK = 1 << 16
"""Elements of a block: 256 KiB of float32."""


def _block_length(count: int, size: int) -> int:
    """How many of `count` rows of `size` elements make a block: at least one."""
    return max(1, min(count, _BLOCK // max(1, size)))


def _blocks(count: int, size: int) -> Iterator[slice]:
    """`count` rows of `size` elements, in slices of one block."""
    step = _block_length(count, size)
    for start in range(0, count, step):
        yield slice(start, start + step)
