"""Loss and metrics over many batches, read only when they are asked for."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpunn.tensor import Tensor
from gpunn.train.batch import Batch
from gpunn.train.metric import Metric

KEPT = 64
"""So many batches' results wait on another device than the CPU before they are read,"""
KEPT_BYTES = 1 << 30
"""or so many bytes of batches that are there for nothing else."""


class NonFiniteLoss(Exception):
    """A loss that is infinite or NaN: its value, the batch, and the number of that, counted from 1."""

    def __init__(self, value: float, number: int, batch: Batch):
        super().__init__(value, number)
        self.value = value
        self.number = number
        self.batch = batch


class Meter:
    """The mean loss and the metrics over batches.

    Results on the CPU are taken in at once. Those on other devices wait there, since to read one is to wait until the
    device has done all its work.

    any_loss: whether losses may be infinite or NaN
    skipped:  how many steps were taken back, of which nothing was taken in
    """

    def __init__(self, metrics: Sequence[Metric], any_loss: bool = False):
        self.any_loss = any_loss
        self.metrics = [copy.deepcopy(metric) for metric in metrics]
        self._waiting: list[tuple[Tensor, Any, Batch]] = []
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.batches = self.samples = self.skipped = 0
        self.total = self.weight = 0.0
        self._forget_waiting()
        for metric in self.metrics:
            metric.reset()

    def add(self, loss: Tensor, output: Any, batch: Batch) -> None:
        """Take in a batch: its loss, the model's output, and the batch itself.

        Raises NonFiniteLoss, now or when the results are read.
        """
        self._waiting.append((loss, output, batch))
        self._bytes += sum(t.nbytes for t in batch.tensors())
        if loss.device.type == "cpu" or len(self._waiting) >= KEPT or self._bytes >= KEPT_BYTES:
            self.read()

    def read(self) -> None:
        """Take in what still waits."""
        for loss, output, batch in self._waiting:
            self.batches += 1
            self.samples += batch.samples if batch.counts else 0
            if batch.share:  # where no target counts, the loss is a mean of nothing
                value = float(loss.item())
                if not self.any_loss and not math.isfinite(value):
                    raise NonFiniteLoss(value, self.batches, batch)
                self.total += value * batch.share
                self.weight += batch.share
            if self.metrics and batch.counts:
                host, target = _host(output), _host(batch.host_target())
                for metric in self.metrics:
                    metric.update(host, target)
        self._forget_waiting()

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._bytes = 0

    @property
    def loss(self) -> float:
        """The mean loss L of all batches, each by its share; NaN without any."""
        self.read()
        return self.total / self.weight if self.weight else math.nan

    def results(self) -> dict[str, Any]:
        """The loss and every metric, those for the report too."""
        return {"loss": self.loss} | {metric.name: metric.compute() for metric in self.metrics}

    def scalars(self) -> dict[str, float]:
        """The loss and the metrics that are one number."""
        return {name: value for name, value in self.results().items() if isinstance(value, (int, float))}

    def state_dict(self) -> dict[str, Any]:
        """All that was taken in."""
        self.read()
        counts = {name: getattr(self, name) for name in ("batches", "samples", "total", "weight")}
        counts |= {"skipped": self.skipped} if self.skipped else {}
        return counts | {"metrics": {metric.name: metric.state_dict() for metric in self.metrics}}

    def merge(self, states: Sequence[dict[str, Any]], sums: bool = False) -> None:
        """Become what several ranks have taken in, each its part of every batch; `states` are their state_dicts.

        sums: whether losses are sums over the samples, of which each batch counts as 1
        """
        self.reset()
        self.batches = max(state["batches"] for state in states)
        self.skipped = max(int(state.get("skipped", 0)) for state in states)
        for name in ("samples", "total", "weight"):
            setattr(self, name, sum(state[name] for state in states))
        if sums:
            self.weight = max(state["weight"] for state in states)
        for metric in self.metrics:
            metric.merge([state["metrics"][metric.name] for state in states])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called.

        Raises KeyError where it had other metrics.
        """
        self.reset()
        for name in ("batches", "samples", "total", "weight"):
            setattr(self, name, state[name])
        self.skipped = int(state.get("skipped", 0))
        for metric in self.metrics:
            metric.load_state_dict(state["metrics"][metric.name])


def _host(x: Any) -> np.ndarray[Any, Any]:
    """A tensor's elements as NumPy computes with them."""
    if not isinstance(x, Tensor):
        raise TypeError(f"metrics are computed from one output tensor, but the model gave {type(x).__name__}")
    array = x.detach().cpu().numpy()
    return array.astype(np.float32) if x.dtype.is_floating_point and x.dtype.itemsize < 4 else array
