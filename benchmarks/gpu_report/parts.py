"""The parts of the report, in the order of their worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .ceilings import ceilings, products_tf32
from .checks import condense_ops, ops, tests, trainings
from .compile import compile_kernels
from .kernels import kernels
from .launches import launches
from .schedules import schedules
from .setup import Row, Setup
from .stages import stages
from .training import training

GO_ON = 75
"""What a process ends with whose last row is ``broken``: it may have lost the device, and another one goes on."""


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        find: its rows.
        share: of the time, beside the shares of the others.
        condense: what is written of the rows.
        environment: of its process.
    """

    find: Callable[[Setup], Iterator[Row]]
    share: float
    condense: Callable[[list[Row]], Any] = list
    environment: dict[str, str] = field(default_factory=dict)


PARTS = {
    "stages": Part(stages, 40),
    "compile": Part(compile_kernels, 40),
    "trainings": Part(trainings, 40),
    "ops": Part(ops, 60, condense_ops),
    "training": Part(training, 150),
    "launches": Part(launches, 40),
    "kernels": Part(kernels, 80),
    "ceilings": Part(ceilings, 40),
    "tf32": Part(products_tf32, 15, environment={"CUPY_TF32": "1"}),
    "schedules": Part(schedules, 60),
    "tests": Part(tests, 150),
}
