"""What rules about the norm of a batch share: it has two parts, its statistics and the rest."""

from __future__ import annotations

from typing import Any, TypeGuard

from gpunn.ops.batch_norm import BatchNorm, BatchNormRelu, TrackedBatchNorm
from gpunn.ops.batch_norm_parts import BatchStatistics

from ..graph import Compute, Node

ON_CPU = "on the CPU nothing would be saved"
LAST = "images whose channels lie last have kernels of their own"


def is_norm(node: Node | None) -> TypeGuard[Compute]:
    """Whether a node is the norm of a batch, with a ReLU or running statistics or without."""
    return isinstance(node, Compute) and isinstance(node.op, (BatchNorm, TrackedBatchNorm))


def has_relu(op: Any) -> bool:
    """Whether the op of a norm has a ReLU behind it."""
    return isinstance(op, BatchNormRelu) or (isinstance(op, TrackedBatchNorm) and op.relu)


def given(norm: Compute) -> tuple[Any, ...]:
    """What is normalised, its statistics, weight and bias."""
    x, weight, bias = norm.inputs[:3]
    return x, *norm.outputs[1:3], weight, bias


def running_of(norm: Compute) -> tuple[Any, ...]:
    """The running statistics that a norm moves: three, or three times None."""
    return norm.inputs[3:] or (None, None, None)


def keep_statistics(norm: Compute) -> None:
    """Let a norm be its statistics alone."""
    op, running = norm.op, running_of(norm)
    shares = (op.keep, op.mean_share, op.var_share) if isinstance(op, TrackedBatchNorm) else ()
    norm.op, norm.inputs, norm.outputs = BatchStatistics(*shares), (norm.inputs[0], *running), norm.outputs[1:]
