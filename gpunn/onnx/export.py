"""A network as an ONNX graph: traced on tensors without elements, and op by op written as operators."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from typing import IO, Any

from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend.spec import Spec
from gpunn.io.atomic import write_bytes
from gpunn.nn import Module
from gpunn.ops.recurrent import steps_apart
from gpunn.optional import needed
from gpunn.plan import Step
from gpunn.plan.graph import Assign, Compute, Graph, Value
from gpunn.plan.simplify import without_dead_code
from gpunn.plan.trace import NotPlanned, TraceError, trace

from .operators import TO_ONNX
from .writer import Call, ExportError, Writer, tensor_proto, tensor_type

OPSET = 18
"""The version of the operators that is written unless told otherwise, as PyTorch's."""
BUFFERS = "gpunn.buffers"
"""Under this name the metadata of a model has the names of its buffers."""


def export(
    model: Module | Step,
    args: Any = (),
    f: str | os.PathLike[str] | IO[bytes] | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamic_axes: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> Any:
    """Write a network as an ONNX model, in evaluation mode.

    It is traced on tensors like `args`, without their elements; what Python decides on the way is decided then.
    Parameters and buffers are initializers under their keys of the state_dict; results are equal within rounding.

    Args:
        model: a network, or a plan of one (`gpunn.EvalStep`). It is left as it is.
        args: what it is called with: a tensor, or a tuple. What is no tensor becomes part of the graph.
        f: a path, or a file that is open for bytes; if None, nothing is written.
        kwargs: likewise by name.
        input_names: of the tensors among the arguments; those of ``forward``'s parameters if not given.
        output_names: of the results, nested ones one after the other; ``"output"``, ``"output_1"``, ... if not given.
        opset_version: the version of ONNX's operators, from 18 on.
        dynamic_axes: sizes that are open: for inputs by name ``{axis: name}``, or a list of axes. Axes of one name have
            one size. What is said of results is ignored; it follows.
        dynamic_shapes: likewise as a tuple or dict of ``{axis: name}`` for the arguments, or None for one of them.

    Returns:
        The ``onnx.ModelProto``.

    Raises:
        ImportError: onnx is not installed.
        ExportError: the network has no graph, or an op no operator; the message names it.
    """
    onnx = needed("onnx", "gpunn.onnx.export")
    newest = onnx.defs.onnx_opset_version()
    opset = OPSET if opset_version is None else opset_version
    if not OPSET <= opset <= newest:
        raise ValueError(f"opset_version: expected {OPSET} to {newest}, which this onnx knows, got {opset}")
    network = model.model if isinstance(model, Step) else model
    if not isinstance(network, Module):
        raise TypeError(f"gpunn.onnx.export takes a module or an EvalStep, got {type(model).__name__}")
    arguments = _Arguments(network, args, dict(kwargs or {}), input_names)
    symbols = _symbols(arguments, dynamic_axes, dynamic_shapes)
    variants = _variants(arguments.specs, symbols)
    modes = [(m, m.training) for m in network.modules()]
    network.eval()
    try:
        graphs = [_traced(network, arguments, specs) for specs in variants]
    finally:
        for module, mode in modes:
            module.training = mode
    return _write(onnx, network, graphs, arguments, symbols, output_names, opset, f)


class _Arguments:
    """What a network is called with: tensors, and all else between them.

    Attributes:
        names: of the tensors.
        specs: their shapes and types.
    """

    def __init__(self, network: Module, args: Any, kwargs: dict[str, Any], names: Sequence[str] | None):
        self._args = list(args) if isinstance(args, (tuple, list)) else [args]
        self._kwargs = kwargs
        self._open = [k for k, x in enumerate(self._args) if isinstance(x, TensorBase)]
        self._named = [k for k, x in kwargs.items() if isinstance(x, TensorBase)]
        tensors = [*(self._args[k] for k in self._open), *(kwargs[k] for k in self._named)]
        if not tensors:
            raise TypeError("gpunn.onnx.export: there is no tensor among the arguments; args=(x,) gives one")
        self.specs = [t._spec for t in tensors]
        found = [*_parameters(network, len(self._args)), *self._named]
        self.parameters = [found[k] for k in self._open] + self._named
        self.names = list(names) if names is not None else list(self.parameters)
        if len(self.names) != len(tensors) or len(set(self.names)) != len(tensors):
            raise ValueError(f"input_names: expected {len(tensors)} different names, got {self.names}")

    def call(self, network: Module, tensors: Sequence[Any]) -> Any:
        """Call the network with other tensors."""
        args, kwargs = list(self._args), dict(self._kwargs)
        for k, t in zip(self._open, tensors):
            args[k] = t
        kwargs.update(zip(self._named, tensors[len(self._open) :]))
        return network(*args, **kwargs)


def _parameters(network: Module, count: int) -> list[str]:
    """The names of the first parameters of a network's forward."""
    found: list[str] = []
    for name, p in inspect.signature(network.forward).parameters.items():
        if p.kind is p.VAR_POSITIONAL:
            found += [f"{name}_{i}" for i in range(count - len(found))]
        elif p.kind is not p.VAR_KEYWORD:
            found.append(name)
    return [*found, *(f"input_{i}" for i in range(len(found), count))][:count]


Symbols = dict[str, list[tuple[int, int]]]
"""The names of open sizes, each with the places where they are: (input, axis)."""


def _symbols(arguments: _Arguments, dynamic_axes: Any, dynamic_shapes: Any) -> Symbols:
    """The open sizes.

    Raises:
        ValueError: an input or an axis that there is not.
    """
    given: dict[int, Any] = {}
    if dynamic_shapes is not None:
        if isinstance(dynamic_shapes, Mapping):
            places = arguments.parameters
            unknown = [n for n in dynamic_shapes if n not in places]
            given = {places.index(n): a for n, a in dynamic_shapes.items() if n in places}
        else:
            unknown = [] if len(dynamic_shapes) == len(arguments.specs) else [f"{len(dynamic_shapes)} of them"]
            given = dict(enumerate(dynamic_shapes))
        if unknown:
            raise ValueError(f"dynamic_shapes: expected an entry for {arguments.parameters}, got {', '.join(unknown)}")
    for name, axes in (dynamic_axes or {}).items():
        if name in arguments.names:  # those of results follow
            given[arguments.names.index(name)] = axes
    found: Symbols = {}
    for place, axes in given.items():
        rank = arguments.specs[place].ndim
        named = axes if isinstance(axes, Mapping) else {a: f"{arguments.names[place]}_{a}" for a in axes or ()}
        for axis, symbol in named.items():
            if not -rank <= axis < rank:
                raise ValueError(f"{arguments.names[place]} has {rank} dimensions, no axis {axis} that could be open")
            found.setdefault(str(getattr(symbol, "__name__", symbol)), []).append((place, axis % rank))
    return found


def _variants(specs: list[Spec], symbols: Symbols) -> list[list[Spec]]:
    """Shapes to trace with: as given, with each open size doubled alone, and with all of them at three times."""

    def scaled(factors: dict[str, int]) -> list[Spec]:
        shapes = [list(s.shape) for s in specs]
        for symbol, places in symbols.items():
            size = max(2, specs[places[0][0]].shape[places[0][1]])  # one of 1 is not like others: it is broadcast
            for place, axis in places:
                shapes[place][axis] = size * factors.get(symbol, 1)
        return [s.like(tuple(shape)) for s, shape in zip(specs, shapes)]

    if not symbols:
        return [specs]
    return [scaled({}), *(scaled({s: 2}) for s in symbols), scaled(dict.fromkeys(symbols, 3))]


def _traced(network: Module, arguments: _Arguments, specs: list[Spec]) -> Graph:
    """The network as a graph.

    Raises:
        ExportError: it has none.
    """
    names = {id(t._data): name for name, t in network.named_buffers()}
    names |= {id(t._data): name for name, t in network.named_parameters()}
    layers = {id(m): name for name, m in network.named_modules()}

    def body(*tensors: Any) -> Any:
        with no_grad(), steps_apart():
            return tuple(_flat(arguments.call(network, tensors)))

    try:
        graph, _ = trace(body, [wrap(None, s) for s in specs], names, layers)
    except (TraceError, NotPlanned) as error:
        raise ExportError(f"the network has no graph: {error}") from None
    without_dead_code(graph)
    return graph


def _flat(result: Any) -> list[Any]:
    """The tensors of a result, nested ones too."""
    if isinstance(result, TensorBase):
        return [result]
    if isinstance(result, Mapping):
        result = result.values()
    elif not isinstance(result, (tuple, list)):
        if result is None:
            return []
        raise ExportError(f"the network returns a {type(result).__name__}; expected tensors")
    return [t for part in result for t in _flat(part)]


def _write(
    onnx: Any,
    network: Module,
    graphs: list[Graph],
    arguments: _Arguments,
    symbols: Symbols,
    output_names: Sequence[str] | None,
    opset: int,
    f: Any,
) -> Any:
    """The graphs as one of ONNX."""
    graph = graphs[0]
    _check_alike(graphs, symbols)
    outputs = list(output_names or [f"output_{i}" if i else "output" for i in range(len(graph.results))])
    if len(outputs) != len(graph.results):
        raise ValueError(f"output_names: the network has {len(graph.results)} results, got {len(outputs)} names")
    states = [v.name for v in graph.states if v.name]
    if clash := [n for n in {*arguments.names} | {*outputs} if [*arguments.names, *outputs, *states].count(n) > 1]:
        raise ValueError(
            f"an input, a result or a parameter has the name {clash[0]!r} of another one; give other names"
        )
    writer = Writer(opset, [*arguments.names, *outputs, *states])
    names = {id(v): name for v, name in zip(graph.arguments, arguments.names)}
    initializers = []
    for v in graph.states:
        array = v.spec.device.backend.to_numpy(v.state)
        names[id(v)] = v.name or writer.constant(array)
        if v.name:
            initializers.append(tensor_proto(array, v.name))
    dynamic = [
        (
            arguments.names[places[0][0]],
            places[0][1],
            [g.arguments[places[0][0]].spec.shape[places[0][1]] for g in graphs],
        )
        for places in symbols.values()
    ]
    views: list[Call] = []
    for nodes in zip(*(g.nodes for g in graphs)):
        if isinstance(nodes[0], Assign):
            _assign(nodes[0], names, views)
            continue
        if not isinstance(nodes[0], Compute):
            raise ExportError(f"the network does what an ONNX graph does not: {nodes[0].name}")
        call = Call(writer, nodes, names, dynamic)
        _written(call)
        if nodes[0].op.view:
            views.append(call)
    writer.layer = ""
    for v, name in zip(graph.results, outputs):
        writer.nodes.append(onnx.helper.make_node("Identity", [names[id(v)]], [name], name))
    inputs = [
        _described(
            onnx,
            name,
            [g.arguments[i].spec for g in graphs],
            {axis: symbol for symbol, places in symbols.items() for place, axis in places if place == i},
        )
        for i, name in enumerate(arguments.names)
    ]
    results = [_described(onnx, name, [g.results[i].spec for g in graphs], {}) for i, name in enumerate(outputs)]
    made = onnx.helper.make_model(
        onnx.helper.make_graph(writer.nodes, type(network).__name__, inputs, results, initializers),
        producer_name="gpunn",
        opset_imports=[onnx.helper.make_opsetid("", opset)],
    )
    made.ir_version = onnx.helper.find_min_ir_version_for(made.opset_import)
    buffers = [name for name, _ in network.named_buffers() if name in states]
    onnx.helper.set_model_props(made, {BUFFERS: json.dumps(buffers)} if buffers else {})
    _save(onnx, made, f)
    return made


def _written(call: Call) -> None:
    """Write an op; its results get their names.

    Raises:
        ExportError: there is no operator for it.
    """
    node, writer = call.nodes[0], call.writer
    writer.layer = node.layer
    write = TO_ONNX.get(call.name)
    if write is None:
        raise ExportError(f"{call.name} (layer {node.layer or 'the network itself'}) has no ONNX operator here")
    results = write(writer, call)
    for y, name in zip(node.outputs, results if isinstance(results, tuple) else (results,)):
        if name is not None:
            call.names[id(y)] = name


def _assign(node: Assign, names: dict[int, str], views: list[Call]) -> None:
    """A tensor that is written to is another one from here on, and so are the views of it.

    Raises:
        ExportError: it was there before the network was called, or is itself a view.
    """
    target, value = node.inputs
    if target.node is None:
        raise ExportError(f"the network writes into {target.name or 'a tensor'}, which was there before it was called")
    if getattr(target.node.op, "view", False):
        raise ExportError("the network writes through a view of a tensor; write x[...] = y, with the tensor itself")
    names[id(target)] = names[id(value)]
    stale = {id(target)}
    for call in views:
        if id(call.nodes[0].inputs[0]) in stale:
            _written(call)
            stale.update(id(y) for y in call.nodes[0].outputs)


def _save(onnx: Any, made: Any, f: Any) -> None:
    """Check a model, and write it."""
    if made.ByteSize() >= 1 << 31:
        raise ExportError(f"the model takes {made.ByteSize():,} bytes, and one ONNX file can't hold 2 GiB")
    onnx.checker.check_model(made)
    if f is None:
        return
    content = made.SerializeToString()
    if isinstance(f, (str, os.PathLike)):
        write_bytes(f, content)
    else:
        f.write(content)


def _described(onnx: Any, name: str, specs: Sequence[Spec], symbols: dict[int, str]) -> Any:
    """Type and shape of an input or a result; sizes that are not the same in all traces are open."""
    shape: list[Any] = []
    for axis, sizes in enumerate(zip(*(s.shape for s in specs))):
        same = all(n == sizes[0] for n in sizes)
        shape.append(sizes[0] if same and axis not in symbols else symbols.get(axis, f"{name}_{axis}"))
    return onnx.helper.make_tensor_value_info(name, tensor_type(specs[0].dtype.numpy), shape)


def _check_alike(graphs: list[Graph], symbols: Symbols) -> None:
    """See to it that the network does the same for all sizes.

    Raises:
        ExportError: it does not.
    """
    first = _structure(graphs[0])
    for graph in graphs[1:]:
        if _structure(graph) != first:
            raise ExportError(
                f"the network does something else where the sizes {', '.join(symbols)} are others, such as a loop over "
                "one of them; only sizes that it does not look at can be open"
            )


def _structure(graph: Graph) -> list[Any]:
    """Ops and what they are applied to, without sizes."""
    place: dict[int, Any] = {id(v): ("argument", i) for i, v in enumerate(graph.arguments)}
    for v in graph.states:
        bits = v.name or v.spec.device.backend.to_numpy(v.state).tobytes()
        place[id(v)] = ("state", v.name, bits)
    lines: list[Any] = []
    for i, node in enumerate(graph.nodes):
        name = node.op.name if isinstance(node, Compute) else node.name
        lines.append((name, [place[id(x)] if isinstance(x, Value) else type(x) for x in node.inputs]))
        place.update((id(y), ("result", i, k)) for k, y in enumerate(node.outputs))
    return [*lines, [place[id(v)] for v in graph.results]]
