"""Who is timed. Each module has a class `Training` with the same few methods, and imports its framework itself."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Protocol

from gpunn.bench.workloads import Workload

IMPLEMENTATIONS = {
    "gpunn": ("gpunn.bench.implementations.gpunn_plan", "gpunn", "gpunn, planned"),
    "gpunn-native": ("gpunn.bench.implementations.gpunn_native", "gpunn", "gpunn, planned, native loops"),
    "gpunn-eager": ("gpunn.bench.implementations.gpunn_eager", "gpunn", "gpunn, eager"),
    "torch": ("gpunn.bench.implementations.torch_eager", "torch", "PyTorch, eager"),
    "torch-compile": ("gpunn.bench.implementations.torch_compile", "torch", "PyTorch, torch.compile"),
    "torch-graph": ("gpunn.bench.implementations.torch_graph", "torch", "PyTorch, CUDA graph"),
    "jax": ("gpunn.bench.implementations.jax_scan", "jax", "JAX, jit + scan"),
    "jax-step": ("gpunn.bench.implementations.jax_step", "jax", "JAX, jit"),
    "mlx": ("gpunn.bench.implementations.mlx_compiled", "mlx", "MLX, compiled"),
    "products": ("gpunn.bench.implementations.products", "numpy", "matrix products alone"),
}
"""Name -> (module, what has to be installed, title)."""

FLOOR = "products"
"""The one that trains nothing: how long the products of a step take by themselves."""

PEERS = tuple(name for name in IMPLEMENTATIONS if name not in ("gpunn", FLOOR))
"""Those that gpunn is compared with."""

OTHERS = tuple(name for name in PEERS if not name.startswith("gpunn"))
"""Those of them that are not gpunn in another mode."""


ON_THE_CPU = ("gpunn-native", "mlx")
"""Those that are timed on the CPU alone."""


class Training(Protocol):
    """A network, its optimizer and its data, ready to take steps.

    Made with ``Training(workload, batch, batches, optimizer, device)``: step i takes batch i modulo `batches`.
    """

    steps_per_call: int
    """`run` takes a multiple of this many steps."""

    def reset(self) -> None:
        """Go back to the initial weights and an optimizer without history."""

    def losses(self, count: int) -> list[float]:
        """The losses of `count` steps (a multiple of `steps_per_call`); none from what does not train."""

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


def has_floor(workload: Workload, device: str) -> bool:
    """Whether `FLOOR` is one: on the CPU, where all layers with weights are linear.

    A convolution has several algorithms, of which some need fewer multiplications than others.
    """
    return device == "cpu" and all(layer[0] in ("linear", "relu") for layer in workload.layers)


def missing(name: str) -> str | None:
    """What has to be installed before an implementation can run, None if nothing."""
    requirement = IMPLEMENTATIONS[name][1]
    return None if importlib.util.find_spec(requirement) else requirement
