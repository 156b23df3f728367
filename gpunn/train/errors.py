"""How training ends before its time."""

from __future__ import annotations

from signal import SIGINT
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gpunn.train.batch import Batch
    from gpunn.train.trainer import Trainer


class TrainingError(RuntimeError):
    """Training can't go on; the message says where it stopped, why, and what to try."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP, after the step was finished and a checkpoint written; the message says how to resume.

    checkpoint: the path of that checkpoint, None without a run folder
    signal:     the number of the signal
    """

    on_all_ranks = True

    def __init__(self, message: str, checkpoint: str | None = None, signal: int = SIGINT):
        super().__init__(message)
        self.checkpoint = checkpoint
        self.signal = signal


class NoTensor(Exception):
    """A model's output is no tensor, so that a plan can't give it; caught where the step is done op by op instead."""


def advice(trainer: Trainer, batch: Batch | None = None) -> str:
    """What to try where numbers became infinite or NaN, in this batch if it is known."""
    if batch is not None:
        for what, tensors in (("inputs", batch.inputs), ("targets", (batch.target,))):
            if not all(np.isfinite(t.detach().cpu().numpy()).all() for t in tensors if t.dtype.is_floating_point):
                return f"the {what} of that batch are not finite: clean the data"
    clip = ", clip_norm=1.0" if trainer.clip_norm is None else ""
    smaller = f"a smaller learning rate, such as {trainer.learning_rate / 10:.2g}"
    return f"try {smaller}{clip}, and inputs of mean 0 and variance 1"
