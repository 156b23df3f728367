"""What a kernel with one bug is; `test_planted_bugs` has the marks in its text."""

from dataclasses import dataclass, field

import numpy as np

F, I = np.float32, np.int32


def floats(n=64):
    return np.arange(n, dtype=F)


def ints(n=64):
    return np.arange(n, dtype=I)


@dataclass
class Bug:
    """A kernel with a bug: how it is launched, and what kind of error is expected."""

    name: str
    kind: str
    code: str
    args: object
    block: int = 64
    grid: int = 1
    shared_mem: int = 0
    fixed_args: object = None  # for the right kernel, where they differ
    fast: bool = False  # caught in the mode "fast" too
    lines: list = field(default_factory=list)
