"""A convolution, its activation and the maximum pooling behind it; and the gradient of its weight."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.backend.dtypes import float32, float64
from gpunn.ops.conv import Conv2d, Conv2dWeightGrad, Convolution
from gpunn.ops.conv_pool import Conv2dMaxPool, Conv2dMaxPoolWeightGrad
from gpunn.ops.pool import MaxPool2d, MaxPool2dActivationBackward

from ..graph import Compute, Graph
from ..simplify import Uses
from ..strides import is_last
from .note import Note, other_readers, written_between

FEW_CHANNELS = 4
"""Of an image, up to which the gradient of what was pooled is read for each of them."""


def pooled_convolution(graph: Graph) -> Iterator[Note]:
    """A convolution with the maximum pooling of its result by windows of 2 x 2 that lie side by side: one op.

    Kernels whose threads have the elements of such windows in registers write what was chosen, a quarter, and its
    numbers. Where the derivative of an activation is between the two gradients, `pooled_slope` comes first.
    """
    uses = Uses(graph)
    for pool in list(graph.nodes):
        if not (isinstance(pool, Compute) and isinstance(pool.op, MaxPool2d)):
            continue
        y = pool.inputs[0]
        node = y.node
        if not (isinstance(node, Compute) and isinstance(node.op, Conv2d)):
            continue
        where = f"{node.name} {y.spec!r} + {pool.name}"
        if y.spec.device.type == "cpu":
            reason = "on the CPU nothing would be saved"
        elif not pool.op.tiles_by_two() or y.spec.shape[2] % 2 or y.spec.shape[3] % 2:
            reason = "windows of 2 x 2 that lie side by side and cover the image are pooled on the way"
        elif not _slides(node.op, node.inputs[1].spec.shape) or y.spec.dtype not in (float32, float64):
            reason = "convolutions of floats with a stride of 1 and kernels of 3 x 3 or 5 x 5 pool on the way"
        elif is_last(node, {}) and node.inputs[0].spec.shape[1] > FEW_CHANNELS:
            reason = "images whose channels lie last have kernels of their own"
        elif not uses.only_read_by(y, pool) or node.op.returns_z:
            others = other_readers(uses, y, {id(pool)}) or node.op.activation
            reason = f"{others} needs what is pooled"
        else:
            reason = ""
            op = node.op
            geometry = op.stride, op.padding, op.dilation, op.groups
            pool.op, pool.inputs = Conv2dMaxPool(*geometry, op.activation, op.parameter), node.inputs
            graph.nodes.remove(pool)
            graph.nodes[graph.nodes.index(node)] = pool  # there, since what it reads may be written to later
        yield Note("pooled_convolution", where, reason)


def pooled_weight_gradient(graph: Graph) -> Iterator[Note]:
    """The gradient of a convolution's weight from that of what was pooled behind it, where nothing else reads dZ.

    So it is in the first layer of a network. Of the four elements of a window one has a gradient: kernels read and
    multiply these alone, so that an infinite pixel under the other three does not make NaN. With many channels in the
    image the gradient would be read too often.
    """
    uses = Uses(graph)
    for node in list(graph.nodes):
        if not (isinstance(node, Compute) and isinstance(node.op, Conv2dWeightGrad)):
            continue
        x, dz = node.inputs
        spread = dz.node
        if not (isinstance(spread, Compute) and isinstance(spread.op, MaxPool2dActivationBackward)):
            continue
        op, pooled = node.op, spread.op
        where = f"{spread.name} {dz.spec!r} + {node.name}"
        if not uses.only_read_by(dz, node):
            reason = f"{other_readers(uses, dz, {id(node)})} needs the gradient of the pooling"
        elif x.spec.shape[1] > FEW_CHANNELS * op.groups:
            reason = f"an image of {x.spec.shape[1]} channels would read it as many times; up to {FEW_CHANNELS} do"
        elif not (pooled.tiles_by_two() and _slides(op, (0, 0, *op.kernel))):
            reason = "windows of 2 x 2 that lie side by side, of kernels of 3 x 3 or 5 x 5, are taken"
        elif written_between(graph, spread, node):
            reason = "something is written to between"
        else:
            reason = ""
            geometry = op.stride, op.padding, op.dilation, op.groups, op.kernel, op.bias
            node.op = Conv2dMaxPoolWeightGrad(*geometry, pooled.activation, pooled.parameter)
            node.inputs = (x, *spread.inputs)
            graph.nodes.remove(spread)
        yield Note("pooled_weight_gradient", where, reason)


def _slides(op: Convolution, weight: tuple[int, ...]) -> bool:
    return op.stride == op.dilation == (1, 1) and weight[2:] in ((3, 3), (5, 5))
