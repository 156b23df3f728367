"""Data sets that lie on the device as a whole, so that a batch is no more than the indices of its samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpunn.backend.device import device as Device
from gpunn.ops.construct import as_tensor
from gpunn.parallel import world
from gpunn.tensor import Tensor
from gpunn.train.batch import Batch, Gathered
from gpunn.train.cut import free_memory
from gpunn.train.objective import Objective
from gpunn.utils.data import DataLoader, default_collate
from gpunn.utils.data.dataset import tensors_of
from gpunn.utils.data.part import part_of

SHARE_OF_FREE_MEMORY = 0.5
"""What of the free memory a data set may take."""


class Resident:
    """The batches of a loader whose data set is on the device.

    An epoch's order is sent there once; a batch is a part of it, and a planned step gathers the samples itself. They
    are the batches that the loader gives, in its order, and the loader's state goes on as if it had given them.
    """

    def __init__(self, loader: DataLoader, device: Device, tensors: tuple[Tensor, ...], chosen: Any):
        self.loader = loader
        self.device = device
        self._data = tuple([t if t.device is device else t.to(device=device) for t in tensors])
        self._labels = tensors[-1].cpu()
        self._chosen = chosen

    def batches(self, objective: Objective) -> Iterator[Batch]:
        """The batches of one epoch."""
        order, parts = self.loader.in_order()
        indices = np.asarray(order, np.int64) if self._chosen is None else self._chosen[np.asarray(order, np.int64)]
        sent = as_tensor(indices, None, self.device)
        ranks = world()
        for batch in parts:
            mine, place = part_of(range(batch.start, batch.stop), ranks.rank, ranks.size)
            part = slice(mine.start, mine.stop)
            labels = self._labels[indices[part]]
            share = objective.share(labels) if place.samples else 0.0
            yield Gathered(self._data, sent[part], share, labels, place.first, place.samples > 0)


def resident(loader: DataLoader, device: Device) -> Resident | None:
    """A loader's data set on a device with kernels; None where that does not pay or is not possible.

    It has to be one of tensors, with an order that is known, and to leave enough of the free memory for the training.
    """
    found = tensors_of(loader.dataset)
    if device.type == "cpu" or found is None or not loader.has_order() or loader.collate_fn is not default_collate:
        return None
    tensors, rows = found
    free = free_memory(device)
    needed = sum(t.nbytes for t in tensors if t.device is not device)
    if free is None or needed > SHARE_OF_FREE_MEMORY * free:
        return None
    return Resident(loader, device, tensors, rows)
