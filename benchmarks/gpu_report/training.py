"""Training at several batch sizes, beside the frameworks that are installed, as ``gpunn bench batch-size`` does it."""

from __future__ import annotations

from collections.abc import Iterator

import gpunn
from gpunn.bench.floors import known_gpu
from gpunn.bench.implementations import ON_THE_CPU, PEERS, missing
from gpunn.bench.protocol import Effort, compare_each
from gpunn.bench.sweep import CASES

from .setup import Row, Setup

SLOW = ("torch-compile",)
"""What takes a minute to compile each shape is left out unless everything is wanted."""


def training(setup: Setup) -> Iterator[Row]:
    """The rows of `gpunn.bench.protocol.compare`."""
    names = ["gpunn", "gpunn-eager"]
    if not setup.tiny:
        peers = (name for name in PEERS if name not in names and not missing(name))
        names += [name for name in peers if name not in ON_THE_CPU and (setup.all or name not in SLOW)]
    effort = Effort(rounds=2, blocks=2, block_seconds=0.0) if setup.tiny else Effort(budget_seconds=2)
    cases = CASES["sim"][:1] if setup.tiny else CASES["cuda"]  # the time may end before the last ones
    gpu = known_gpu(gpunn.cuda.get_device_name(setup.device)) if setup.device.type == "cuda" else None
    return compare_each(cases, names, device=str(setup.device), effort=effort, gpu=gpu)
