"""Who is timed. Each module has a class `Training` with the same few methods, and imports its framework itself."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Protocol

from gpunn.bench.workloads import Workload

IMPLEMENTATIONS = {
    "gpunn": ("gpunn.bench.implementations.gpunn_plan", "gpunn", "gpunn, planned"),
    "gpunn-eager": ("gpunn.bench.implementations.gpunn_eager", "gpunn", "gpunn, eager"),
    "torch": ("gpunn.bench.implementations.torch_eager", "torch", "PyTorch, eager"),
    "torch-compile": ("gpunn.bench.implementations.torch_compile", "torch", "PyTorch, torch.compile"),
    "jax": ("gpunn.bench.implementations.jax_scan", "jax", "JAX, jit + scan"),
}
"""Name on the command line -> (module, what has to be installed, title)."""


class Training(Protocol):
    """A network, its optimizer and its data, ready to take steps.

    Made with ``Training(workload, batch, batches, optimizer, device)``: step i takes batch i modulo `batches`.
    """

    steps_per_call: int
    """`run` takes a multiple of this many steps."""

    def reset(self) -> None:
        """Go back to the initial weights and an optimizer without history."""

    def losses(self, count: int) -> list[float]:
        """The losses of `count` steps (a multiple of `steps_per_call`)."""

    def run(self, steps: int) -> None:
        """Take steps, and return when all work is done."""

    def versions(self) -> dict[str, str]:
        """What was timed: library versions and threads."""


def load(name: str) -> Any:
    """The class `Training` of an implementation.

    Raises:
        ValueError: there is none of that name.
        ImportError: its framework is not installed.
    """
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"there is no implementation {name!r}; there are {', '.join(IMPLEMENTATIONS)}")
    return importlib.import_module(IMPLEMENTATIONS[name][0]).Training


def missing(name: str) -> str | None:
    """What has to be installed before an implementation can run, None if nothing."""
    requirement = IMPLEMENTATIONS[name][1]
    return None if importlib.util.find_spec(requirement) else requirement
