"""Running statistics, by the norm that finds the batch's."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.ops.batch_norm import BatchNorm, BatchNormRelu, MoveStatistics, TrackedBatchNorm

from ..graph import Compute, Graph
from .note import Note, are_there, written_between


def tracked_norm(graph: Graph) -> Iterator[Note]:
    """The norm of a batch, and the running statistics that move towards its mean and variance: one op.

    On a device with kernels it saves a launch a layer: the thread that has found the statistics of a channel moves the
    running ones. On the CPU there is nothing to save.
    """
    for node in list(graph.nodes):
        if not (isinstance(node, Compute) and isinstance(node.op, MoveStatistics)):
            continue
        mean, mu, var, v, batches = node.inputs
        norm = mu.node
        where = f"{norm.name if norm is not None else 'statistics'} {mu.spec!r} + running statistics"
        if not (isinstance(norm, Compute) and isinstance(norm.op, BatchNorm) and norm.outputs[1:] == (mu, v)):
            reason = "what they move towards is not what a norm of the batch has found"
        elif mu.spec.device.type == "cpu":
            reason = "on the CPU nothing would be saved"
        elif mean.spec.dtype is not mu.spec.dtype:
            reason = "running statistics are in another type than the batch's"
        elif not are_there(graph, norm, (mean, var, batches)):
            reason = "the running statistics are made behind the norm"
        elif written_between(graph, norm, node):
            reason = "something is written to between"
        else:
            reason = ""
            shares = node.op.keep, node.op.mean_share, node.op.var_share
            norm.op = TrackedBatchNorm(norm.op.eps, isinstance(norm.op, BatchNormRelu), *shares)
            norm.inputs, norm.outputs = (*norm.inputs, mean, var, batches), (*norm.outputs, *node.outputs)
            for y in node.outputs:
                y.node = norm
            graph.nodes.remove(node)
        yield Note("tracked_norm", where, reason)
