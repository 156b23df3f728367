"""What primitives on the CPU compute in, known from shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gpunn.backend.meta import shadow_of
from gpunn.backend.numpy import workers
from gpunn.backend.numpy.workspace import LEAST_BYTES, needed
from gpunn.ops.conv import Convolution
from gpunn.ops.pool import Pooling

from .graph import Compute, Graph, ProductUpdate, Value
from .primitive_calls import PrimitiveCall, primitive_calls
from .strides import follow, steps_of


def workspace(graph: Graph) -> int:
    """The bytes that a thread needs for what a graph computes on the way, see `gpunn.backend.numpy.workspace`."""
    most = [needed(function.__name__, *args, **kwargs) for function, args, kwargs in _calls(graph)]
    for node in graph.nodes:
        if isinstance(node, ProductUpdate) and node.weight is not None:
            (group,) = (g for g in node.optimizer.param_groups if any(p is node.weight for p in g["params"]))
            most.append(node.optimizer._product_needs(group, node.weight, _array(node.inputs[0])))
    return max(LEAST_BYTES, *most, 0)


def on_all_cores(graph: Graph, fused: bool) -> bool:
    """Whether a step is divided among the cores: where it works on images, image by image.

    A step without fusion has the bits of eager work, in which BLAS divides each product.
    """
    return fused and any(isinstance(n, Compute) and isinstance(n.op, (Convolution, Pooling)) for n in graph.nodes)


def forecast(graph: Graph, fused: bool) -> int:
    """The bytes that all threads have to compute in."""
    return workers.memory(workspace(graph)) if on_all_cores(graph, fused) else workspace(graph)


def _calls(graph: Graph) -> Iterator[PrimitiveCall]:
    """The calls of primitives that compute, on arrays that have shapes, but no memory of their own."""
    views = follow(graph)
    for node in graph.nodes:
        if isinstance(node, Compute) and id(node) not in views and not node.op.view:
            inputs = [_array(x) if isinstance(x, Value) else x for x in node.inputs]
            yield from primitive_calls(
                graph.arguments[0].spec.device.backend, node, inputs, tuple(map(_array, node.outputs))
            )


def _array(value: Value) -> Any:
    return shadow_of(value.spec.shape, steps_of(value), value.spec.dtype.numpy)
