"""Lines for people, said once, however many ranks there are."""

from __future__ import annotations

import sys


def speaks() -> bool:
    """Whether this process says what all ranks would say alike: rank 0 does, and a process by itself."""
    parallel = sys.modules.get("gpunn.parallel")
    return parallel is None or parallel.world().is_first


def say(line: str) -> None:
    """A line on standard error."""
    if speaks():
        print(line, file=sys.stderr)
