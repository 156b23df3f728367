"""Loss and metrics of a model over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gpunn.tensor import Tensor
from gpunn.train.batch import Batch
from gpunn.train.meter import Meter

if TYPE_CHECKING:
    from gpunn.train.trainer import Trainer


def measure(
    trainer: Trainer,
    batches: Iterator[Batch],
    each: Callable[[Batch, Tensor], None] | None = None,
) -> Meter:
    """Loss and metrics of the model in evaluation mode over batches; its mode is put back.

    each: called with every batch and the model's output for it
    """
    meter, evaluator = Meter(trainer.metrics, any_loss=trainer.on_nan == "ignore"), trainer.evaluator
    with evaluator.mode():
        for batch in batches:
            loss, output = evaluator.measure(batch)
            meter.add(loss, output, batch)
            if each is not None:
                each(batch, output)
        evaluator.check()
    return meter
