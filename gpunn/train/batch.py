"""A batch of samples."""

from __future__ import annotations

from dataclasses import dataclass

from gpunn.tensor import Tensor


@dataclass
class Batch:
    """A batch on the model's device.

    inputs: what the model is called with, each (n, ...)
    target: what is wanted, (n, ...)
    share:  by what the batch counts among others, see `Objective.share`
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    share: float

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return self.target.shape[0] if self.target.shape else 1
