"""Going back over the tape: `backward` and `grad`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gpunn.backend.memory_format import (
    channels_last,
    contiguous_format,
    in_last_order,
    is_last,
    lies_last,
    turned,
)
from gpunn.backend.spec import Spec

from .anomaly import anomaly, watched
from .autocast import plain
from .edge import GradientEdge
from .hooks import call_after_accumulation, call_hooks
from .mode import enable_grad, no_grad, set_grad_enabled, state
from .tape import Node, TensorBase, wrap

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: None = None,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of `tensors` to the ``.grad`` of every leaf they were computed from.

    For one tensor y and a cotangent v of y's shape (1 for a scalar), each leaf x gets x.grad += (dy/dx)^T v.

    Args:
        tensors: what to differentiate.
        grad_tensors: the cotangent of each; needed where a tensor has more than one element.
        retain_graph: keep what the forward saved, so that the graph can be gone through again.
        create_graph: record the computation of the gradient, so that it can be differentiated.
        grad_variables: PyTorch's old name of `grad_tensors`; None.
        inputs: only these leaves (or other tensors of the graph) get a gradient.

    Raises:
        RuntimeError: no gradient is recorded, a cotangent is missing or does not fit, a saved tensor was changed in
            place, or the graph was freed before.
    """
    roots = _tensors("backward", tensors)
    targets = None if inputs is None else _targets("backward", inputs)
    if targets is not None and not targets:
        raise RuntimeError("backward: inputs is empty; leave it out to reach every leaf")
    keep = create_graph if retain_graph is None else retain_graph
    kept: set[int] = set()
    for leaf, g in _run(roots, grad_tensors, targets, keep, create_graph):
        if g is not None:
            _accumulate(leaf, g, create_graph, kept)
            if leaf._hooks:
                call_after_accumulation(leaf)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of `outputs` with respect to `inputs`, as a tuple; no ``.grad`` is touched.

    Arguments as in `backward`. An input that the outputs do not depend on is an error, or None with
    ``allow_unused=True``, or zeros with ``materialize_grads=True``.

    Raises:
        NotImplementedError: ``is_grads_batched=True``; `gpunn.func.vmap` takes many cotangents at once.
    """
    if is_grads_batched:
        raise NotImplementedError(
            "grad(is_grads_batched=True): write gpunn.func.vjp(f, x)[1] under gpunn.func.vmap, or gpunn.func.jacrev(f)"
        )
    roots, targets = _tensors("grad", outputs), _targets("grad", inputs)
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads=True gives zeros for unused inputs, so allow_unused can't be False")
    keep = create_graph if retain_graph is None else retain_graph
    results = []
    for i, (x, g) in enumerate(_run(roots, grad_outputs, targets, keep, create_graph)):
        if g is None and materialize_grads:
            g = zeros_like(x)
        elif g is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs do not depend on input {i} ({x._spec!r}); "
                "allow_unused=True gives None for it, materialize_grads=True zeros"
            )
        results.append(g)
    return tuple(results)


def _accumulate(leaf: Any, g: Any, create_graph: bool, kept: set[int]) -> None:
    """``leaf.grad += g``. A gradient that lives elsewhere too (a view, or one in `kept`) is copied to become a grad."""
    old = leaf._grad
    if old is None:
        if leaf.ndim == 4 and (order := _other_format(leaf, g)) is not None:
            with set_grad_enabled(create_graph):
                g = g.clone(memory_format=order)
        elif g._base is not None or id(g) in kept:
            with set_grad_enabled(create_graph):
                g = g.clone()
        kept.add(id(g))
        leaf._grad = g
    elif create_graph or state.tracer is not None or old._requires_grad:
        with set_grad_enabled(create_graph):
            leaf._grad = old + g
    else:
        x, y = (turned(old._data), turned(g._data)) if lies_last(old._data) else (old._data, g._data)
        state.quietly(old._spec.device.backend.add, x, y, out=x)
        old._version[0] += 1


def _other_format(leaf: Any, g: Any) -> Any:
    """The memory format of a leaf without gaps, where its gradient has another one; else None."""
    steps = leaf.stride()
    if in_last_order(leaf.shape, steps):
        wanted = channels_last if is_last(leaf.shape, steps) else None
    else:
        wanted = contiguous_format if leaf.is_contiguous() else None
    return None if wanted is None or g.is_contiguous(memory_format=wanted) else wanted


def vjp_of(formula: Callable[..., Any], needs: tuple[bool, ...], dy: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The gradients of ``formula(*inputs)`` along `dy`: partial, so paths between the inputs do not count."""
    from gpunn.ops import identity

    create_graph = state.grad_enabled
    with enable_grad():
        heads: list[Any] = []
        for x, needed in zip(inputs, needs):
            if not needed:
                heads.append(x)
            elif create_graph:
                heads.append(identity(x))
            else:
                heads.append(wrap(x._data, x._spec, requires_grad=True))
        y = formula(*heads)
    ys = y if isinstance(y, tuple) else (y,)
    dys = dy if isinstance(dy, tuple) else (dy,)
    pairs = [(a, b) for a, b in zip(ys, dys) if a is not None and b is not None and a._requires_grad]
    wanted = [x for x, needed in zip(heads, needs) if needed]
    if not pairs:
        return (None,) * len(inputs)
    found = grad([a for a, _ in pairs], wanted, [b for _, b in pairs], create_graph=create_graph, allow_unused=True)
    gradients = iter(found)
    return tuple(next(gradients) if needed else None for needed in needs)


def zeros_like(x: Any) -> Tensor:
    """Zeros in the shape, type and device of `x`."""
    from gpunn.ops import full

    return full(x.shape, 0, dtype=x.dtype, device=x.device)


def _tensors(name: str, given: Any) -> list[Any]:
    found = [given] if isinstance(given, (TensorBase, GradientEdge)) else list(given)
    found = [x.tensor() if isinstance(x, GradientEdge) else x for x in found]
    for x in found:
        if not isinstance(x, TensorBase):
            raise TypeError(f"{name} takes a tensor or a sequence of tensors, got {type(x).__name__}")
    return found


def _targets(name: str, inputs: Any) -> list[Any]:
    targets = _tensors(name, inputs)
    for i, x in enumerate(targets):
        if not x._requires_grad:
            raise RuntimeError(f"{name}: input {i} ({x._spec!r}) does not require grad; call x.requires_grad_() before")
    return targets


def _cotangents(roots: list[Any], given: Any) -> list[Any]:
    """The cotangent of each root, checked, and ones where none is given."""
    from gpunn.ops import full, identity

    gs = [None] * len(roots) if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
    if len(gs) != len(roots):
        raise RuntimeError(f"{len(roots)} tensors to differentiate, but {len(gs)} gradients for them")
    result = []
    for i, (y, g) in enumerate(zip(roots, gs)):
        spec = y._spec
        if not y._requires_grad:
            raise RuntimeError(
                f"tensor {i} ({spec!r}) does not require grad and does not have a grad_fn: "
                "nothing that it was computed from does, or it was computed under no_grad()"
            )
        if g is None:
            if spec.numel() != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs, not for {spec!r}; "
                    "reduce it (y.sum().backward()) or give the gradient (y.backward(g))"
                )
            result.append(full(spec.shape, 1, dtype=spec.dtype, device=spec.device))
            continue
        if not isinstance(g, TensorBase):
            raise TypeError(f"the gradient of tensor {i} must be a tensor or None, got {type(g).__name__}")
        if g._spec.shape != spec.shape or g._spec.device is not spec.device:
            raise RuntimeError(f"the gradient of tensor {i} is {g._spec!r}, the tensor itself {spec!r}")
        # As another tensor on the same memory, so that it is never taken for a gradient that nobody else holds.
        same: Any = g
        result.append(identity(same) if g._spec.dtype is spec.dtype else same.to(spec.dtype))
    return result


@plain  # the types are those of the forward
def _run(roots: list[Any], given: Any, targets: list[Any] | None, keep: bool, create_graph: bool) -> Any:
    """Pairs (tensor, gradient): for every leaf reached, or for the targets in their order."""
    nodes = _reachable(roots)
    useful = None if targets is None else _leads_to(nodes, targets)
    slots: dict[Node, list[Any]] = {}
    leaves: dict[int, list[Any]] = {}
    captured: dict[tuple[Node, int], Any] = {}
    wanted = set() if targets is None else {(t._node, t._index) for t in targets if t._node is not None}

    def send(edge: Any, g: Any) -> None:
        if isinstance(edge, tuple):
            node, index = edge
            slot = slots.get(node)
            if slot is None:
                slot = slots[node] = [None] * len(node.specs)
            slot[index] = g if slot[index] is None else slot[index] + g
        elif useful is None or id(edge) in useful:
            entry = leaves.get(id(edge))
            if entry is None:
                leaves[id(edge)] = [edge, g]
            else:
                entry[1] = entry[1] + g

    mode: Any = no_grad() if not create_graph else nullcontext() if state.grad_enabled else enable_grad()
    with mode:
        in_order = sorted(nodes, key=_order, reverse=True)
        if state.watcher is not None and in_order:
            state.watcher.enter_gradient(in_order[0], ())
        for y, g in zip(roots, _cotangents(roots, given)):
            send(y if y._node is None else (y._node, y._index), g)
        for node in in_order:
            dys = slots.pop(node, None)
            if dys is None:
                continue
            if state.watcher is not None:
                state.watcher.enter_gradient(node, dys)
            if node.hooks is not None:
                for index, hooks in node.hooks.items():
                    dys[index] = call_hooks(hooks, dys[index])
            if wanted:
                for index in range(len(dys)):
                    if (node, index) in wanted:
                        captured[node, index] = dys[index]
            if useful is None:
                needs = tuple([e is not None for e in node.edges])
            else:
                needs = tuple([(e[0] if isinstance(e, tuple) else id(e)) in useful for e in node.edges])
            if True in needs:
                gradients = _gradients(node, needs, dys)
                for i, g in watched(node, gradients) if anomaly.enabled else gradients:
                    if state.watcher is not None:
                        state.watcher.give_gradient(node, i, g)
                    send(node.edges[i], g)
            if not keep:
                node.release()
        for entry in leaves.values():
            if entry[0]._hooks:
                entry[1] = call_hooks(entry[0]._hooks, entry[1])
        while state.at_end:
            state.at_end.pop(0)()
    if targets is None:
        return list(leaves.values())
    return [
        (t, leaves.get(id(t), (None, None))[1] if t._node is None else captured.get((t._node, t._index)))
        for t in targets
    ]


_order = attrgetter("order")


def _gradients(node: Node, needs: tuple[bool, ...], dys: list[Any]) -> Any:
    """Pairs (input's place, gradient), with the shape and type of the input."""
    inputs = node.saved_inputs()
    op = node.op
    gs = op.vjp(needs, dys[0] if node.single else tuple(dys), node.saved_outputs(), *inputs)
    if not isinstance(gs, tuple):
        gs = (gs,)
    for i, needed in enumerate(needs):
        if not needed or gs[i] is None:
            continue
        g, x = gs[i], inputs[i]
        spec: Spec = x if isinstance(x, Spec) else x._spec
        if g._spec.shape != spec.shape:
            from gpunn.ops import sum_to

            g = sum_to(g, spec.shape)
        if g._spec.dtype is not spec.dtype:
            g = g.to(spec.dtype)
        yield i, g


def _reachable(roots: list[Any]) -> list[Node]:
    seen: set[Node] = set()
    stack = [y._node for y in roots if y._node is not None]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        stack.extend(e[0] for e in node.edges if isinstance(e, tuple))
    return list(seen)


def _leads_to(nodes: list[Node], targets: list[Any]) -> set[Any]:
    """The nodes, and the ids of leaves, through which a target is reached."""
    useful: set[Any] = {t._node if t._node is not None else id(t) for t in targets}
    for node in sorted(nodes, key=_order):
        if any((e[0] if isinstance(e, tuple) else id(e)) in useful for e in node.edges):
            useful.add(node)
    return useful
