"""What a step is made of: the phase, the layer and the op of each thing that it does, and what that costs at least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gpunn.ops.base import Op
from gpunn.optim.bound import is_one_kernel
from gpunn.plan.graph import Assign, Compute, Graph, Node, ProductUpdate, Update, Value

PHASES = ("forward", "backward", "update")


class What(NamedTuple):
    """One thing that a step does.

    Attributes:
        phase: "forward", "backward" or "update".
        layer: the path of the module that it belongs to, such as "features.0"; empty for the loss and the like.
        op: the op, or the optimizer's step.
        number: tells those apart that have all of that in common.
        flop: its arithmetic; None where that is not known.
        bytes: what it reads and writes at least; None where that is not known.
    """

    phase: str
    layer: str
    op: str
    number: int
    flop: int | None = None
    bytes: int | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.phase, self.layer, self.op)))


def parts_of(graph: Graph) -> dict[int, What]:
    """What each node of a planned step is, by the node's id.

    Forward is all up to the loss, and what leads to no update (metrics); backward what leads from there to the updates.
    """
    needed: set[int] = set()
    leads: set[int] = set()
    for node in reversed(graph.nodes):
        if isinstance(node, (Update, ProductUpdate)) or any(id(y) in needed for y in node.outputs):
            leads.add(id(node))
            needed.update(map(id, node.reads()))
    loss = graph.results[0].node if graph.results else None
    found, behind_loss = {}, False
    for number, node in enumerate(graph.nodes):
        if isinstance(node, (Update, ProductUpdate)):
            phase, name = "update", step_of(node.optimizer)
        else:
            phase, name = "backward" if behind_loss and id(node) in leads else "forward", node.name
        found[id(node)] = What(phase, node.layer, name, number, *_cost(node))
        behind_loss |= node is loss
    return found


def step_of(optimizer: Any) -> str:
    """What an optimizer's step is called."""
    return f"{type(optimizer).__name__} step"


def op_cost(op: Op, inputs: Sequence[Any]) -> tuple[int | None, int | None]:
    """FLOP and bytes of an op on these specs, numbers and None; of a view they are not known."""
    if op.view:
        return None, None
    cost = op.cost(*inputs)
    return cost.flop, cost.bytes


def update_cost(optimizer: Any, params: int, gradients: int, moments: int) -> tuple[int | None, int | None]:
    """FLOP, which are not known, and bytes of an update: parameters and moments are read and written, gradients read.

    Args:
        optimizer: of an update of one's own nothing is known.
        params: their bytes.
        gradients: theirs, 0 where they are used as they are made.
        moments: how many there are of each parameter.
    """
    return None, 2 * (1 + moments) * params + gradients if is_one_kernel(optimizer) else None


def _cost(node: Node) -> tuple[int | None, int | None]:
    specs = [x.spec if isinstance(x, Value) else x for x in node.inputs]
    if isinstance(node, Compute):
        return op_cost(node.op, specs)
    if isinstance(node, Assign):
        return 0, 2 * specs[1].nbytes
    assert isinstance(node, (Update, ProductUpdate))
    optimizer, moved = node.optimizer, 0
    mine = set(map(id, node.params))
    for group in optimizer.param_groups:
        size = sum(p.nbytes for p in group["params"] if id(p) in mine)
        _, bytes = update_cost(optimizer, size, 0, len(optimizer._moment_names(group)))
        if bytes is None:
            return None, None
        moved += bytes
    moved += sum(s.nbytes for s in specs)
    if isinstance(node, Update):
        return None, moved
    dz, x = specs  # whose product is made, and used as it is
    return 2 * dz.numel() * x.shape[-1] if node.weight is not None else dz.numel(), moved
