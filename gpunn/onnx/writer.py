"""What writes the nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpunn.backend.dtypes import dtype as DType
from gpunn.optional import needed

Size = int | str
"""A size that is known, or the name of a tensor of one int64 that holds it."""


class ExportError(RuntimeError):
    """A network that has no ONNX graph; the message says why, and what to do."""


class Writer:
    """The nodes of a graph, in order.

    Args:
        opset: the version of the operators.
        taken: names that values can't have.

    Attributes:
        nodes: the nodes so far.
    """

    def __init__(self, opset: int, taken: Sequence[str]):
        self.opset = opset
        self.nodes: list[Any] = []
        self.layer = ""
        self._taken = set(taken)
        self._counts: dict[str, int] = {}
        self._constants: dict[Any, str] = {}
        self._helper = needed("onnx.helper", "gpunn.onnx")

    def name(self, kind: str) -> str:
        """A new name for a value, with the path of the layer in front."""
        stem = f"{self.layer}/{kind}" if self.layer else kind
        while True:
            number = self._counts[stem] = self._counts.get(stem, -1) + 1
            name = f"{stem}_{number}" if number else stem
            if name not in self._taken:
                self._taken.add(name)
                return name

    def __call__(self, kind: str, *inputs: str | None, outputs: int = 1, **attributes: Any) -> Any:
        """Write a node; the name of its result, or of several."""
        names = tuple(self.name(kind) for _ in range(outputs))
        given = [x or "" for x in inputs]
        while given and not given[-1]:
            given.pop()
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(self._helper.make_node(kind, given, names, names[0], **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, dtype: Any = None) -> str:
        """The name of a constant: a number, nested lists or an array."""
        array = np.asarray(value, None if dtype is None else getattr(dtype, "numpy", dtype))
        key = array.dtype.str, array.dtype.name, array.shape, array.tobytes()
        if key not in self._constants:
            layer, self.layer = self.layer, ""
            self._constants[key] = self("Constant", value=tensor_proto(array, ""))
            self.layer = layer
        return self._constants[key]

    def vector(self, sizes: Sequence[Size]) -> str:
        """The name of a vector of int64."""
        if all(isinstance(n, int) for n in sizes):
            return self.constant(sizes, np.int64)
        parts = [self.constant([n], np.int64) if isinstance(n, int) else n for n in sizes]
        return parts[0] if len(parts) == 1 else str(self("Concat", *parts, axis=0))

    def cast(self, x: str, dtype: DType) -> str:
        """`x` in another type."""
        return str(self("Cast", x, to=tensor_type(dtype.numpy)))


def tensor_type(dtype: Any) -> int:
    """ONNX's number of a NumPy type."""
    return int(needed("onnx.helper", "gpunn.onnx").np_dtype_to_tensor_dtype(np.dtype(dtype)))


def tensor_proto(array: Any, name: str) -> Any:
    """An array as ONNX keeps it."""
    helper = needed("onnx.helper", "gpunn.onnx")
    little = np.ascontiguousarray(array).reshape(array.shape)
    return helper.make_tensor(name, tensor_type(array.dtype), array.shape, little.tobytes(), raw=True)


class Call:
    """One call of an op, in all traces of the network.

    Args:
        writer: what writes the graph.
        nodes: the node of each trace; they are alike but for sizes.
        names: the names of values, by the ids of those of the first trace.
        symbols: for each size that is open: the name of the input, its axis, and the size in each trace.
    """

    def __init__(
        self, writer: Writer, nodes: Sequence[Any], names: dict[int, str], symbols: Sequence[tuple[str, int, list[int]]]
    ):
        self.writer, self.nodes, self.names, self.symbols = writer, nodes, names, symbols
        self.name = nodes[0].op.name

    def __len__(self) -> int:
        return len(self.nodes[0].inputs)

    @property
    def results(self) -> Any:
        """Shapes and types of the results, in the first trace."""
        return [y.spec for y in self.nodes[0].outputs]

    def spec(self, i: int) -> Any:
        """Shape and type of an input, in the first trace; a number or None as it is."""
        x = self.nodes[0].inputs[i]
        return getattr(x, "spec", x)

    def input(self, i: int) -> Any:
        """The name of an input; a number becomes a constant of the type of the others; None stays None."""
        x = self.nodes[0].inputs[i]
        if x is None:
            return None
        if hasattr(x, "spec"):
            return self.names[id(x)]
        specs = [v.spec for v in self.nodes[0].inputs if hasattr(v, "spec")]
        dtype = next((s.dtype for s in specs if s.dtype.name != "bool"), self.results[0].dtype)
        numbers = [node.inputs[i] for node in self.nodes]
        if all(n == x for n in numbers):
            return self.writer.constant(x, dtype)
        if any(n != int(n) for n in numbers):
            raise self.error(f"is applied to the number {x}, which depends on an open size")
        size = self.size([int(n) for n in numbers])
        assert isinstance(size, str)
        return self.writer.cast(self.writer("Squeeze", size, self.writer.constant([0])), dtype)

    def inputs(self) -> list[Any]:
        """The names of all inputs."""
        return [self.input(i) for i in range(len(self))]

    def __getattr__(self, name: str) -> Any:
        return self.attribute(name)

    def attribute(self, attribute: str) -> Any:
        """An attribute of the op, which is the same in all traces."""
        values = [getattr(node.op, attribute) for node in self.nodes]
        if any(v != values[0] for v in values):
            raise self.error(f"has the {attribute} {values[0]!r}, which depends on an open size")
        return values[0]

    def sizes(self, of: Callable[[Any], Sequence[int]]) -> list[Size]:
        """Sizes, which may depend on open ones: ``of(node)`` for each of them."""
        return [self.size(values) for values in zip(*(of(node) for node in self.nodes))]

    def size(self, values: Sequence[int]) -> Size:
        """A size, from what it is in each trace: constant, a size of an input, or computed from open sizes."""
        w = self.writer
        if all(v == values[0] for v in values):
            return int(values[0])
        for i, x in enumerate(self.nodes[0].inputs):
            for axis in range(len(x.spec.shape) if hasattr(x, "spec") else 0):
                if all(node.inputs[i].spec.shape[axis] == v for node, v in zip(self.nodes, values)):
                    return self.size_of(self.names[id(x)], axis)
        for source, axis, sizes in self.symbols:  # v = (b n + a) / d
            b, d = values[-1] - values[0], sizes[-1] - sizes[0]
            a = values[0] * d - b * sizes[0]
            if all(v * d == b * n + a for v, n in zip(values, sizes)):
                scaled = w("Mul", self.size_of(source, axis), w.constant([b], np.int64))
                shifted = w("Add", scaled, w.constant([a], np.int64)) if a else scaled
                return str(w("Div", shifted, w.constant([d], np.int64)))
        for i, (source, axis, sizes) in enumerate(self.symbols):  # v = k n m
            for other, other_axis, others in self.symbols[i:]:
                k = values[0] // (sizes[0] * others[0])
                if all(v == k * n * m for v, n, m in zip(values, sizes, others)):
                    product = w("Mul", self.size_of(source, axis), self.size_of(other, other_axis))
                    return str(w("Mul", product, w.constant([k], np.int64)))
        raise self.error(f"needs the size {values[0]}, which depends on open sizes in a way that is not known")

    def size_of(self, name: str, axis: int) -> str:
        """One size of a tensor, as a vector of one element."""
        return str(self.writer("Shape", name, start=axis, end=axis + 1))

    def error(self, what: str) -> ExportError:
        """An error that names the op and its layer."""
        layer = f" of the layer {self.nodes[0].layer}" if self.nodes[0].layer else ""
        return ExportError(f"{self.name}{layer} {what}; give it a fixed size, without dynamic_axes or dynamic_shapes")
