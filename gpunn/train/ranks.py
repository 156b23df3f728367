"""What the ranks of a training do together, beside summing gradients; with one rank nothing."""

from __future__ import annotations

import platform
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import gpunn
from gpunn import nn
from gpunn.nn.batchnorm import BatchNorm1d, BatchNorm2d
from gpunn.parallel import check_same, world
from gpunn.tensor import Tensor
from gpunn.train.batch import Batch
from gpunn.train.meter import Meter

if TYPE_CHECKING:
    from gpunn.train.loop import FitLoop
    from gpunn.train.trainer import Trainer


class Ranks:
    """All ranks of a training, as one of them sees them.

    world:     the ranks
    several:   whether there are more than one
    is_first:  whether this is rank 0, which writes files and shows progress
    requested: the signal that one of them got before the last step, 0 if none did
    """

    def __init__(self) -> None:
        self.world = world()
        self.several = self.world.size > 1
        self.is_first = self.world.is_first
        self.requested = 0

    def begin_step(self, batches: Sequence[Batch], requested: int) -> float | None:
        """What the batches of all ranks count together; None for one rank."""
        if not self.several:
            return None
        found = self.world.agree(sum(batch.share for batch in batches), requested)
        self.requested = int(found[:, 1].max())
        return float(found[:, 0].sum())

    def merged(self, meter: Meter, sums: bool) -> Meter:
        """What all ranks have measured; `sums` as for `Meter.merge`."""
        if not self.several:
            return meter
        result = Meter(meter.metrics)
        result.merge(self.world.gather(meter.state_dict(), "the reduction of the metrics"), sums)
        return result

    def take_buffers(self, model: nn.Module) -> None:
        """Let buffers, such as running statistics of batches, be those of rank 0."""
        if self.several:
            self._spread(list(model.buffers()))

    def begin(self, loop: FitLoop) -> None:
        """See to it that all ranks train the same, and begin with the same weights: those of rank 0.

        Raises RuntimeError where they were not started alike, ValueError for a loss or a metric that can't be put
        together from parts.
        """
        if not self.several:
            return
        trainer = loop.trainer
        if not trainer.objective.separable:
            raise ValueError(
                "several ranks train on parts of each batch, and for all that is known the loss is a function of the "
                "whole batch; those of gpunn.nn, or an object with an attribute reduction = 'mean' or 'sum', say how "
                "parts add up"
            )
        for metric in trainer.metrics:
            if not metric.state:
                raise ValueError(f"the metric {metric.name!r} has no `state`, so that of several ranks can't be merged")
        specs = ((name, repr(p._spec)) for name, p in trainer.model.state_dict().items())
        check_same(
            [
                ("gpunn", gpunn.__version__),
                ("Python", platform.python_version()),
                ("NumPy", np.__version__),
                ("the model", repr(trainer.model)),
                ("the parameters", dict(specs)),
                ("the optimizer", repr(trainer.optimizer)),
                *trainer.settings().items(),
                ("eager", trainer.eager),
                ("on_nan", trainer.on_nan),
                ("shard_optimizer", trainer.shard_optimizer),
                ("whether there is a run folder", loop.run_folder is not None),
                ("the device", trainer.device.type),
                ("the data", loop.loader.state_dict()),
                ("the validation data", None if loop.validation is None else loop.validation.state_dict()),
                ("the metrics", [metric.name for metric in trainer.metrics]),
                ("epochs", loop.epochs),
                ("the epoch", (loop.completed, trainer.batch)),
                ("the random numbers", gpunn.get_rng_state()),
            ]
        )
        self._spread([*trainer.model.parameters(), *trainer.model.buffers()])
        norms = [name for name, m in trainer.model.named_modules() if type(m) in (BatchNorm1d, BatchNorm2d)]
        if norms:
            loop.progress.note(
                f"batch norm ({', '.join(norms[:3])}{', ...' if len(norms) > 3 else ''}) takes mean and variance of "
                "each rank's samples alone; nn.SyncBatchNorm takes those of all"
            )

    def check_weights(self, model: nn.Module) -> str:
        """Let the weights be those of rank 0, should they not be the same any more; a line then, else empty."""
        if not self.several or not self._spread(list(model.parameters())):
            return ""
        return "the ranks' weights were not the same to the bit any more: all went on with those of rank 0"

    def _spread(self, tensors: list[Tensor]) -> bool:
        """Give all ranks what rank 0 has; whether anything differed."""
        digests = [zlib.crc32(np.ascontiguousarray(t.detach().cpu().numpy()).tobytes()) for t in tensors]
        first, *others = self.world.gather(digests, "the comparison of the weights")
        differing = [t for i, t in enumerate(tensors) if any(digests[i] != first[i] for digests in others)]
        for t in differing:
            array = self.world.broadcast(t.detach().cpu().numpy() if self.is_first else None, "sending the weights")
            if not self.is_first:
                with gpunn.no_grad():
                    t.copy_(gpunn.tensor(array, dtype=t.dtype, device=t.device))
        return bool(differing)

    def all(self, holds: bool) -> bool:
        """Whether something holds on all ranks."""
        return bool(self.world.agree(float(holds)).all())

    def as_first(self, value: bool) -> bool:
        """What it is on rank 0."""
        return bool(self.world.agree(float(value))[0, 0]) if self.several else value

    def agree_to_stop(self, trainer: Trainer) -> None:
        """Let all stop where callbacks of one of them want to, such as one that looks at the clock."""
        if self.several:
            mine = trainer.stop_reason if trainer.stopped else None
            reasons = [r for r in self.world.gather(mine, "the end of an epoch") if r is not None]
            if reasons:
                trainer.stop(reasons[0])

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """An epoch's row as rank 0 has it, so that all decide by the same numbers."""
        return self.world.broadcast(row, "the results of an epoch") if self.several else row
