"""What nodes save, packed and unpacked by a user's functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .mode import enable_grad, no_grad, state
from .tape import Node, TensorBase, alias, wrap


@dataclass(frozen=True)
class Packing:
    """The two functions of `gpunn.autograd.graph.saved_tensors_hooks`."""

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]

    def drop(self, node: Node) -> None:
        """Pack what a node has saved."""
        if not node.saved and node.outputs is None:
            return
        outer, state.packing = state.packing, None
        try:
            with no_grad():
                node.drop(_Packed(self, node))
        finally:
            state.packing = outer


class _Packed:
    """In the place of what a node had saved."""

    def __init__(self, packing: Packing, node: Node):
        self._packing = packing
        self._inputs = list(node.inputs)
        for i, _, _ in node.saved:
            self._inputs[i] = packing.pack(alias(node.inputs[i]))
        outputs = node.outputs or [None] * len(node.specs)
        self._outputs = [
            None if kept is None else (packing.pack(wrap(kept[0], spec)),) for kept, spec in zip(outputs, node.specs)
        ]

    def restore(self, node: Node) -> None:
        """Give the node its values back."""
        inputs, saved = list(self._inputs), []
        for i, _, _ in node.saved:
            inputs[i] = x = self._with_history(self._unpacked(inputs[i], node), node.edges[i])
            saved.append((i, x._version, x._version[0]))
        node.inputs, node.saved = inputs, saved
        if any(self._outputs):
            results = [None if kept is None else self._unpacked(kept[0], node) for kept in self._outputs]
            node.outputs = [None if t is None else (t._data, t._version, t._version[0]) for t in results]

    def _unpacked(self, packed: Any, node: Node) -> Any:
        with no_grad():
            x = self._packing.unpack(packed)
        if not isinstance(x, TensorBase):
            raise TypeError(f"the unpack hook of what {node.name} saved returns a tensor, got {type(x).__name__}")
        return alias(x)

    def _with_history(self, x: Any, edge: Any) -> Any:
        """The tensor at the place in the graph that the saved one had, for derivatives of the gradient."""
        from gpunn.ops import identity

        if edge is None:
            return x
        if isinstance(edge, TensorBase):
            with enable_grad():
                edge = (identity(edge)._node, 0)  # type: ignore[arg-type]  # tensors are all there is
        return alias(x, *edge)
