"""What a training step takes at least on a GPU, by its maker's figures: to do its arithmetic, and to move its bytes."""

from __future__ import annotations

import re
from typing import NamedTuple

from gpunn.inspect.profile.gpus import GPUS, Gpu

from .workloads import Workload, flattened, shape_after

MOMENTS = {"sgd": 1, "adam": 2}
"""What an optimizer keeps of each parameter."""
FLOAT = 4
"""Bytes of a float32."""


class Floor(NamedTuple):
    """Microseconds that no step in float32 is below, without tensor cores.

    arithmetic: of products and convolutions done directly, at the most FLOP/s
    memory:     of the bytes that have to be moved, from the device's memory, or from the second-level cache if all of
                them stay there from step to step
    """

    arithmetic: float
    memory: float


def floor(workload: Workload, batch: int, optimizer: str, gpu: Gpu) -> Floor:
    """The floors of one step."""
    size = step_bytes(workload, batch, optimizer)
    cache = gpu.l2_bytes_per_clock * gpu.boost_mhz * 1e6
    speed = cache if size <= gpu.l2_bytes else gpu.dram_bytes_per_second
    return Floor(workload.flop() * batch / gpu.fp32_flops * 1e6, size / speed * 1e6)


def step_bytes(workload: Workload, batch: int, optimizer: str) -> int:
    """Bytes that a step moves if each array that can't stay in registers is moved once in each direction.

    Parameters and the optimizer's moments are read and written; the input is read; what each product, convolution and
    pooling gives is written in the forward and read in the backward. What more a step moves depends on how well it is
    fused, and does not count.
    """
    shape, floats = workload.input_shape, _size(workload.input_shape)
    for layer in flattened(workload.layers):
        shape = shape_after(layer, shape)
        if layer[0] in ("linear", "conv", "pool", "avgpool"):
            floats += 2 * _size(shape)
    return FLOAT * (batch * floats + 2 * (1 + MOMENTS[optimizer]) * workload.parameters())


def known_gpu(name: str) -> Gpu | None:
    """The GPU of which there are figures whose name is a word of this one, such as "NVIDIA H100 80GB HBM3"."""
    words = re.split(r"[\W_]+", name.lower())
    return next((one for one in GPUS if one.name.lower().split()[-1] in words), None)


def _size(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total
