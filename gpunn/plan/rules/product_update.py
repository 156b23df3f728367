"""The gradients of a linear layer, and the update of its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gpunn.ops.linear import LinearBackward
from gpunn.optim.bound import is_one_kernel

from ..graph import Compute, Graph, ProductUpdate, Update, Value
from ..simplify import Uses
from .note import Note, other_readers

LARGE_BYTES = 1 << 22


def product_update(graph: Graph) -> Iterator[Note]:
    """The gradients of a linear layer and their update, which is done as they are made, and needs no memory for them.

    With SGD the products are added right to the momentum; other optimizers get some rows at a time, which spares memory
    but no time, so only for large gradients. Only where the gradient has no other use, and the parameter is not read
    later in the step: it is changed here.
    """
    for update in [n for n in graph.nodes if isinstance(n, Update)]:
        uses = Uses(graph)
        last_read = _last_reads(graph)
        left = list(zip(update.params, update.inputs))
        for node in list(graph.nodes):
            if not (isinstance(node, Compute) and isinstance(node.op, LinearBackward)):
                continue
            mine = [(p, g) for p, g in left if g.node is node]
            fused = []
            for param, g in mine:
                where = f"{node.name} {g.spec!r} + {type(update.optimizer).__name__}"
                reason = _not_by_product(update, param, g, uses, last_read, graph.nodes.index(node))
                yield Note("product_update", where, reason)
                if not reason:
                    fused.append((param, g))
            if fused:
                _update_in_place_of(graph, node, update.optimizer, fused)
                left = [(p, g) for p, g in left if all(p is not q for q, _ in fused)]
        if len(left) < len(update.params):
            update.params, update.inputs = [p for p, _ in left], tuple([g for _, g in left])
            if not left:
                graph.nodes.remove(update)


def _not_by_product(update: Update, param: Any, g: Value, uses: Uses, last_read: dict[int, int], place: int) -> str:
    """Why a gradient and its update are not one; empty if they can be."""
    if not (update.optimizer._by_element and is_one_kernel(update.optimizer)):
        return f"{type(update.optimizer).__name__} may need the gradient as a whole"
    if g.spec.device.type != "cpu" or g.spec.dtype.numpy.itemsize < 4:
        return "it is for float32 and float64 on the CPU"
    if g.spec.nbytes < LARGE_BYTES and not update.optimizer._adds_product(_group(update.optimizer, param)):
        return "it is small, and one walk over all parameters takes less time"
    if not uses.only_read_by(g, update):
        return f"{other_readers(uses, g, {id(update)})} needs the gradient"
    if id(param._data) in last_read and last_read[id(param._data)] > place:
        return "the parameter is read later in the step"
    if not param._data.flags.c_contiguous:
        return "the parameter lies in several pieces"
    return ""


def _group(optimizer: Any, param: Any) -> Any:
    """The group of a parameter."""
    return next(g for g in optimizer.param_groups if any(p is param for p in g["params"]))


def _last_reads(graph: Graph) -> dict[int, int]:
    """For each array from before the step, by its id, the last node that reads or writes it or a view of it."""
    base: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, node in enumerate(graph.nodes):
        for x in node.reads():
            root = base.get(id(x), id(x.state) if x.state is not None else 0)
            last[root] = i
            if isinstance(node, Compute) and node.op.view:
                base.update((id(y), root) for y in node.outputs)
    return last


def _update_in_place_of(graph: Graph, node: Compute, optimizer: Any, fused: list[tuple[Any, Value]]) -> None:
    """Let an update make some of the results of a `LinearBackward` itself."""
    dz, x, w = node.inputs
    names = [k for k in range(3) if node.op.wanted[k]]
    made = {names[node.outputs.index(g)]: p for p, g in fused}
    wanted = tuple([node.op.wanted[k] and k not in made for k in range(3)])
    at = graph.nodes.index(node)
    source = x if x is not None else dz
    graph.nodes.insert(at + 1, ProductUpdate(optimizer, made.get(1), made.get(2), (dz, source), node.layer))
    node.outputs = tuple([y for k, y in zip(names, node.outputs) if k not in made])
    if not node.outputs:
        graph.nodes.remove(node)
    node.op = replace(node.op, wanted=wanted)
    node.inputs = dz, x if wanted[1] else None, w if wanted[0] else None
