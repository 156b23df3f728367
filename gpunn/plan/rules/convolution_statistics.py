"""A convolution and the statistics of its result."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.backend.dtypes import float32, float64
from gpunn.backend.kernel.conv import convolution_of
from gpunn.backend.kernel.conv_statistics import finds_statistics
from gpunn.ops.batch_norm_parts import BatchNormApply, BatchStatistics
from gpunn.ops.conv import Conv2d
from gpunn.ops.conv_statistics import Conv2dStatistics
from gpunn.ops.windows import corner, positions

from ..graph import Compute, Graph
from ..simplify import Uses
from ..strides import is_last
from .norm import LAST, ON_CPU, given, has_relu, is_norm, keep_statistics, running_of
from .note import Note, are_there, written_between


def convolution_statistics(graph: Graph) -> Iterator[Note]:
    """A convolution and the mean and variance of each channel that the norm of a batch needs of it: one op.

    Blocks that have computed a tile of the result leave its moments, so that it is not read for these. Only windows
    that slide over rows in registers do so, in the shapes where they are predicted to be the fastest.
    """
    uses = Uses(graph)
    for norm in list(graph.nodes):
        if not (is_norm(norm) or (isinstance(norm, Compute) and isinstance(norm.op, BatchStatistics))):
            continue
        z = norm.inputs[0]
        conv = z.node
        if not (isinstance(conv, Compute) and isinstance(conv.op, Conv2d)):
            continue
        where = f"{conv.name} {z.spec!r} + {norm.name}"
        running = norm.inputs[1:] if isinstance(norm.op, BatchStatistics) else running_of(norm)
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
            if is_norm(norm):
                y = norm.outputs[0]
                rest = Compute(BatchNormApply(norm.op.eps, has_relu(norm.op)), (*given(norm), None), (), True)
                rest.layer, rest.again, rest.outputs, y.node = norm.layer, norm.again, (y,), rest
                graph.nodes.insert(graph.nodes.index(norm) + 1, rest)
                keep_statistics(norm)
            op, found = conv.op, norm.op
            geometry = op.stride, op.padding, op.dilation, op.groups
            conv.op = Conv2dStatistics(*geometry, found.keep, found.mean_share, found.var_share)
            conv.inputs, conv.outputs, conv.single = (*conv.inputs, *running), (z, *norm.outputs), False
            for value in norm.outputs:
                value.node = conv
            graph.nodes.remove(norm)
        yield Note("convolution_statistics", where, reason)


def _slides(conv: Compute) -> bool:
    """Whether a convolution is predicted to be done best by blocks that find the statistics of its result."""
    op, x, w = conv.op, conv.inputs[0].spec, conv.inputs[1].spec
    found = positions(x.shape[2:], w.shape[2:], op.stride, op.padding, op.dilation)
    f = convolution_of(x.shape, w.shape, found, op.stride, corner(op.padding), op.dilation, op.groups)
    return finds_statistics(f, x.dtype.itemsize)
