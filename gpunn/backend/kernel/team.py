"""How many teams of threads a kernel is launched with; what a team is says `kernels/team.cuh`."""

from __future__ import annotations

from .family import ceil_div

THREADS = 256
"""Threads of a block."""
_ROWS = {"naive": THREADS, "columns": 32, "warp": THREADS // 32, "block": 1}
"""Rows that one block works on."""
_BLOCK = {"naive": (THREADS,), "columns": (32, THREADS // 32), "warp": (32, THREADS // 32), "block": (THREADS,)}

SHORT = 16
"""Up to this length one thread has a row to itself."""
LONG = 1024
"""Above this length a whole block shares a row."""
_OF_LANES = 256
"""Up to this length a few lanes of a warp share a row, where there are many."""
_MANY_ROWS = 1 << 13
"""With so many rows a GPU has no room for a warp on each at once, and what each warp costs counts; with fewer ones it
is how long a row takes."""
_ONCE, _AGAIN = ((64, 4), (128, 8)), ((31, 4), (95, 8))
"""Up to which length how many lanes share a row that is read once, or again, when it may have left the first-level
cache; above it is 16. As predicted for an H100 and an A100, like the two bounds above."""


def grid_and_block(team: str, rows: int, lanes: int = 0) -> tuple[tuple[int], tuple[int, ...]]:
    """The grid and the block for a team on each row; of so many lanes, if it is one of lanes."""
    if team == "lanes":
        return (ceil_div(rows, THREADS // lanes),), (lanes, THREADS // lanes)
    return (ceil_div(rows, _ROWS[team]),), _BLOCK[team]


def team_for(length: int, rows: int = 0) -> str:
    """The team for rows of this length that lie in memory one after another. The bounds are not measured yet.

    Args:
        length: the elements of a row.
        rows: how many rows there are; 0 where the kernel has no team of lanes.
    """
    if SHORT < length <= _OF_LANES and rows >= _MANY_ROWS:
        return "lanes"
    return "naive" if length <= SHORT else "warp" if length <= LONG else "block"


def lanes_for(length: int, again: bool = False) -> int:
    """How many lanes of a warp share a row of this length; `again`: that they read a second time."""
    return next((lanes for longest, lanes in (_AGAIN if again else _ONCE) if length <= longest), 16)


# Teams that share the channels of (n, c, m), as `kernels/channels.cuh` has it

_MEMBERS = {"columns": THREADS // 32, "block": THREADS}
_NEIGHBOURS = 16
"""From so many elements on that a channel has side by side, a block goes over it."""
_ENOUGH = 16
"""Elements for each member of a team, below which a channel isn't shared any more."""
_BUSY = 1024
"""Blocks that keep a GPU busy. None of these bounds is measured yet."""


def channel_team(m: int) -> str:
    """The team for a channel of x (n, c, m)."""
    return "block" if m >= _NEIGHBOURS else "columns"


def shares(team: str, n: int, c: int, m: int) -> int:
    """Into how many shares each channel is cut: 1 unless there are few channels with many elements."""
    blocks = ceil_div(max(c, 1), _ROWS[team])
    return max(1, min(_BUSY // blocks, n * m // (_MEMBERS[team] * _ENOUGH)))
