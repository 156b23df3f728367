"""What a model gives: a tensor, or a tuple, list or dict of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gpunn
from gpunn.tensor import Tensor


def nothing_of(output: Any) -> Tensor:
    """0, whose gradient is 0 for all that an output was computed from."""
    if isinstance(output, Tensor):
        return (output * 0).sum()
    parts = [nothing_of(part) for part in (output.values() if isinstance(output, dict) else output)]
    return gpunn.stack(parts).sum()


def detached(output: Any) -> Any:
    """An output without its history."""
    return output.detach() if isinstance(output, Tensor) else output


def joined(outputs: Sequence[Any]) -> Any:
    """Outputs of several batches as one of all samples: tensors, or tuples, lists and dicts of them."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return gpunn.cat(outputs)
    if isinstance(first, dict):
        return {key: joined([output[key] for output in outputs]) for key in first}
    if isinstance(first, (tuple, list)):
        return [joined(parts) for parts in zip(*outputs)]
    raise TypeError(
        f"the loss is a function of all batches of a step, and the model gives {type(first).__name__}, which can't be "
        "joined; expected tensors, or tuples, lists or dicts of them"
    )
