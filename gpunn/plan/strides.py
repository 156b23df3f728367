"""Strides of the values of a graph, without memory: whether a reshape is a view, or has to copy."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpunn.backend import numpy as numpy_backend
from gpunn.backend.memory_format import gives_last, last_steps
from gpunn.backend.meta import shadow_of
from gpunn.backend.spec import row_major

from .graph import Compute, Graph, Value


def follow(graph: Graph) -> set[int]:
    """The nodes of view ops whose result lies in the memory of their input, by their ids."""
    shadows: dict[int, Any] = {}
    return {id(node) for node in graph.nodes if _lies_in_input(node, shadows)}


def strides_of(value: Value) -> tuple[int, ...]:
    """The steps in memory of a value along each dimension, in elements, as a plan lays it out."""
    return tuple(numpy_backend.strides(_shadow(value, {})))


def in_lines(value: Value) -> bool:
    """Whether a plan lays a value out in one piece, row-major."""
    return bool(_shadow(value, {}).flags.c_contiguous)


def _shadow(value: Value, shadows: dict[int, Any]) -> Any:
    """An array with the strides of `value`, and no memory of its own: nobody may read or write its elements."""
    if id(value) not in shadows and not _lies_in_input(value.node, shadows):
        spec = value.spec
        steps = spec.device.backend.strides(value.state) if value.state is not None else steps_of(value)
        shadows[id(value)] = shadow_of(spec.shape, steps, spec.dtype.numpy)
    return shadows[id(value)]


def steps_of(value: Value) -> tuple[int, ...]:
    """The strides, in elements, of a value that owns its memory."""
    return last_steps(value.spec.shape) if value.last else row_major(value.spec.shape)


def is_last(node: Compute, shadows: dict[int, Any]) -> bool:
    """Whether the results of an op that have four dimensions lie channels last, as they do in eager work."""
    if node.op.view or not (node.op.by_element or node.op.images):
        return False
    specs = tuple(y.spec for y in node.outputs)
    inputs = [_shadow(x, shadows) if isinstance(x, Value) else x for x in node.inputs]
    return gives_last(node.op, inputs, specs[0] if node.single else specs)


def _lies_in_input(node: Any, shadows: dict[int, Any]) -> bool:
    """Whether a node is a view op that need not copy; then its results get shadows."""
    if not isinstance(node, Compute) or not node.op.view:
        return False
    result = _view(node, _shadow(node.inputs[0], shadows))
    if result is not None:
        shadows.update((id(y), array) for y, array in zip(node.outputs, result))
    return result is not None


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
