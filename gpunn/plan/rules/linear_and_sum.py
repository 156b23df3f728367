"""A linear layer and what is added to its result."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.backend.dtypes import float32, float64
from gpunn.ops.arithmetic import Add
from gpunn.ops.linear import LinearActivation
from gpunn.ops.linear_sum import LinearSum

from ..graph import Compute, Graph, Value
from ..simplify import Uses
from .note import Note, may_wait, other_readers


def linear_and_sum(graph: Graph) -> Iterator[Note]:
    """A linear layer without an activation, and the sum of it and something of its shape: one op, where the sum was.

    So residual branches of transformers end. It saves a launch, and the way of the product to memory and back.
    """
    uses = Uses(graph)
    for add in list(graph.nodes):
        if not (isinstance(add, Compute) and isinstance(add.op, Add)):
            continue
        y = next((x for x in add.reads() if _is_linear(x)), None)
        if y is None:
            continue
        linear, total = y.node, add.outputs[0]
        assert isinstance(linear, Compute)
        others = [x for x in add.inputs if x is not y]
        where = f"{linear.name} {y.spec!r} + {add.name}"
        if y.spec.device.type == "cpu":
            reason = "on the CPU a product of BLAS is written before something is added"
        elif y.spec.dtype not in (float32, float64):
            reason = "products of halves are written before something is added"
        elif not (len(others) == 1 and isinstance(others[0], Value) and others[0].spec == y.spec == total.spec):
            reason = "what is added has another shape or type, or is a number or the same"
        elif not uses.only_read_by(y, add):
            reason = f"{other_readers(uses, y, {id(add)})} needs what is added"
        elif not may_wait(graph, uses, linear.inputs, linear, add):
            reason = "something that the layer reads is written to between"
        else:
            reason = ""
            add.op, add.inputs = LinearSum(), (*linear.inputs, others[0])
            graph.nodes.remove(linear)
        yield Note("linear_and_sum", where, reason)


def _is_linear(x: Value) -> bool:
    return isinstance(x.node, Compute) and isinstance(x.node.op, LinearActivation) and x.node.op.activation == "none"
