"""gpunn through a plan: `gpunn.TrainStep`, as the Trainer uses it."""

from __future__ import annotations

from typing import Any

import gpunn
from gpunn import nn

from . import gpunn_eager


class Training(gpunn_eager.Training):
    """See `gpunn.bench.implementations.Training`."""

    def reset(self) -> None:
        super().reset()
        self.planned = gpunn.TrainStep(self.model, nn.CrossEntropyLoss(), self.optimizer)

    def step(self) -> Any:
        """One step; returns the loss."""
        k = self.i % len(self.x)
        self.i += 1
        return self.planned(self.x[k], self.t[k])
