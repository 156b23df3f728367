"""The GPU, under names that do not say whose it is; as `torch.accelerator`."""

from __future__ import annotations

from gpunn import cuda
from gpunn.backend.device import device

__all__ = ["is_available", "current_accelerator", "device_count", "synchronize"]


def is_available() -> bool:
    """Whether there is a GPU that can be used."""
    return cuda.is_available()


def current_accelerator(check_available: bool = False) -> device | None:
    """The kind of device, ``cuda``; None where there is none."""
    return device("cuda") if cuda.is_available() else None


def device_count() -> int:
    """How many there are."""
    return cuda.device_count()


def synchronize() -> None:
    """Wait for all work on it; at once where there is none."""
    if cuda.is_available():
        cuda.synchronize()
