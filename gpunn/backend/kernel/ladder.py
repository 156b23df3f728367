"""The ladder: an important kernel keeps every version that it ever had, from naive to fused, tested and selectable."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

LADDERS: dict[str, Ladder] = {}


class Ladder:
    """The versions of one kernel, the first rung first; the last one is taken where nothing else is asked for.

    Args:
        name: of the operation, such as ``"matmul"``.
        rungs: the names of its versions.
        libraries: what is no kernel of gpunn's, and can be chosen like a rung.
    """

    def __init__(self, name: str, rungs: Sequence[str], libraries: Sequence[str] = ()) -> None:
        self.name = name
        self.rungs = tuple(rungs)
        self.libraries = tuple(libraries)
        self.chosen: str | None = None
        LADDERS[name] = self
        wanted = dict(part.split("=", 1) for part in os.environ.get("GPUNN_RUNGS", "").split(",") if "=" in part)
        if name in wanted:
            self.choose(wanted[name])

    def choose(self, rung: str | None) -> None:
        """Take this rung from now on, or with None the best one.

        Raises:
            ValueError: there is no such rung.
        """
        there = self.rungs + self.libraries
        if rung is not None and rung not in there:
            raise ValueError(f"{self.name} has no rung {rung!r}; it has {', '.join(there)}")
        self.chosen = rung

    def pick(self, best: str | None = None) -> str:
        """The rung that was chosen, else `best`, else the last one."""
        return self.chosen or best or self.rungs[-1]


@contextmanager
def rung(ladder: str, name: str) -> Iterator[None]:
    """Inside, operation `ladder` runs on its rung `name`.

    ``GPUNN_RUNGS="matmul=naive,im2col=naive"`` in the environment does the same for a whole process.

    Raises:
        ValueError: there is no such ladder or rung.
    """
    if ladder not in LADDERS:
        raise ValueError(f"there is no ladder {ladder!r}; there are {', '.join(sorted(LADDERS))}")
    before = LADDERS[ladder].chosen
    LADDERS[ladder].choose(name)
    try:
        yield
    finally:
        LADDERS[ladder].chosen = before
