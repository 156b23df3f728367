"""What a training step launches, of networks as large as a GPU trains them: found without computing anything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from gpunn.backend import sim
from gpunn.backend.launch import Launcher
from gpunn.backend.recording import Launch
from gpunn.bench.implementations.gpunn_plan import Training
from gpunn.bench.workloads import WORKLOADS

from .table import Column, Layout, Row, more

TITLE = "What a step launches, and the bytes of the arrays that it is given; README.md says what the columns are."
LAYOUT = Layout(("step", "kernel"), (Column("launches", more), Column("blocks"), Column("bytes", more)))
STEPS = (
    *(("W1", 128), ("W1", 4096), ("W2", 64), ("W2", 1024), ("W3", 65536)),
    *(("W4", 128), ("W5", 128), ("W6", 128), ("cnn", 128)),
)
"""Networks and samples of a step."""


def jobs() -> Iterator[tuple[str, int]]:
    """The steps."""
    yield from STEPS


def versions() -> str:
    """Nothing but gpunn itself decides what it launches."""
    return "gpunn"


def rows(name: str, batch: int) -> list[Row]:
    """A row for each kernel of a step, and one for the step as a whole."""
    launches = _launches(name, batch)
    kernels = dict.fromkeys(launch.name for launch in launches)
    groups = {"all": launches} | {kernel: [x for x in launches if x.name == kernel] for kernel in kernels}
    return [(f"{name}, batch {batch}", kernel, *_cells(group)) for kernel, group in groups.items()]


def _cells(launches: Sequence[Launch]) -> Row:
    blocks = sum(math.prod(launch.grid) for launch in launches)
    arrays = (a for launch in launches for a in launch.args if isinstance(a, np.ndarray))
    return str(len(launches)), str(blocks), str(sum(a.nbytes for a in arrays))


def _launches(name: str, batch: int) -> list[Launch]:
    """The launches of a later step, on the device sim with kernels that do nothing."""
    with of_zeros() as backend, patch.object(backend, "launcher", Launcher(_Nothing, np.ndarray)):
        training = Training(WORKLOADS[name], batch, 1, "adam", "sim")
        training.run(3)
        return [launch for segment in training.planned.plan.segments for launch in segment.launches]


@contextmanager
def of_zeros() -> Iterator[sim.SimBackend]:
    """The device sim, whose new arrays are zeros: for kernels that leave what they write incomplete."""
    backend = sim.backend()
    with patch.object(backend, "allocate", np.zeros):
        yield backend


class _Nothing:
    """In the place of a compiled text."""

    def __init__(self, **_: Any) -> None:
        pass

    def get_function(self, name: str) -> Any:
        return _fill if name == "fill" else lambda *_, **__: None


def _fill(grid: Any, block: Any, args: Sequence[Any], shared_mem: int) -> None:
    """What checks find nothing in is filled before."""
    array, value = args[:2]
    if value:
        array.fill(value)
