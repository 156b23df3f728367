"""The gradients of a linear layer, and the update of its parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from gpunn.backend.kernel.linear_update import pays, updates_in_product
from gpunn.backend.span import overlapping
from gpunn.ops.cast import Cast
from gpunn.ops.linear import ActivationLinearBackward, LinearBackward
from gpunn.ops.linear_pooled import PooledLinearBackward
from gpunn.optim.arena import ALONE_BYTES
from gpunn.optim.bound import is_one_kernel

from ..graph import Compute, Graph, ProductUpdate, Update, Value
from ..simplify import Uses
from ..strides import in_lines
from .note import Note, other_readers

LARGE_BYTES = ALONE_BYTES
CACHED_BYTES = 12 << 20
"""On a GPU, of all parameters that are updated: with gradients and Adam's moments they are as large as an H100's second
cache (50 MB), in which a launch finds what the one before has left."""


class _Gradient(NamedTuple):
    """Of a parameter that is updated: as the update reads it, and as the product makes it, in another type perhaps."""

    param: Any
    read: Value
    made: Value

    @property
    def cast(self) -> Compute | None:
        """What converts it."""
        node = self.read.node
        return node if self.read is not self.made and isinstance(node, Compute) else None


def product_update(graph: Graph) -> Iterator[Note]:
    """The gradients of a linear layer and their update, which is done as they are made, and needs no memory for them.

    On the CPU, with SGD the products are added right to the momentum; other optimizers get some rows at a time, which
    spares memory but no time, so only for large gradients. Kernels update a weight where they have a tile of its
    gradient in registers, where it is too large for a cache. Only where the gradient has no other use, and the
    parameter is not read later in the step: it is changed here.
    """
    for update in [n for n in graph.nodes if isinstance(n, Update)]:
        uses = Uses(graph)
        place = {id(node): i for i, node in enumerate(graph.nodes)}
        last_touch = _last_touches(graph, update)
        shared = _shared(graph, update)
        left = [_gradient(p, g) for p, g in zip(update.params, update.inputs)]
        for node in list(graph.nodes):
            if not (isinstance(node, Compute) and isinstance(node.op, _PRODUCTS)):
                continue
            fused = []
            for g in [g for g in left if g.made.node is node]:
                where = f"{node.name} {g.made.spec!r} + {type(update.optimizer).__name__}"
                reason = _not_by_product(update, g, uses)
                if not reason and last_touch.get(id(g.param._data), 0) > place[id(node)]:
                    reason = "the parameter is read later in the step"
                if not reason and id(g.param._data) in shared:
                    reason = "another tensor of the step shows the parameter's memory"
                yield Note("product_update", where, reason)
                if not reason:
                    fused.append(g)
            if fused:
                _update_in_place_of(graph, node, update.optimizer, fused)
                left = [g for g in left if all(g is not f for f in fused)]
        if len(left) < len(update.params):
            update.params, update.inputs = [g.param for g in left], tuple([g.read for g in left])
            if not left:
                graph.nodes.remove(update)


_PRODUCTS = LinearBackward, ActivationLinearBackward, PooledLinearBackward


def _gradient(param: Any, read: Value) -> _Gradient:
    node = read.node
    if isinstance(node, Compute) and isinstance(node.op, Cast) and isinstance(node.inputs[0], Value):
        return _Gradient(param, read, node.inputs[0])
    return _Gradient(param, read, read)


def _not_by_product(update: Update, g: _Gradient, uses: Uses) -> str:
    """Why a gradient and its update are not one; empty if they can be."""
    optimizer, param, spec = update.optimizer, g.param, g.read.spec
    if not (optimizer._by_element and is_one_kernel(optimizer)):
        return f"{type(optimizer).__name__} may need the gradient as a whole"
    kernels = spec.device.type != "cpu"
    if not kernels and (spec.dtype.numpy.itemsize < 4 or g.cast is not None):
        return "it is for float32 and float64 on the CPU"
    adds = not kernels and optimizer._adds_product(_group(optimizer, param))
    if spec.nbytes < LARGE_BYTES and not adds:
        return "it is small, and one walk over all parameters takes less time"
    if kernels and (reason := _not_by_kernels(update, g)):
        return reason
    if not uses.only_read_by(g.read, update):
        return f"{other_readers(uses, g.read, {id(update)})} needs the gradient"
    if g.cast is not None and not uses.only_read_by(g.made, g.cast):
        return f"{other_readers(uses, g.made, {id(g.cast)})} needs the gradient"
    if not param._data.flags.c_contiguous:
        return "the parameter lies in several pieces"
    return ""


def _not_by_kernels(update: Update, g: _Gradient) -> str:
    """Why kernels don't make a gradient and use it in one launch; empty if they do."""
    optimizer = update.optimizer
    if sum(p.nbytes for p in update.params) < CACHED_BYTES:
        return "all gradients together stay in a GPU's cache until they are used"
    if len(g.made.spec.shape) != 2:
        return "kernels do that for weights"
    types = g.param._spec.dtype.numpy, g.made.spec.dtype.numpy
    tensor_cores = getattr(g.read.spec.device.backend, "tensor_cores", True)
    if not updates_in_product(optimizer._in_product, *types, tensor_cores):
        return f"no kernel does {type(optimizer).__name__}'s step where it makes a product of {g.made.spec.dtype.name}"
    moments = len(optimizer._moment_names(_group(optimizer, g.param)))
    outputs, inputs = g.made.spec.shape
    if not pays(_factors(g.made)[0].spec.numel() // outputs, inputs, outputs, types[1], moments):
        return "its product takes less time in tiles that leave no room for an update"
    if not all(map(in_lines, _factors(g.made))):
        return "its factors do not lie in lines"
    return ""


def _factors(made: Value) -> tuple[Value, Value]:
    """dZ and X."""
    assert made.node is not None
    dz, x = made.node.inputs[:2]
    return dz, x if x is not None else dz


def _group(optimizer: Any, param: Any) -> Any:
    """The group of a parameter."""
    return next(g for g in optimizer.param_groups if any(p is param for p in g["params"]))


def _last_touches(graph: Graph, update: Update) -> dict[int, int]:
    """For each array from before the step, by its id, the last node but `update` that reads or writes it or its views.

    Nodes are numbered as they stand.
    """
    base: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, node in enumerate(graph.nodes):
        for x in node.reads():
            root = base.get(id(x), id(x.state) if x.state is not None else 0)
            last[root] = i
            if isinstance(node, Compute) and node.op.view:
                base.update((id(y), root) for y in node.outputs)
        if isinstance(node, (Update, ProductUpdate)) and node is not update:
            last.update((id(p._data), i) for p in node.params)
    return last


def _shared(graph: Graph, update: Update) -> set[int]:
    """The ids of arrays from before the step whose memory another array shows, too, or another parameter."""
    mine = [p for p in update.params if p.device.type != "meta"]
    if not mine:
        return set()
    kind, backend = type(mine[0]._data), mine[0].device.backend  # where they are, whatever the graph is taken for
    arrays = {id(a): a for a in (*(x.state for x in graph.states), *(p._data for p in mine)) if type(a) is kind}
    several = {which for which, count in Counter(id(p._data) for p in mine).items() if count > 1}
    return several | overlapping(backend, arrays.values())


def _update_in_place_of(graph: Graph, node: Compute, optimizer: Any, fused: list[_Gradient]) -> None:
    """Let an update make some of the results of a product itself."""
    dz, x, *others = node.inputs
    names = [k for k in range(3) if node.op.wanted[k]]
    made = {names[node.outputs.index(g.made)]: g for g in fused}
    wanted = tuple([node.op.wanted[k] and k not in made for k in range(3)])
    weight, bias = (made[k].param if k in made else None for k in (1, 2))
    factors = _factors(node.outputs[0])
    graph.nodes.insert(graph.nodes.index(node) + 1, ProductUpdate(optimizer, weight, bias, factors, node.layer))
    for g in fused:
        if g.cast is not None:
            graph.nodes.remove(g.cast)
    node.outputs = tuple([y for k, y in zip(names, node.outputs) if k not in made])
    if not node.outputs:
        graph.nodes.remove(node)
    node.op = replace(node.op, wanted=wanted)
    if isinstance(node.op, LinearBackward):  # in others f' follows from X
        (w,) = others
        node.inputs = dz, x if wanted[1] else None, w if wanted[0] else None
