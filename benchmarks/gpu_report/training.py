"""Training at several batch sizes, beside the frameworks that are installed, as ``gpunn bench batch-size`` does it."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.bench.implementations import ON_THE_CPU, PEERS, missing
from gpunn.bench.protocol import Effort, compare_each

from .setup import Row, Setup

CASES = (
    *(("W1", 128), ("W1", 4096), ("W4", 128), ("W2", 1024), ("cnn", 128), ("W1", 65536), ("W5", 128)),
    *(("W1", 1024), ("W1", 1), ("W1", 32), ("W2", 64), ("W4", 1024), ("cnn", 1024), ("W3", 262144)),
)
"""In the order of their worth: the time may end before the last ones."""
SLOW = ("torch-compile",)
"""What takes a minute to compile each shape is left out unless everything is wanted."""


def training(setup: Setup) -> Iterator[Row]:
    """The rows of `gpunn.bench.protocol.compare`."""
    names = ["gpunn", "gpunn-eager"]
    if not setup.tiny:
        peers = (name for name in PEERS if name not in names and not missing(name))
        names += [name for name in peers if name not in ON_THE_CPU and (setup.all or name not in SLOW)]
    effort = Effort(rounds=2, blocks=2, block_seconds=0.0) if setup.tiny else Effort(budget_seconds=2)
    cases = (("W3", 2),) if setup.tiny else CASES
    return compare_each(cases, names, device=str(setup.device), effort=effort)
