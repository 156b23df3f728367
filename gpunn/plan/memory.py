"""Memory of a step: which values need some, when, and where in one arena each of them lies."""

from __future__ import annotations

from dataclasses import dataclass, field

ALIGNMENT = 64
"""Bytes: every value starts at a multiple of this, a cache line on the CPU and the widest load on a GPU."""


@dataclass(eq=False)
class Storage:
    """Memory for one value, or for several that have to lie one behind the other.

    Attributes:
        sizes: bytes of each value.
        first: the node that first writes to it.
        last: the last node that reads it, or a view of it.
        offset: where it lies in the arena.
    """

    sizes: list[int]
    first: int
    last: int
    offset: int = -1
    places: list[int] = field(default_factory=list)
    """Where each value lies, from `offset` on."""

    def __post_init__(self) -> None:
        at = 0
        for size in self.sizes:
            self.places.append(at)
            at += aligned(size)
        self.size = at


def aligned(size: int) -> int:
    """`size`, rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def lay_out(storages: list[Storage]) -> int:
    """Give each storage its offset, so that those that live at the same time do not overlap. Returns the bytes needed.

    The largest comes first, each in the lowest gap that takes it: the greedy algorithm by size of Pisarchyk and Lee
    2020, "Efficient memory management for deep neural net inference", section 4.3.
    """
    placed: list[Storage] = []
    total = 0
    for s in sorted(storages, key=lambda s: (-s.size, s.first)):
        offset = 0
        for other in placed:  # in the order of their offsets
            if other.last < s.first or s.last < other.first:
                continue
            if other.offset - offset >= s.size:
                break
            offset = max(offset, other.offset + other.size)
        s.offset = offset
        total = max(total, offset + s.size)
        placed.append(s)
        placed.sort(key=lambda s: s.offset)
    return total
