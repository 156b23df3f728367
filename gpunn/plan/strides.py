"""Strides of the values of a graph, without memory: whether a reshape is a view, or has to copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.meta import shadow_of
from gpunn.backend.spec import row_major

from .graph import Compute, Graph, Value


def follow(graph: Graph) -> set[int]:
    """The nodes of view ops whose result lies in the memory of their input, by their ids."""
    shadows: dict[int, Any] = {}
    views: set[int] = set()

    def shadow(value: Value) -> Any:
        """An array with the strides of `value`, and no memory of its own: nobody may read or write its elements."""
        found = shadows.get(id(value))
        if found is None:
            spec = value.spec
            steps = spec.device.backend.strides(value.state) if value.state is not None else row_major(spec.shape)
            found = shadows[id(value)] = shadow_of(spec.shape, steps, spec.dtype.numpy)
        return found

    for node in graph.nodes:
        if not isinstance(node, Compute) or not node.op.view:
            continue
        source = shadow(node.inputs[0])
        result = _view(node, source)
        if result is None:
            continue
        views.add(id(node))
        shadows.update((id(y), array) for y, array in zip(node.outputs, result))
    return views


def _view(node: Compute, source: Any) -> tuple[Any, ...] | None:
    """The results of a view op on a shadow; None where it would have to copy."""
    target = getattr(node.op, "target", None)
    if node.op.name == "Reshape":
        try:
            return (np.reshape(source, target, copy=False),)
        except ValueError:
            return None
    result = node.op.forward(numpy_backend, source, *node.inputs[1:])
    return (result,) if node.single else tuple(result)
