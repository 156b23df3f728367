"""The norm of a batch and the sum of it and something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from gpunn.ops.activation import Activation
from gpunn.ops.arithmetic import Add
from gpunn.ops.batch_norm_parts import BatchNormApply

from ..graph import Compute, Graph, Node, Value
from ..simplify import Uses
from ..strides import is_last
from .norm import LAST, ON_CPU, given, has_relu, is_norm, keep_statistics
from .note import Note, may_wait, other_readers


def norm_and_sum(graph: Graph) -> Iterator[Note]:
    """The norm of a batch with a ReLU or none, and the sum of it and something of its shape, with a ReLU or none.

    So the blocks of residual networks end: one pass over memory instead of two. The norm's statistics are found where
    they were, the rest is done where the sum was, which may be of something that was not there before.
    """
    uses = Uses(graph)
    for add in list(graph.nodes):
        if not (isinstance(add, Compute) and isinstance(add.op, Add)):
            continue
        y = next((x for x in add.reads() if is_norm(x.node) and x is x.node.outputs[0]), None)
        if y is None:
            continue
        norm, total = y.node, add.outputs[0]
        assert is_norm(norm)
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
            op = BatchNormApply(norm.op.eps, has_relu(norm.op), joined)
            add.op, add.inputs = op, (*given(norm), others[0])
            if joined:
                assert relu is not None
                add.outputs = relu.outputs
                add.outputs[0].node = add
                graph.nodes.remove(relu)
            keep_statistics(norm)
        yield Note("norm_and_sum", where, reason)


def _is_relu(node: Node) -> TypeGuard[Compute]:
    return isinstance(node, Compute) and isinstance(node.op, Activation) and node.op.kind == "relu"
