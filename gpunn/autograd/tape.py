"""The tape: the storage that every tensor has, the nodes that record ops, and `apply`, which runs one op."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from weakref import ref

from gpunn.backend.device import device
from gpunn.backend.dtypes import dtype
from gpunn.backend.memory_format import forward_last, gives_last
from gpunn.backend.spec import Size, Spec

from .anomaly import anomaly, forward_call
from .mode import state

if TYPE_CHECKING:
    from gpunn.ops.base import Op
    from gpunn.tensor import Tensor

_count = itertools.count()
_MANY = 32
"""So many views are remembered before those that are gone are forgotten."""
_META = device("meta")


class TensorBase:
    """What `apply` and the engine need of a tensor; `gpunn.Tensor` adds the methods."""

    __slots__ = (
        *("__weakref__", "_base", "_data", "_grad", "_hooks", "_index", "_node", "_requires_grad", "_spec", "_version"),
        "_view",
    )
    _data: Any
    """The backend's array; while tracing, the tracer's handle."""
    _spec: Spec
    _requires_grad: bool
    _grad: Tensor | None
    _node: Node | None
    """The node that made this tensor, None for a leaf."""
    _index: int
    """Which of the node's results this tensor is."""
    _version: list[int]
    """How often the memory was written to; shared with every view of that memory, to which weak references follow."""
    _base: Tensor | None
    """For a view, the tensor whose memory this is."""
    _view: tuple[Any, Tensor] | None
    """For a view, the op and what it is a view of; the op is None where the view has no history (`detach`)."""
    _hooks: dict[int, Any] | None

    @property
    def shape(self) -> Size:
        """The size along each dimension."""
        shape = self._spec.shape
        if type(shape) is not Size:
            shape = self._spec.shape = Size(shape)
        return shape

    @property
    def dtype(self) -> dtype:
        """The type of the elements."""
        return self._spec.dtype

    @property
    def device(self) -> device:
        """Where the elements live."""
        return self._spec.device

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._spec.shape)


_tensor_class: type[TensorBase] = TensorBase
_allocate = object.__new__


def set_tensor_class(cls: type[TensorBase]) -> None:
    """Name the class of the tensors that ops return; `gpunn.tensor` calls this once."""
    global _tensor_class
    _tensor_class = cls


def wrap(data: Any, spec: Spec, requires_grad: bool = False, cls: type[TensorBase] | None = None) -> Tensor:
    """A leaf tensor around a backend array."""
    t: Any = _allocate(cls or _tensor_class)
    t._data = data
    t._spec = spec
    t._requires_grad = requires_grad
    t._grad = t._node = t._base = t._view = t._hooks = None
    t._index = 0
    t._version = [-1] if state.inference else [0]
    return t


def alias(x: Any, node: Node | None = None, index: int = 0) -> Tensor:
    """Another tensor on the same memory, made by `node`, or detached where that is None."""
    t: Any = wrap(x._data, x._spec)
    t._node, t._index, t._requires_grad = node, index, node is not None
    show(t, None, x)
    return t


def show(t: Any, op: Op | None, source: Any) -> None:
    """Make `t` known as a view of `source`, whose memory it has."""
    t._base = source if source._base is None else source._base
    t._view = (op, source)
    t._version = cell = source._version
    cell.append(ref(t))
    n = len(cell)
    if n >= _MANY and not n & (n - 1):
        cell[1:] = [r for r in cell[1:] if r() is not None]


def views(x: Any) -> list[Any]:
    """All views of the memory of `x` that are still there, `x` itself among them if it is one.

    Not those that a given up trace has made: they have no elements.
    """
    there = [t for t in (r() for r in x._version[1:]) if t is not None and t._version is x._version]
    return [t for t in there if type(t._data) is type(x._data)]


def count_nodes() -> int:
    """A number that is larger than the `order` of each node that there is, and smaller than that of each later one."""
    return next(_count)


def as_before(x: Any, edge: Any) -> Any:
    """A saved tensor that was computed again, with the history that it had: `edge` is where its gradient goes."""
    if edge is None:
        return x
    return alias(x, *edge) if isinstance(edge, tuple) else edge


class Node:
    """One recorded op: its saved values, and where its inputs' gradients go.

    Attributes:
        op: the op.
        inputs: for each input the saved tensor, or a Spec, number or None; None when they were freed; and where they
            were dropped, what brings them back.
        saved: (place, version, count) for each saved input: the version it had, and its count of writes then.
        edges: for each input where its gradient goes: ``(node, index)``, a leaf tensor, or None.
        specs: the results' specs; `single` if the op gives one result and not a tuple.
        outputs: for each result (array, version, count) where the op saves it; never the tensor, which holds the node.
        hooks: for each result that has some, the functions to call with its gradient.
        order: counts up; a node comes after all that it depends on.
        layer: while a step is traced or profiled, the path of the module that it belongs to.
        made: where it was recorded under anomaly detection, the traceback of the call.
        written: while a step is traced, the node of the graph that was written down last: of an op, its own.
    """

    layer: str
    made: str
    written: Any
    __slots__ = (
        *("edges", "hooks", "inputs", "layer", "made", "op", "order", "outputs", "saved", "single", "specs", "written"),
    )

    def __init__(self, op: Any, inputs: tuple[Any, ...], result: Any):
        self.op = op
        self.single = isinstance(result, Spec)
        self.specs: tuple[Spec, ...] = (result,) if self.single else result
        self.order = next(_count)
        self.outputs: Any = None
        self.hooks: dict[int, dict[int, Any]] | None = None
        if state.watcher is not None:
            self.layer, self.written = state.watcher.layer, state.watcher.written
        if anomaly.enabled and state.tracer is None:
            self.made = forward_call()
        kept: list[Any] = []
        edges: list[Any] = []
        some_constant = False
        for x in inputs:
            if isinstance(x, TensorBase):
                kept.append(x._spec)
                if x._requires_grad:
                    edges.append(x if x._node is None else (x._node, x._index))
                    continue
            else:
                kept.append(x)
            edges.append(None)
            some_constant = True
        saved: list[tuple[int, list[int], int]] = []
        only_for = op.saved_for if some_constant else ()
        for i in op.saved:
            x = inputs[i]
            if not isinstance(x, TensorBase) or (only_for and not [j for j in only_for[i] if edges[j] is not None]):
                continue
            version = x._version
            if version[0] < 0:
                raise RuntimeError(
                    f"{op.name} would save a tensor made in inference_mode() for its gradient; "
                    "make it under no_grad(), or clone() it here"
                )
            kept[i] = x
            saved.append((i, version, version[0]))
        self.inputs: Any = kept
        self.saved = saved
        self.edges = edges

    @property
    def name(self) -> str:
        """The op's name."""
        return str(self.op.name)

    @property
    def next_functions(self) -> tuple[Any, ...]:
        """The nodes that made the inputs, as ``(node, index)``; PyTorch's name."""
        return tuple(e if isinstance(e, tuple) else (None, 0) for e in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name}Backward>"

    def saved_inputs(self) -> list[Any]:
        """The inputs for the gradient, after a check that nobody wrote to them since."""
        if self.inputs is None:
            raise RuntimeError(
                f"the values that {self.name} saved were freed by an earlier backward(); "
                "to go through the graph twice, give the first call retain_graph=True"
            )
        if not isinstance(self.inputs, list):
            self.inputs.restore(self)
        for i, version, count in self.saved:
            x = self.inputs[i]
            if x._version is not version or version[0] != count:
                raise self._changed(f"input {i}", x._spec)
        found: list[Any] = self.inputs
        return found

    def saved_outputs(self) -> Any:
        """The results for the gradient: tensors where the op saves them, Specs otherwise."""
        if self.outputs is None:
            return self.specs[0] if self.single else self.specs
        results: list[Any] = []
        for i, (kept, spec) in enumerate(zip(self.outputs, self.specs)):
            if kept is None:
                results.append(spec)
                continue
            data, version, count = kept
            if version[0] != count:
                raise self._changed("its result", spec)
            t: Any = wrap(data, spec, requires_grad=spec.dtype.is_floating_point)
            t._node, t._index, t._version = self, i, version
            results.append(t)
        return results[0] if self.single else tuple(results)

    def _changed(self, what: str, spec: Spec) -> RuntimeError:
        return RuntimeError(
            f"{self.name} saved {what} ({spec!r}) for its gradient, and it was modified by an inplace operation since; "
            "write y = x + ... instead of x += ..., or clone() it before"
        )

    def release(self) -> None:
        """Let go of the saved values; where there are none, the node may be gone through again."""
        if self.saved or self.outputs is not None:
            self.inputs = None
            self.outputs = None

    def drop(self, source: Any) -> None:
        """Let go of the saved values until they are needed, when ``source.restore(self)`` has this node `take` them."""
        if self.saved or self.outputs is not None:
            self.inputs = source
            self.outputs = None

    def take(self, again: Node) -> None:
        """Take the values that a node has saved that did the same again; what they were made of stays as it was."""
        inputs = again.saved_inputs()
        before = {i: (i, version, count) for i, version, count in self.saved}
        self.saved = []
        for i, version, count in again.saved:
            inputs[i] = as_before(inputs[i], self.edges[i])
            leaf = isinstance(self.edges[i], TensorBase)  # a parameter, which may have been changed since
            self.saved.append(before[i] if leaf else (i, version, count))
        self.inputs, self.outputs = inputs, again.outputs


def apply(op: Op, *inputs: Any) -> Any:
    """Run one op on tensors, Python numbers and None, and record it where a gradient will be wanted.

    This is the only way to compute: eager work and tracing both pass here. Returns a tensor, or a tuple of tensors
    for an op with several results.

    An elementwise op takes CPU tensors without dimensions for the numbers that they hold, beside tensors of a device.

    Raises:
        RuntimeError: the tensors live on different devices, or their shapes do not fit.
    """
    if state.autocast is not None:
        inputs = state.autocast(op, inputs)
    here: device | None = None
    tracked = False
    specs = []
    arrays = []
    for x in inputs:
        if isinstance(x, TensorBase):
            spec = x._spec
            if spec.device is not here:
                if here is not None:
                    return apply(op, *on_one_device(op, inputs))
                here = spec.device
            if x._requires_grad:
                tracked = True
            specs.append(spec)
            arrays.append(x._data)
        else:
            specs.append(x)
            arrays.append(x)
    if here is None:
        if inputs and not op.from_number:
            raise TypeError(
                f"{op.name} takes a tensor, got {type(inputs[0]).__name__}; make one with gpunn.tensor(...)"
            )
        here = op.device  # type: ignore[attr-defined]  # an op without tensors says where its result is made
    result = op.shape(*specs)
    if state.tracer is not None:
        data = state.tracer(op, inputs, result)
    elif here is _META:
        data = here.backend.results(result, gives_last(op, arrays, result))
    elif gives_last(op, arrays, result):
        data = state.quietly(forward_last, op, here.backend, arrays, result)
    else:
        data = state.quietly(op.forward, here.backend, *arrays)
    record = tracked and state.grad_enabled and op.differentiable
    if isinstance(result, Spec):
        if not result.shape and state.tracer is None:
            data = result.device.backend.asarray(data)  # NumPy gives scalars for 0-d results
        t: Any = _allocate(_tensor_class)
        t._data = data
        t._spec = result
        t._grad = t._hooks = None
        t._index = 0
        if op.view:
            show(t, op, inputs[0])
        else:
            t._base = t._view = None
            t._version = [-1] if state.inference else [0]
        if record:
            t._requires_grad = True
            t._node = node = Node(op, inputs, result)
            if op.saves_output and (not op.output_for or any(node.edges[i] is not None for i in op.output_for)):
                node.outputs = ((data, t._version, t._version[0]),)
            if state.packing is not None:
                _pack(node)
        else:
            t._requires_grad = False
            t._node = None
        return t
    results = []
    recorded = Node(op, inputs, result) if record else None
    for i, (array, spec) in enumerate(zip(data, result)):
        if not spec.shape and state.tracer is None:
            array = spec.device.backend.asarray(array)
        t = wrap(array, spec)
        if op.view:
            show(t, op, inputs[0])
            t._index = i
        if recorded is not None and spec.dtype.is_floating_point:
            t._node, t._index, t._requires_grad = recorded, i, True
        results.append(t)
    if recorded is not None and (keeps := op.saves_output):
        places = keeps if isinstance(keeps, tuple) else range(len(results))
        recorded.outputs = [
            (t._data, t._version, t._version[0]) if i in places else None for i, t in enumerate(results)
        ]
    if recorded is not None and state.packing is not None:
        _pack(recorded)
    return tuple(results)


def _pack(node: Node) -> None:
    """Have what the node saved packed; a plan knows itself what it keeps."""
    if state.tracer is None and not isinstance(state.packing, str):
        state.packing.drop(node)


def on_one_device(op: Op, inputs: tuple[Any, ...]) -> list[Any]:
    """The inputs with CPU tensors without dimensions on the device of the others, where the op allows that.

    Raises:
        RuntimeError: it does not, or there are several other devices.
    """
    tensors = [x for x in inputs if isinstance(x, TensorBase)]
    there = {x.device for x in tensors if x.shape or x.device.type != "cpu"}
    if len(there) != 1 or not op.takes_numbers:
        raise mixed_devices(op, inputs)
    (device,) = there
    return [x.to(device) if isinstance(x, TensorBase) else x for x in inputs]  # type: ignore[attr-defined]


def mixed_devices(op: Any, inputs: tuple[Any, ...]) -> RuntimeError:
    """The error for tensors on different devices in one op."""
    found = [f"{x._spec.dtype.name}{list(x.shape)} on {x.device}" for x in inputs if isinstance(x, TensorBase)]
    return RuntimeError(
        f"{op.name} needs its tensors on one device, got {' and '.join(found)}; move one with .to(device)"
    )
