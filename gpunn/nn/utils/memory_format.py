"""The order of weights in memory."""

from __future__ import annotations

from typing import Any, TypeVar

from gpunn.nn.conv import Conv2d, ConvTranspose2d
from gpunn.nn.module import Module

M = TypeVar("M", bound=Module)


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Bring the weights of all two-dimensional convolutions of a module to a memory format, and nothing else.

    Args:
        module: changed in place, and returned.
        memory_format: `gpunn.channels_last`, or `gpunn.contiguous_format`.
    """
    for layer in module.modules():
        if isinstance(layer, (Conv2d, ConvTranspose2d)):
            layer.weight.data = layer.weight.detach().to(memory_format=memory_format)
    return module
