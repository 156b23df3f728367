"""Batches of a loader on the device: gathered there, streamed, or copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from gpunn.backend.device import device as Device
from gpunn.parallel import World
from gpunn.train import data
from gpunn.train.batch import Batch
from gpunn.train.copies import streams_to
from gpunn.train.objective import Objective
from gpunn.train.resident import resident
from gpunn.utils.data import DataLoader


class Feed:
    """The batches of a loader on a device, epoch after epoch; in all three ways the same ones, to the bit.

    - "resident": the whole data set lies on the device, and a step gathers its samples there. It has to be one of
      tensors in an order that is known, and to leave enough of the memory free, see `gpunn.train.resident`.
    - "streamed": each batch is copied from the host while the device does the step before; that is so for all else on
      CUDA devices.
    - "copied": each batch is copied when its turn comes; that is so for all else on other devices.

    Args:
        loader: gives the batches.
        device: where they are wanted.
        ahead: how many of them are asked for before a step is done.

    Attributes:
        how: in which way they come there; empty on the CPU, where they are.
    """

    how: Literal["resident", "streamed", "copied", ""]

    def __init__(self, loader: DataLoader, device: Device, ahead: int = 1) -> None:
        self._loader, self._device, self._ahead = loader, device, ahead
        self._resident = resident(loader, device)
        if self._resident is not None:
            self.how = "resident"
        elif streams_to(device):
            self.how = "streamed"
        else:
            self.how = "" if device.type == "cpu" else "copied"

    def batches(self, objective: Objective, ranks: World | None = None) -> Iterator[Batch]:
        """The batches of an epoch, or the rest of them; with several ranks, this one's part of each."""
        if self._resident is not None:
            return self._resident.batches(objective)
        return data.batches(self._loader, objective, self._device, ranks, self._ahead)
