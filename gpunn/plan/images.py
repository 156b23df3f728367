"""Images whose channels lie last, in a graph: as values (n, h, w, c), which views show as (n, c, h, w).

A trace writes ops down for images (n, c, h, w). Where the results lie channels last in eager work, the graph that is
run makes them as they lie: every value that owns memory is row-major, and what reads it may take any strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpunn.backend.memory_format import FROM_LAST, TO_LAST, channels_first, lies_last
from gpunn.backend.spec import Spec
from gpunn.ops.base import Cost, Op
from gpunn.ops.view import Clone, Permute, Reshape

from .graph import Compute, Graph, Node, Update, Value
from .simplify import replace, without_dead_code
from .strides import is_last


class LastImages(Op, abstract=True):
    """An op whose results of four dimensions are (n, h, w, c), where its own are (n, c, h, w)."""

    def __init__(self, op: Op):
        self.op = op

    @property
    def name(self) -> str:
        """That of the op."""
        return self.op.name

    def shape(self, *specs: Any) -> Any:
        """The specs of the op's results, channels last."""
        results = self.op.shape(*specs)
        return tuple(map(_last, results)) if isinstance(results, tuple) else _last(results)

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        """The op's results, written into the memory of these."""
        several = isinstance(out, tuple)
        outs = tuple([channels_first(a) if a.ndim == 4 else a for a in (out if several else (out,))])
        self.op.forward(backend, *arrays, out=outs if several else outs[0])
        return out

    def cost(self, *specs: Any) -> Cost:
        """That of the op."""
        return self.op.cost(*specs)


def lay_out_images(graph: Graph) -> None:
    """Have every op make its results as they lie in eager work."""
    layout = _Layout(graph)
    layout.run()
    if layout.instead:  # copies of results that nobody reads
        without_dead_code(graph)


class _Layout:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.nodes: list[Node] = []
        self.shadows: dict[int, Any] = {}
        self.instead: dict[int, Value] = {}
        self.owners: dict[int, Value] = {}
        """For each view (n, c, h, w) that was made here, by its id, the value (n, h, w, c)."""
        self.turned: dict[int, Value] = {}
        """For each value that was turned around, by its id, what it became."""

    def run(self) -> None:
        for node in self.graph.nodes:
            replace(node, self.instead)
            if isinstance(node, Compute):
                self._compute(node)
                continue
            if isinstance(node, Update):
                node.inputs = tuple(map(self._gradient, node.params, node.inputs, [node.layer] * len(node.inputs)))
            self.nodes.append(node)
        self.graph.nodes[:] = self.nodes
        self.graph.results[:] = [self.instead.get(id(v), v) for v in self.graph.results]

    def _compute(self, node: Compute) -> None:
        for y in node.outputs:
            y.last = False
        if not is_last(node, self.shadows):
            self.nodes.append(node)
            return
        op, inputs, specs = node.op, node.inputs, tuple(y.spec for y in node.outputs)
        images = [spec.ndim == 4 for spec in specs]
        if not op.by_element and op.writes_images not in specs[0].device.backend.writes_images:
            self.nodes.append(node)
            copies = [self._last_copy(y, node.layer) if image else y for y, image in zip(node.outputs, images)]
            self._show(node, node.outputs, copies)
            return
        if op.by_element:
            inputs = tuple([self._turn(x, node.layer) if isinstance(x, Value) else x for x in inputs])
        else:
            op = LastImages(op)
        made = tuple(map(_last, specs))
        new = Compute(op, inputs, made, node.single, node.layer, node.again)
        self.nodes.append(new)
        for y, z in zip(node.outputs, new.outputs):
            z.layer = y.layer
        self._show(node, node.outputs, new.outputs)

    def _show(self, node: Compute, outputs: Sequence[Value], made: Sequence[Value]) -> None:
        """Let what reads a result read a view of what was made in its place."""
        for y, z in zip(outputs, made):
            if y.spec.ndim == 4:
                self.instead[id(y)] = view = self._add(Permute(FROM_LAST), z, y.spec, node.layer)
                self.owners[id(view)] = z
            else:
                self.instead[id(y)] = z

    def _turn(self, x: Value, layer: str) -> Value:
        """What an elementwise op on (n, h, w, c) reads in the place of an input."""
        if not x.spec.ndim:
            return x
        if id(x) in self.owners:
            return self.owners[id(x)]
        if id(x) not in self.turned:
            whole = x
            if x.spec.ndim < 4:
                target = (1,) * (4 - x.spec.ndim) + tuple(x.spec.shape)
                whole = self._add(Reshape(target), x, x.spec.like(target), layer)
            self.turned[id(x)] = self._add(Permute(TO_LAST), whole, _last(whole.spec), layer)
        return self.turned[id(x)]

    def _last_copy(self, x: Value, layer: str) -> Value:
        """Images (n, c, h, w) copied to (n, h, w, c)."""
        turned = self._add(Permute(TO_LAST), x, _last(x.spec), layer)
        return self._add(Clone(), turned, turned.spec, layer)

    def _gradient(self, param: Any, g: Value, layer: str) -> Value:
        """A gradient whose elements come in the order of its parameter's in memory."""
        if lies_last(param._data):
            return self.owners.get(id(g)) or self._last_copy(g, layer)
        return self._add(Clone(), g, g.spec, layer) if id(g) in self.owners else g

    def _add(self, op: Op, x: Value, spec: Spec, layer: str) -> Value:
        self.nodes.append(Compute(op, (x,), (spec,), True, layer))
        return self.nodes[-1].outputs[0]


def _last(spec: Spec) -> Spec:
    """The spec of images with their channels last; others as they are."""
    return spec.like(tuple([spec.shape[d] for d in TO_LAST])) if spec.ndim == 4 else spec
