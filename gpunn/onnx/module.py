"""An ONNX file as a module, to be run and trained."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

import gpunn
from gpunn import nn
from gpunn.autograd.tape import TensorBase
from gpunn.io import FileFormatError
from gpunn.optional import needed

from .export import BUFFERS
from .graph import Graph

_STATISTICS = {"BatchNormalization": (3, 4)}
"""Inputs that are running statistics: buffers, which training moves."""


def load(f: str | os.PathLike[str] | IO[bytes] | Any) -> OnnxModule:
    """The network in an ONNX file, as a module.

    Args:
        f: a path, a file that is open for bytes, or an ``onnx.ModelProto``.

    Raises:
        ImportError: onnx is not installed.
        FileNotFoundError: there is no such file.
        FileFormatError: it is no ONNX file, or a truncated or damaged one.
        UnsupportedOperator: a FileFormatError too: it holds what gpunn can't compute.
    """
    onnx = needed("onnx", "gpunn.onnx.load")
    if isinstance(f, onnx.ModelProto):
        return _checked(onnx, f, "the model")
    name = str(f)
    if isinstance(f, (str, os.PathLike)):
        path = Path(f)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; expected an ONNX file")
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        content, folder = path.read_bytes(), path.parent
    else:
        content, folder = f.read(), None
    try:
        model = onnx.load_model_from_string(content)
        if folder is not None:
            onnx.load_external_data_for_model(model, str(folder))
    except Exception as error:  # protobuf's own errors have no common class among its versions
        raise FileFormatError(f"{name} is not a whole ONNX file: {error}; it is damaged or of another kind") from None
    return _checked(onnx, model, name)


def _checked(onnx: Any, model: Any, name: str) -> OnnxModule:
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, TypeError, RuntimeError) as error:
        raise FileFormatError(f"{name} is no valid ONNX model: {str(error).strip()}") from None
    if (broken := _no_text(model)) is not None:
        raise FileFormatError(f"{name} is no valid ONNX model: it has the name {broken!r}, which is no text in UTF-8")
    try:
        return OnnxModule(model).eval()
    except FileFormatError as error:
        raise type(error)(f"{name}: {error}") from None


def _no_text(message: Any) -> bytes | None:
    """The first of a message's texts that is none: protobuf leaves it as bytes."""
    for field, value in message.ListFields():
        if field.type in (field.TYPE_STRING, field.TYPE_MESSAGE):
            for part in [value] if isinstance(value, (str, bytes)) or hasattr(value, "ListFields") else value:
                broken = _no_text(part) if field.type == field.TYPE_MESSAGE else part
                if isinstance(broken, bytes):
                    return broken
    return None


class OnnxModule(nn.Module):
    """A network that an ONNX graph describes.

    Called with the graph's inputs, in order or by name, it returns its result, or a tuple of several. Floating
    initializers are parameters, under their names with dots as paths, so that a network that PyTorch or gpunn has
    written has the keys of its own state_dict; running statistics of batch norm, and what gpunn wrote as a buffer, are
    buffers. Single numbers without a dimension in files of others, and what is read in Python, such as the scales of
    Resize, are constants. In training mode dropout drops out, and batch norm takes the statistics of the batch and
    moves the running ones.
    """

    def __init__(self, model: Any):
        super().__init__()
        versions = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}
        if model.functions:
            model = needed("onnx.inliner", "gpunn.onnx.load").inline_local_functions(model)
        graph = Graph(model.graph, versions)
        self._graph = _Opaque(graph)
        self._where: dict[str, tuple[nn.Module, str]] = {}
        metadata = {p.key: p.value for p in model.metadata_props}
        buffers = _names(metadata.get(BUFFERS, "[]")) | {
            node.inputs[i]
            for node in graph.nodes
            for i in _STATISTICS.get(node.kind, ())
            if i < len(node.inputs) and not node.attributes.get("training_mode", 0)
        }
        numbers = model.producer_name != "gpunn"
        read = _read_in_python(graph)
        for name, array in list(graph.initializers.items()):
            floating = array.dtype in (np.float16, np.float32, np.float64) or array.dtype.name == "bfloat16"
            if name in buffers or (floating and name not in read and (array.ndim or not numbers)):
                self._put(name, graph.initializers.pop(name), name in buffers)

    def _put(self, name: str, array: Any, buffer: bool) -> None:
        """Keep an initializer as a parameter or a buffer, at the path that its name is."""
        *path, last = name.split(".") if all(name.split(".")) else [name.replace(".", "_") or "_"]
        module: nn.Module = self
        for part in path:
            child = module._modules.get(part)
            if child is None:
                if hasattr(module, part):
                    break
                child = nn.Module()
                module.add_module(part, child)
            module = child
        else:
            if not hasattr(module, last):
                return self._keep(name, module, last, array, buffer)
        stem = number = name.replace(".", "_")  # its place is taken
        count = 0
        while hasattr(self, number):
            number, count = f"{stem}_{count}", count + 1
        return self._keep(name, self, number, array, buffer)

    def _keep(self, name: str, module: nn.Module, key: str, array: Any, buffer: bool) -> None:
        tensor = gpunn.tensor(array)
        if buffer:
            module.register_buffer(key, tensor)
        else:
            module.register_parameter(key, nn.Parameter(tensor))
        self._where[name] = module, key

    @property
    def device(self) -> Any:
        """Where the parameters are; the default device if there are none."""
        for tensor in (*self.parameters(), *self.buffers()):
            return tensor.device
        return gpunn.get_default_device()

    @property
    def input_names(self) -> list[str]:
        """The names of what it is called with."""
        return list(self._graph.content.input)

    @property
    def output_names(self) -> list[str]:
        """The names of its results."""
        return list(self._graph.content.output)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Compute the graph.

        Raises:
            TypeError: an input is missing, there are too many, or one is no tensor.
        """
        graph = self._graph.content
        values = dict(zip(graph.input, inputs))
        if len(inputs) > len(graph.input) or set(named) - set(graph.input) or set(values) & set(named):
            raise TypeError(f"the network takes {', '.join(graph.input)}; got {len(inputs)} inputs and {list(named)}")
        values |= named
        if missing := [n for n in graph.input if n not in values]:
            raise TypeError(f"the network needs the inputs {', '.join(graph.input)}; missing: {', '.join(missing)}")
        for name, x in values.items():
            if not isinstance(x, (TensorBase, list)) and x is not None:
                raise TypeError(f"the input {name} is {type(x).__name__}; expected a tensor")
        state = {name: getattr(module, key) for name, (module, key) in self._where.items()}
        found = graph.run(state | values, self)
        results = [gpunn.tensor(y, device=self.device) if isinstance(y, np.ndarray) else y for y in found]
        return results[0] if len(results) == 1 else tuple(results)

    def extra_repr(self) -> str:
        """What it is called with, what it returns, and how many operators it has."""
        graph = self._graph.content
        return f"{', '.join(graph.input)} -> {', '.join(graph.output)}, {len(graph.nodes)} operators"


class _Opaque:
    """Holds a graph, which never changes, so that plans need not look at it before each step."""

    __slots__ = ("content",)

    def __init__(self, content: Graph):
        self.content = content


def _names(text: str) -> set[str]:
    """Names in JSON; none where it is damaged, which costs no more than a buffer that is trained."""
    try:
        found = json.loads(text)
    except ValueError:
        return set()
    return {n for n in found if isinstance(n, str)} if isinstance(found, list) else set()


def _read_in_python(graph: Graph) -> set[str]:
    """The names of values that nothing but Python reads."""
    host: set[str] = set()
    other = set(graph.output)
    for node in graph.nodes:
        for i, name in enumerate(node.inputs):
            (host if i in node.operator.host else other).add(name)
    return host - other
