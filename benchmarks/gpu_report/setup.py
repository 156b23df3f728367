"""What every part is given: the device, how large its work is, and how to take the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import gpunn
from gpunn.inspect.profile.clock import measure, measure_launch

Row = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """A device to measure.

    Attributes:
        device: the device.
        small: whether everything is as small as it can be, to try the report itself.
        all: whether every case is wanted, and not a sample.
        known: how many rows of its part another process has found already.
    """

    device: gpunn.device
    small: bool = False
    all: bool = False
    known: int = 0

    @property
    def tiny(self) -> bool:
        """Whether everything is as small as it can be: on the simulator always."""
        return self.small or self.device.type != "cuda"

    @property
    def xp(self) -> Any:
        """The array module: CuPy, or NumPy on the simulator."""
        return self.device.backend.xp

    @cached_property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(0)

    def normal(self, *shape: int, dtype: str = "float32") -> Any:
        """An array of normal numbers on the device."""
        x = self.rng.standard_normal(shape, dtype=np.float32)
        return gpunn.tensor(x, device=self.device, dtype=dtype)._data

    def measure(self, run: Callable[[], Any], seconds: float = 0.02, repeats: int = 20) -> dict[str, float]:
        """Microseconds of one call; see `gpunn.inspect.profile.clock.measure`."""
        if self.tiny:
            return measure(run, self.device, 0.0, 2, warm_up=1)._asdict()
        return measure(run, self.device, seconds, repeats)._asdict()

    def measure_in_graph(self, run: Callable[[], Any], repeats: int, seconds: float = 0.02) -> dict[str, float]:
        """Microseconds of the kernels of one call; see `gpunn.inspect.profile.clock.measure_launch`."""
        if self.tiny:
            return self.measure(run)
        return measure_launch(run, self.device, seconds, launches=repeats)._asdict()

    def rotated(self, make: Callable[[], Sequence[Any]], largest_cache: int = 256 << 20) -> Callable[[], Sequence[Any]]:
        """Inputs that are no longer in the cache when their turn comes again; call it for the next ones."""
        sets = [make()]
        size = sum(a.nbytes for a in sets[0] if hasattr(a, "nbytes"))
        if not self.tiny:
            sets += [make() for _ in range(min(64, largest_cache // max(size, 1)))]
        turn = 0

        def following() -> Sequence[Any]:
            nonlocal turn
            turn = (turn + 1) % len(sets)
            return sets[turn]

        return following
