"""An ONNX graph as it is run: nodes in order, values by name.

A value is a tensor; or a NumPy array where it is known on the host, such as a shape and what is computed of it. Nodes
of nothing but such values are computed on the host, also while a step is traced, so that shapes stay numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import gpunn
from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase
from gpunn.backend.dtypes import dtype as DType
from gpunn.io import FileFormatError
from gpunn.optional import needed

from .operators import FROM_ONNX, Operator

RANDOM = frozenset(
    ["RandomUniform", "RandomNormal", "RandomUniformLike", "RandomNormalLike", "Bernoulli", "Multinomial"]
)
"""Operators that give other numbers each time."""
DOMAINS = ("", "ai.onnx")


class UnsupportedOperator(FileFormatError):
    """An ONNX file that holds what gpunn can't compute; the message names it."""


def array_of(proto: Any) -> np.ndarray[Any, Any]:
    """The elements of an ONNX tensor.

    Raises:
        UnsupportedOperator: it is of text.
        FileFormatError: it is damaged.
    """
    onnx = needed("onnx", "gpunn.onnx.load")
    if proto.data_type == onnx.TensorProto.STRING:
        raise UnsupportedOperator(f"the tensor {proto.name!r} is of text: gpunn has no tensors of text")
    try:
        array: np.ndarray[Any, Any] = np.asarray(onnx.numpy_helper.to_array(proto))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        raise FileFormatError(f"the tensor {proto.name!r} of the ONNX file is damaged: {error}") from None
    return array


class Node:
    """A node of a graph.

    Attributes:
        kind: the operator.
        inputs: names, empty where one is left out; likewise the outputs.
        operator: how it is computed.
    """

    def __init__(self, proto: Any, versions: Mapping[str, int]):
        self.kind = proto.op_type
        self.name = proto.name
        self.inputs = tuple(proto.input)
        self.outputs = tuple(proto.output)
        if proto.domain not in DOMAINS or proto.op_type not in FROM_ONNX:
            domain = f" of {proto.domain}" if proto.domain not in DOMAINS else ""
            raise UnsupportedOperator(f"the operator {proto.op_type}{domain} is none that gpunn computes")
        self.version = versions.get("", 1)
        self.operator: Operator = FROM_ONNX[proto.op_type]
        self.attributes = {a.name: self._value(a, versions) for a in proto.attribute}

    def _value(self, attribute: Any, versions: Mapping[str, int]) -> Any:
        onnx = needed("onnx", "gpunn.onnx.load")
        try:
            value = onnx.helper.get_attribute_value(attribute)
        except (ValueError, TypeError) as error:
            raise FileFormatError(f"the attribute {attribute.name!r} of {self.kind} is damaged: {error}") from None
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, onnx.GraphProto):
            return Graph(value, versions)
        if isinstance(value, onnx.TensorProto):
            return array_of(value)
        if isinstance(value, onnx.SparseTensorProto):
            raise UnsupportedOperator(f"{self.kind} has the attribute {attribute.name!r} of a kind that gpunn lacks")
        if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
            return list(value)
        if attribute.type == onnx.AttributeProto.STRINGS:
            return [v.decode("utf-8", "replace") for v in value]
        return value


class Graph:
    """A graph.

    Attributes:
        input: names; likewise the outputs.
        initializers: arrays by name.
        nodes: in order.
    """

    def __init__(self, proto: Any, versions: Mapping[str, int]):
        if proto.sparse_initializer:
            raise UnsupportedOperator("the file has sparse tensors, which gpunn lacks")
        self.initializers = {t.name: array_of(t) for t in proto.initializer}
        self.input = [i.name for i in proto.input if i.name not in self.initializers]
        self.output = [o.name for o in proto.output]
        self.nodes = [Node(n, versions) for n in proto.node]

    def run(self, values: dict[str, Any], module: Any) -> list[Any]:
        """Compute all nodes; the outputs.

        Args:
            values: by name the inputs, and all else that is there; what is computed comes to them.
            module: what says whether it trains, and where tensors are.
        """
        values.update(self.initializers)
        for node in self.nodes:
            call = Call(node, values, module)
            results = call.run()
            values.update((name, y) for name, y in zip(node.outputs, results) if name)
        return [values[name] for name in self.output]


class Call:
    """A node that is being computed: what functions of the table get."""

    __slots__ = ("_module", "_node", "_values")

    def __init__(self, node: Node, values: dict[str, Any], module: Any):
        self._node, self._values, self._module = node, values, module

    def run(self) -> tuple[Any, ...]:
        """Compute it.

        Raises:
            RuntimeError: or whatever gpunn raises for inputs that do not fit, with the node's name.
        """
        node = self._node
        given = [self._values[name] if name else None for name in node.inputs]
        known = [x for x in given if x is not None]
        on_host = bool(known) and all(isinstance(x, np.ndarray) for x in known) and node.kind not in RANDOM
        try:
            if on_host:
                return self._on_host(given)
            return self._results(
                [self.host(x) if i in node.operator.host else self.tensor(x) for i, x in enumerate(given)]
            )
        except FileFormatError:
            raise
        except Exception as error:
            if node.name and not getattr(error, "_names_a_node", False):
                error.args = (f"{error} (in the node {node.name!r}, {node.kind})", *error.args[1:])
                error._names_a_node = True  # type: ignore[attr-defined]
            raise

    def _on_host(self, given: Sequence[Any]) -> tuple[Any, ...]:
        """Compute it of arrays, on the CPU and outside of any trace."""
        places = self._node.operator.host
        outer = state.tracer, state.watcher, state.grad_enabled
        state.tracer, state.watcher, state.grad_enabled = None, None, False
        try:
            inputs = [x if x is None or i in places else _as_tensor(x, "cpu") for i, x in enumerate(given)]
            return tuple(self.host(y) if isinstance(y, TensorBase) else y for y in self._results(inputs))
        finally:
            state.tracer, state.watcher, state.grad_enabled = outer

    def _results(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        found = self._node.operator.run(self, *inputs)
        return found if isinstance(found, tuple) else (found,)

    # What functions of the table ask for

    @property
    def kind(self) -> str:
        """The operator."""
        return str(self._node.kind)

    @property
    def version(self) -> int:
        """Of the set of operators."""
        return self._node.version

    @property
    def outputs(self) -> int:
        """How many results are asked for, with those before them."""
        return max((i + 1 for i, name in enumerate(self._node.outputs) if name), default=1)

    @property
    def training(self) -> bool:
        """Whether the module is in training mode."""
        return bool(self._module.training)

    @property
    def device(self) -> Any:
        """Where the module is."""
        return self._module.device

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or what it is by default."""
        return self._node.attributes.get(name, default)

    def dtype(self, name: str) -> DType:
        """The type that an attribute names.

        Raises:
            UnsupportedOperator: gpunn lacks it.
        """
        helper = needed("onnx.helper", "gpunn.onnx.load")
        try:
            return gpunn.backend.dtypes.as_dtype(helper.tensor_dtype_to_np_dtype(self.get(name)))
        except (TypeError, KeyError):
            number = self.get(name)
            names = {v: k for k, v in needed("onnx", "gpunn.onnx.load").TensorProto.DataType.items()}
            raise UnsupportedOperator(f"{self.kind}: gpunn has no tensors of {names.get(number, number)}") from None

    def tensor(self, x: Any) -> Any:
        """A value as a tensor, where the module is; lists and None as they are."""
        return _as_tensor(x, self.device) if isinstance(x, np.ndarray) else x

    def host(self, x: Any) -> Any:
        """A value as an array, whose elements are read if it is a tensor."""
        return x.numpy(force=True) if isinstance(x, gpunn.Tensor) else x

    def stacked(self, values: Sequence[Any]) -> Any:
        """Values along a new first axis."""
        if all(isinstance(x, np.ndarray) for x in values):
            return np.stack(values) if values else np.zeros(0, np.float32)
        return gpunn.stack([self.tensor(x) for x in values])

    def subgraph(self, graph: Graph, inputs: Sequence[Any]) -> list[Any]:
        """Run the graph in an attribute; it sees the values around it."""
        return graph.run({**self._values, **dict(zip(graph.input, inputs))}, self._module)

    def unsupported(self, what: str) -> UnsupportedOperator:
        """An error that says that gpunn can't compute this."""
        return UnsupportedOperator(f"{self.kind}: gpunn has no {what}")

    def error(self, what: str) -> RuntimeError:
        """An error that names the operator."""
        return RuntimeError(f"{self.kind} {what}")


def _as_tensor(array: Any, device: Any) -> Any:
    try:
        return gpunn.tensor(array, device=device)
    except TypeError as error:
        if getattr(array, "dtype", None) is not None:
            raise UnsupportedOperator(f"gpunn has no tensors of {array.dtype}") from None
        raise error
