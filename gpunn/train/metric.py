"""What a metric is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

Array = np.ndarray[Any, Any]


class Metric:
    """A measure over any number of batches. A subclass has `reset`, `update` and `compute`.

    name:             under this it stands in the history, for validation data as val_name
    higher_is_better: which way the callbacks that watch it look
    state:            the attributes that hold what was collected so far: numbers and arrays; a checkpoint keeps them
    """

    name: str
    higher_is_better: ClassVar[bool] = True
    state: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__} lacks reset")

    def update(self, output: Array, target: Array) -> None:
        """Take in one batch: what the model gave (n, ...) and what was wanted, as NumPy arrays."""
        raise NotImplementedError(f"{type(self).__name__} lacks update")

    def compute(self) -> Any:
        """The measure over all batches: a number, or a dict for what is shown in the report alone; NaN without any."""
        raise NotImplementedError(f"{type(self).__name__} lacks compute")

    def state_dict(self) -> dict[str, Any]:
        """What was collected so far."""
        return {name: getattr(self, name) for name in self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        for name in self.state:
            setattr(self, name, state[name])

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Become what several ranks have collected, from their state_dicts: here by adding up each entry."""
        for name in self.state:
            setattr(self, name, sum((state[name] for state in states[1:]), start=states[0][name]))


def ratio(total: float, count: int) -> float:
    """The quotient, NaN where nothing was counted."""
    return total / count if count else float("nan")
