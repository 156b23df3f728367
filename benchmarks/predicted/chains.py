"""Chains of elementwise functions, whose texts the host writes: relu(x y + z), as it is, with a row y, and summed."""

from __future__ import annotations

from typing import Any

import gpunn
from gpunn.backend import sim
from gpunn.backend.kernel.chain_text import FLOATS, Input, elementwise_text, reduction_text
from gpunn.backend.kernel_texts import write_text

_STEPS = (("multiply", 0, 1), ("add", 3, 2), ("activation:relu", 4))
_ARRAY, _ROW = Input(FLOATS), Input(FLOATS, strided=True)
TEXTS = ("chain.cu", "chain_rows.cu", "chain_sum.cu")
"""Their names here."""


def write_texts() -> None:
    """Let the compiler find them."""
    plain, rows = (_ARRAY, _ARRAY, _ARRAY), (_ARRAY, _ROW, _ARRAY)
    write_text("chain.cu", elementwise_text(_STEPS, plain, (5,), rows=False))
    write_text("chain_rows.cu", elementwise_text(_STEPS, rows, (5,), rows=True))
    write_text("chain_sum.cu", reduction_text(_STEPS, plain, 5, "warp"))


def chain(*inputs: gpunn.Tensor) -> Any:
    """The chain of three tensors on the device sim."""
    return sim.backend().chain(_STEPS, [x._data for x in inputs])


def chain_sum(*inputs: gpunn.Tensor) -> Any:
    """Its sums along rows."""
    return sim.backend().chain(_STEPS, [x._data for x in inputs], reduce=("sum", (1,), False))
