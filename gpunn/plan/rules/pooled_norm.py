"""The norm of a batch and the maximum pooling behind it; and its gradients."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.ops.batch_norm import BatchNormBackward
from gpunn.ops.batch_norm_pool import BatchNormMaxPool, BatchNormMaxPoolBackward
from gpunn.ops.pool import MaxPool2d, MaxPool2dActivationBackward, MaxPool2dBackward

from ..graph import Compute, Graph
from ..simplify import Uses
from ..strides import is_last
from .norm import LAST, ON_CPU, given, has_relu, is_norm, keep_statistics
from .note import Note, may_wait, other_readers

SIDE_BY_SIDE = "windows of 2 x 2 that lie side by side and cover the image are pooled on the way"


def pooled_norm(graph: Graph) -> Iterator[Note]:
    """The norm of a batch with a ReLU or none, and the maximum pooling of it by windows of 2 x 2 that lie side by side.

    What was normalised is not written: a pass over memory less, and the reading of it. Its gradient needs the largest
    of each window alone, where `pooled_slope` came first.
    """
    uses = Uses(graph)
    for pool in list(graph.nodes):
        if not (isinstance(pool, Compute) and isinstance(pool.op, MaxPool2d)):
            continue
        y = pool.inputs[0]
        norm = y.node
        if not is_norm(norm):
            continue
        where = f"{norm.name} {y.spec!r} + {pool.name}"
        if y.spec.device.type == "cpu":
            reason = ON_CPU
        elif not pool.op.tiles_by_two() or y.spec.shape[2] % 2 or y.spec.shape[3] % 2:
            reason = SIDE_BY_SIDE
        elif is_last(norm, {}):
            reason = LAST
        elif not uses.only_read_by(y, pool):
            reason = f"{other_readers(uses, y, {id(pool)})} needs what is pooled"
        else:
            reason = ""
            pool.op, pool.inputs = BatchNormMaxPool(norm.op.eps, has_relu(norm.op)), given(norm)
            graph.nodes.remove(pool)
            graph.nodes.insert(graph.nodes.index(norm) + 1, pool)  # there, since what it reads may be written to later
            keep_statistics(norm)
        yield Note("pooled_norm", where, reason)


def pooled_norm_gradient(graph: Graph) -> Iterator[Note]:
    """The gradients of the norm of a batch from that of what was pooled behind it, where nothing else reads dY.

    Of the four elements of a window one has a gradient: kernels read what was pooled instead, which is a quarter.
    """
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not (isinstance(node, Compute) and isinstance(node.op, BatchNormBackward)):
            continue
        dy, x = node.inputs[:2]
        spread = dy.node
        if not (
            isinstance(spread, Compute) and isinstance(spread.op, (MaxPool2dBackward, MaxPool2dActivationBackward))
        ):
            continue
        where = f"{spread.name} {dy.spec!r} + {node.name}"
        dp, *p, which = spread.inputs
        if dy.spec.device.type == "cpu":
            reason = ON_CPU
        elif not uses.only_read_by(dy, node) or node.op.relu:
            reason = f"{other_readers(uses, dy, {id(node)}) or 'a ReLU'} needs the gradient of the pooling"
        elif not spread.op.tiles_by_two() or dy.spec.shape[2] % 2 or dy.spec.shape[3] % 2:
            reason = SIDE_BY_SIDE
        elif isinstance(spread.op, MaxPool2dActivationBackward) and spread.op.activation != "relu":
            reason = f"{spread.op.activation} is between"
        elif is_last(node, {}) or is_last(spread, {}):
            reason = LAST
        elif not may_wait(graph, uses, spread.reads(), spread, node):
            reason = "something that the gradient of the pooling reads is written to between"
        else:
            reason = ""
            _, _, weight, mu, var = node.inputs[:5]
            node.op = BatchNormMaxPoolBackward(node.op.eps, node.op.wanted)
            node.inputs = (dp, p[0] if p else None, which, x, weight, mu, var)
            graph.nodes.remove(spread)
        yield Note("pooled_norm_gradient", where, reason)
