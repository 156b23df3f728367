"""[data_info] of a run's config.toml: what a trained network has to know of its data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .data import Units
from .errors import UsageError


@dataclass(frozen=True)
class DataInfo:
    """What `read_data_info` found; see `gpunn.cli.trained.Trained`."""

    input_shape: tuple[int, ...]
    outputs: int
    classes: list[str] | None
    columns: list[str] | None
    target: str | None
    mean: np.ndarray
    std: np.ndarray
    units: Units | None


def read_data_info(table: Any, path: Path) -> DataInfo:
    """The entries of the table, checked.

    path: of the file, for errors

    Raises:
        UsageError: it is no table, or an entry is missing or not what a run of ``gpunn train`` writes.
    """
    if not isinstance(table, dict):
        raise UsageError(f"{path} is not from gpunn train: [data_info] is missing")

    def entry(name: str, good: Callable[[Any], bool], expected: str, default: Any = None) -> Any:
        value = table.get(name, default)
        if not good(value):
            raise UsageError(f"{path}: {name} in [data_info] is {value!r}; expected {expected}")
        return value

    shape = tuple(entry("input_shape", lambda v: _sizes(v) and v, "whole numbers above 0"))
    outputs = entry("outputs", lambda v: _sizes([v]), "a whole number above 0")
    classes = entry("classes", lambda v: v is None or _names(v, outputs), f"{outputs} different texts")
    columns = entry("columns", lambda v: v is None or _names(v, shape[0]), f"{shape[0]} different texts")
    target = entry("target", lambda v: v is None or isinstance(v, str), "a text")
    of_moments = entry("moments_shape", lambda v: _sizes(v) and _broadcasts(v, shape), f"a shape that {shape} covers")
    count = math.prod(of_moments)
    mean = entry("mean", lambda v: _numbers(v, count), f"{count} numbers")
    std = entry("std", lambda v: _numbers(v, count) and min(v) > 0, f"{count} numbers above 0")
    # Runs of older versions have no units of targets, which were not standardised.
    centres = entry("target_mean", lambda v: _numbers(v, outputs), f"{outputs} numbers", [0.0] * outputs)
    widths = entry(
        "target_std", lambda v: _numbers(v, outputs) and min(v) > 0, f"{outputs} numbers above 0", [1.0] * outputs
    )
    return DataInfo(
        shape,
        outputs,
        classes,
        columns,
        target,
        np.reshape(mean, of_moments),
        np.reshape(std, of_moments),
        (np.array(centres), np.array(widths)) if classes is None else None,
    )


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 < v < 2**31 for v in value)


def _names(value: Any, count: int) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value) and len(set(value)) == len(value) == count


def _numbers(value: Any, count: int) -> bool:
    good = isinstance(value, list) and all(type(v) in (int, float) and abs(v) < 1e300 for v in value)
    return good and len(value) == count


def _broadcasts(moments: list[int], shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(tuple(moments), shape) == shape
    except ValueError:
        return False
