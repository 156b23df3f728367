"""The numbers of a graph: each op done once, with all results kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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


def updated(node: Update, backend: Any, gradients: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """What the parameters of an update become, where its class says how; they themselves stay as they are."""
    optimizer = node.optimizer
    results: list[np.ndarray | None] = []
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for p, g in zip(node.params, gradients):
        group, state = groups[id(p)], optimizer.state.get(p, {})
        names = optimizer._moment_names(group)
        array = backend.copy(p._data)
        moments = [
            backend.copy(state[name]._data)
            if name in state
            else backend.full(p.shape, optimizer._initial(group, name), p.dtype.numpy)
            for name in names
        ]
        first = any(name not in state for name in names)
        step = float(state["step"]) + 1 if "step" in state else 1
        flat = [backend.reshape(x, (-1,)) for x in (array, backend.asarray(g), *moments)]
        try:
            with np.errstate(all="ignore"):
                optimizer._update(backend, group, flat[0], flat[1], flat[2:], step if optimizer._counts else 0, first)
        except NotImplementedError:  # an optimizer of one's own, with a step that does everything
            results.append(None)
            continue
        results.append(backend.to_numpy(backend.reshape(flat[0], p.shape)))
    return results
