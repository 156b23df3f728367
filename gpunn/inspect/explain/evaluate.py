"""The numbers of a graph: each op done once, with all results kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import gpunn
from gpunn.inspect.primitives import primitives_of
from gpunn.plan.graph import Assign, Compute, Graph, Update, Value


@dataclass
class Evaluated:
    """What came of a graph.

    Attributes:
        elements: of each value, by its id, on the host; none on the device ``meta``.
        primitives: for each op, by its node's id, the primitives that it called.
    """

    elements: dict[int, np.ndarray] = field(default_factory=dict)
    primitives: dict[int, list[str]] = field(default_factory=dict)


class _Noting:
    """A backend that notes what is called."""

    def __init__(self, backend: Any):
        self._backend = backend
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.called.append(name)
        return getattr(self._backend, name)


def evaluate(graph: Graph, arrays: Sequence[Any]) -> Evaluated:
    """Do a step, its updates left out; nothing that was there before is written to.

    Args:
        graph: the step.
        arrays: what it is called with.
    """
    backend = graph.arguments[0].spec.device.backend
    result = Evaluated()
    if graph.arguments[0].spec.device.type == "meta":
        result.primitives.update(
            (id(n), list(primitives_of(type(n.op)))) for n in graph.nodes if isinstance(n, Compute)
        )
        return result
    writes = any(isinstance(node, Assign) for node in graph.nodes)
    there: dict[int, Any] = {id(v): a for v, a in zip(graph.arguments, arrays)}
    there.update((id(v), v.state) for v in graph.states)
    found = result.elements
    found.update((key, backend.to_numpy(array)) for key, array in there.items())
    if writes:
        there = {key: backend.copy(array) for key, array in there.items()}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            inputs = [there[id(x)] if isinstance(x, Value) else x for x in node.inputs]
            if isinstance(node, Assign):
                backend.copy(inputs[1], out=inputs[0])
            elif isinstance(node, Compute):
                noting = _Noting(backend)
                made = node.op.forward(noting, *inputs)
                result.primitives[id(node)] = list(dict.fromkeys(noting.called))
                for y, array in zip(node.outputs, (made,) if node.single else made):
                    if not y.spec.shape:  # NumPy gives scalars for results without dimensions
                        array = backend.asarray(array)
                    there[id(y)] = array
                    array = backend.to_numpy(array)
                    found[id(y)] = array.copy() if writes else array
    return result


def updated(node: Update, gradients: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """What the parameters of an update become, by a twin of the optimizer on copies of them.

    None for each, where the class of the optimizer makes no twin of groups alone.
    """
    optimizer = node.optimizer
    copies = {id(p): p.detach().clone().requires_grad_() for group in optimizer.param_groups for p in group["params"]}
    groups = [{**group, "params": [copies[id(p)] for p in group["params"]]} for group in optimizer.param_groups]
    try:
        twin = type(optimizer)(groups)
        twin.load_state_dict(optimizer.state_dict())
    except (TypeError, ValueError):
        return [None] * len(node.params)
    for p, g in zip(node.params, gradients):
        copies[id(p)].grad = gpunn.tensor(g, dtype=p.dtype, device=p.device)
    twin.step()
    return [copies[id(p)].detach().cpu().numpy() for p in node.params]
