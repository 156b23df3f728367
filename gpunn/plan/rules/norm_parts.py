"""The norm of a batch in two parts, its statistics and the rest, each with what lies next to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

from gpunn.backend.dtypes import float32, float64
from gpunn.backend.kernel.conv import convolution_of
from gpunn.backend.kernel.conv_statistics import finds_statistics
from gpunn.ops.activation import Activation
from gpunn.ops.arithmetic import Add
from gpunn.ops.batch_norm import BatchNorm, BatchNormBackward, BatchNormRelu, TrackedBatchNorm
from gpunn.ops.batch_norm_parts import (
    BatchNormApply,
    BatchNormMaxPool,
    BatchNormMaxPoolBackward,
    BatchStatistics,
    Conv2dStatistics,
)
from gpunn.ops.conv import Conv2d
from gpunn.ops.pool import MaxPool2d, MaxPool2dActivationBackward, MaxPool2dBackward
from gpunn.ops.windows import corner, positions

from ..graph import Compute, Graph, Node, Value
from ..simplify import Uses
from ..strides import is_last
from .note import Note, are_there, may_wait, other_readers, written_between

ON_CPU = "on the CPU nothing would be saved"
SIDE_BY_SIDE = "windows of 2 x 2 that lie side by side and cover the image are pooled on the way"
LAST = "images whose channels lie last have kernels of their own"


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
        if not _is_norm(norm):
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
            pool.op, pool.inputs = BatchNormMaxPool(norm.op.eps, _has_relu(norm.op)), _given(norm)
            graph.nodes.remove(pool)
            graph.nodes.insert(graph.nodes.index(norm) + 1, pool)  # there, since what it reads may be written to later
            _keep_statistics(norm)
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


def norm_and_sum(graph: Graph) -> Iterator[Note]:
    """The norm of a batch with a ReLU or none, and the sum of it and something of its shape, with a ReLU or none.

    So the blocks of residual networks end: one pass over memory instead of two. The norm's statistics are found where
    they were, the rest is done where the sum was, which may be of something that was not there before.
    """
    uses = Uses(graph)
    for add in list(graph.nodes):
        if not (isinstance(add, Compute) and isinstance(add.op, Add)):
            continue
        y = next((x for x in add.reads() if _is_norm(x.node) and x is x.node.outputs[0]), None)
        if y is None:
            continue
        norm, total = y.node, add.outputs[0]
        assert _is_norm(norm)
        others = [x for x in add.inputs if x is not y]
        where = f"{norm.name} {y.spec!r} + {add.name}"
        if y.spec.device.type == "cpu":
            reason = ON_CPU
        elif not (len(others) == 1 and isinstance(others[0], Value) and others[0].spec == y.spec == total.spec):
            reason = "what is added has another shape or type, or is a number or the same"
        elif is_last(norm, {}):
            reason = LAST
        elif not uses.only_read_by(y, add):
            reason = f"{other_readers(uses, y, {id(add)})} needs what is added"
        elif not may_wait(graph, uses, norm.inputs[:3], norm, add):
            reason = "something that the norm reads is written to between"
        else:
            reason = ""
            relu = next((n for n in uses.of(total) if _is_relu(n)), None)
            joined = relu is not None and uses.only_read_by(total, relu)
            op = BatchNormApply(norm.op.eps, _has_relu(norm.op), joined)
            add.op, add.inputs = op, (*_given(norm), others[0])
            if joined:
                assert relu is not None
                add.outputs = relu.outputs
                add.outputs[0].node = add
                graph.nodes.remove(relu)
            _keep_statistics(norm)
        yield Note("norm_and_sum", where, reason)


def convolution_statistics(graph: Graph) -> Iterator[Note]:
    """A convolution and the mean and variance of each channel that the norm of a batch needs of it: one op.

    Blocks that have computed a tile of the result leave its moments, so that it is not read for these. Only windows
    that slide over rows in registers do so, in the shapes where they are predicted to be the fastest.
    """
    uses = Uses(graph)
    for norm in list(graph.nodes):
        if not (_is_norm(norm) or (isinstance(norm, Compute) and isinstance(norm.op, BatchStatistics))):
            continue
        z = norm.inputs[0]
        conv = z.node
        if not (isinstance(conv, Compute) and isinstance(conv.op, Conv2d)):
            continue
        where = f"{conv.name} {z.spec!r} + {norm.name}"
        running = norm.inputs[1:] if isinstance(norm.op, BatchStatistics) else _running(norm)
        if z.spec.device.type == "cpu":
            reason = ON_CPU
        elif conv.op.activation != "none":
            reason = f"{conv.op.activation} is between"
        elif is_last(conv, {}):
            reason = LAST
        elif z.spec.dtype not in (float32, float64) or not _slides(conv):
            reason = "convolutions of floats whose windows slide, as those of 3 x 3 and 5 x 5 do mostly, find them"
        elif id(z) in uses.written:
            reason = "the result of the convolution is written to"
        elif not are_there(graph, conv, running):
            reason = "the running statistics are made behind the convolution"
        elif written_between(graph, conv, norm):
            reason = "something is written to between"
        else:
            reason = ""
            if _is_norm(norm):
                y = norm.outputs[0]
                rest = Compute(BatchNormApply(norm.op.eps, _has_relu(norm.op)), (*_given(norm), None), (), True)
                rest.layer, rest.again, rest.outputs, y.node = norm.layer, norm.again, (y,), rest
                graph.nodes.insert(graph.nodes.index(norm) + 1, rest)
                _keep_statistics(norm)
            op, found = conv.op, norm.op
            geometry = op.stride, op.padding, op.dilation, op.groups
            conv.op = Conv2dStatistics(*geometry, found.keep, found.mean_share, found.var_share)
            conv.inputs, conv.outputs, conv.single = (*conv.inputs, *running), (z, *norm.outputs), False
            for value in norm.outputs:
                value.node = conv
            graph.nodes.remove(norm)
        yield Note("convolution_statistics", where, reason)


def _is_norm(node: Node | None) -> TypeGuard[Compute]:
    return isinstance(node, Compute) and isinstance(node.op, (BatchNorm, TrackedBatchNorm))


def _is_relu(node: Node) -> TypeGuard[Compute]:
    return isinstance(node, Compute) and isinstance(node.op, Activation) and node.op.kind == "relu"


def _has_relu(op: Any) -> bool:
    return isinstance(op, BatchNormRelu) or (isinstance(op, TrackedBatchNorm) and op.relu)


def _given(norm: Compute) -> tuple[Any, ...]:
    """What is normalised, its statistics, weight and bias."""
    x, weight, bias = norm.inputs[:3]
    return x, *norm.outputs[1:3], weight, bias


def _running(norm: Compute) -> tuple[Any, ...]:
    """The running statistics that a norm moves: three, or three times None."""
    return norm.inputs[3:] or (None, None, None)


def _keep_statistics(norm: Compute) -> None:
    """Let a norm be its statistics alone."""
    op, running = norm.op, _running(norm)
    shares = (op.keep, op.mean_share, op.var_share) if isinstance(op, TrackedBatchNorm) else ()
    norm.op, norm.inputs, norm.outputs = BatchStatistics(*shares), (norm.inputs[0], *running), norm.outputs[1:]


def _slides(conv: Compute) -> bool:
    """Whether a convolution is predicted to be done best by blocks that find the statistics of its result."""
    op, x, w = conv.op, conv.inputs[0].spec, conv.inputs[1].spec
    found = positions(x.shape[2:], w.shape[2:], op.stride, op.padding, op.dilation)
    f = convolution_of(x.shape, w.shape, found, op.stride, corner(op.padding), op.dilation, op.groups)
    return finds_statistics(f, x.dtype.itemsize)
