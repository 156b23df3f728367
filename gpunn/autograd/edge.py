"""Where a gradient goes, without the tensor whose gradient it is."""

from __future__ import annotations

from typing import Any, NamedTuple

from .tape import TensorBase, wrap


class GradientEdge(NamedTuple):
    """The place of a tensor in the graph, see `gpunn.autograd.graph.get_gradient_edge`.

    node:            the node that made the tensor; a leaf itself
    output_nr:       which of the node's results it is
    ownership_token: not needed, as the node holds the graph
    """

    node: Any
    output_nr: int
    ownership_token: Any = None

    def tensor(self) -> Any:
        """The leaf, or a tensor without elements at this place."""
        if isinstance(self.node, TensorBase):
            return self.node
        t: Any = wrap(None, self.node.specs[self.output_nr], requires_grad=True)
        t._node, t._index = self.node, self.output_nr
        return t
