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


def grid_and_block(team: str, rows: int) -> tuple[tuple[int], tuple[int, ...]]:
    """The grid and the block for a team on each row."""
    return (ceil_div(rows, _ROWS[team]),), _BLOCK[team]


def team_for(length: int) -> str:
    """The team for rows of this length that lie in memory one after another. The bounds are not measured yet."""
    return "naive" if length <= SHORT else "warp" if length <= LONG else "block"
