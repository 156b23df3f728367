"""Tracing: a step is run on tensors that have a shape but no elements, and every op is written down."""

from __future__ import annotations

import gc
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend.device import device
from gpunn.backend.dtypes import float32
from gpunn.backend.memory_format import lies_last
from gpunn.backend.spec import Spec

from .graph import Assign, Compute, Graph, ReduceEnd, ReduceStart, SpreadParameters, Update, Value
from .strides import is_last, strides_of

_PACKAGE = str(Path(__file__).resolve().parents[1])


class TraceError(RuntimeError):
    """The step does something that has no place in a graph; the message says what, where, and what to do."""


class NotPlanned(Exception):
    """The step works op by op, but has no place in a graph; the message says why."""


class Call(int):
    """The number of a random draw, which is another one at each step."""

    generator: Any
    stream: int


class Tracer:
    """What `gpunn.autograd.apply` calls in the place of computing.

    Args:
        graph: where everything is written down.
        names: for each array of a parameter or a buffer, by its id, the name in the model.
        layers: for each module, by its id, its path in the model.

    Attributes:
        layer: the path of the module whose forward, or the gradient of it, is being run.
        written: the node that was written down last.
        function: the name of the `gpunn.autograd.Function` that is being run, else empty.
        modules: those whose forward was run.
        used: the tensors that were there before, each with the gradient that it had then.
        read_from: those whose elements were read.
        generators: those that were drawn from, and where they stood.
        several: whether the step returned a tuple.
        kept: the parameters whose gradients are results.
        device: where it all is; None as long as nothing is written down.
    """

    def __init__(self, graph: Graph, names: dict[int, str], layers: dict[int, str]):
        self.graph = graph
        self.names = names
        self.layers = layers
        self.layer = ""
        self.written: Any = None
        self.function = ""
        self.states: dict[int, Value] = {}
        self.modules: dict[int, Any] = {}
        self.used: dict[int, tuple[Any, Any]] = {}
        self.read_from: list[Any] = []
        self.device: Any = None
        self.several = False
        self.kept: list[Any] = []
        self._written: set[int] = set()
        self.generators: dict[int, tuple[Any, dict[str, Any]]] = {}

    def enter(self, module: Any) -> str:
        """A module's forward begins; the path of the one around it.

        Raises:
            NotPlanned: it has hooks, which want to see elements.
        """
        self.modules[id(module)] = module
        if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
            raise NotPlanned(f"the layer {self.layers.get(id(module)) or type(module).__name__} has a hook")
        outside = self.layer
        self.layer = self.layers.get(id(module), outside)
        return outside

    def enter_gradient(self, node: Any, dys: Sequence[Any]) -> None:
        """The gradient of what a node of the tape did comes next."""
        self.layer = node.layer

    def give_gradient(self, node: Any, place: int, gradient: Any) -> None:
        """What of it goes to an input."""

    def __call__(self, op: Any, inputs: Sequence[Any], result: Any) -> Any:
        """Write an op down; its results are values."""
        single = isinstance(result, Spec)
        specs = (result,) if single else tuple(result)
        self._stay(op, specs[0], *(x._spec for x in inputs if isinstance(x, TensorBase)))
        values = tuple([self._of(x) if isinstance(x, TensorBase) else x for x in inputs])
        node = Compute(op, values, specs, single, self.layer, state.recomputing)
        if specs[0].ndim == 4 and is_last(node, {}):
            for y in node.outputs:
                y.last = y.spec.ndim == 4
        self.graph.nodes.append(node)
        self.written = node
        return node.outputs[0] if single else node.outputs

    def _stay(self, op: Any, *specs: Spec) -> None:
        """Hold a step to one device: a plan has one backend, and one arena.

        Raises:
            NotPlanned: an op is on another one, or from one to another.
        """
        self.device = self.device or specs[0].device
        for spec in specs:
            if spec.device is not self.device:
                raise NotPlanned(f"the step works on {self.device} and on {spec.device} ({op.name}, {spec!r})")

    def assign(self, target: Any, value: Any) -> None:
        """Write a write down."""
        self._written.add(id(target._version))
        self.graph.nodes.append(Assign(self._of(target), self._of(value)))

    def step(self, optimizer: Any, closure: Any) -> None:
        """Write an optimizer's step down.

        Raises:
            TraceError: it has a closure.
        """
        if closure is not None:
            raise TraceError("optimizer.step(closure) inside a traced step; call loss.backward() before step() instead")
        params = [p for group in optimizer.param_groups for p in group["params"] if p._grad is not None]
        self.graph.nodes.append(Update(optimizer, params, tuple(self._of(p._grad) for p in params)))

    def reduce(self, buckets: Sequence[Sequence[Any]]) -> list[list[Any]]:
        """Write down that gradients are summed over all ranks, bucket by bucket; the tensors of the sums."""
        starts = [ReduceStart(tuple([self._of(g) for g in bucket])) for bucket in buckets]
        ends = [ReduceEnd(start) for start in starts]
        self.graph.nodes += [*starts, *ends]
        return [[wrap(y, y.spec) for y in end.outputs] for end in ends]

    def spread(self, groups: list[list[Any]]) -> None:
        """Write down that parameters come to all ranks from the one that has changed them."""
        self.graph.nodes.append(SpreadParameters(groups))

    def run(self, body: Callable[..., Any], keep: Sequence[Any]) -> None:
        """Run the step; see `trace`."""
        result = body(*(wrap(v, v.spec) for v in self.graph.arguments))
        self.several = isinstance(result, tuple)
        for t in result if isinstance(result, tuple) else (result,):
            if not isinstance(t, TensorBase):
                raise TraceError(
                    f"the step returns a {type(t).__name__}; expected tensors: a loss, or (loss, aux, ...)"
                )
            self.graph.results.append(self._of(t))
        self.kept = [p for p in keep if p._grad is not None]
        self.graph.results += [self._of(p._grad) for p in self.kept]

    def keep_state(self, generator: Any) -> None:
        """Note where a generator stands before its first draw, to put it back there."""
        if id(generator) not in self.generators:
            self.generators[id(generator)] = generator, generator.get_state()

    def next_call(self, generator: Any, stream: int, number: int) -> Call:
        """The number of a draw that the replay makes anew."""
        call = Call(number)
        call.generator, call.stream = generator, stream
        self.graph.calls.append(call)
        return call

    def is_state(self, tensor: Any) -> bool:
        """Whether a tensor has elements, and was there before the step."""
        return not isinstance(tensor._data, Value)

    def is_written(self, tensor: Any) -> bool:
        """Whether the step makes a tensor's elements, or has given it other ones."""
        return isinstance(tensor._data, Value) or id(tensor._version) in self._written

    def is_constant(self, tensor: Any) -> bool:
        """Whether a tensor's elements are known before the step, and no gradient goes there."""
        return not self.is_written(tensor) and not (tensor._requires_grad and state.grad_enabled)

    def strides(self, tensor: Any) -> tuple[int, ...]:
        """The steps in memory of a tensor, in elements."""
        array = tensor._data
        steps = strides_of(array) if isinstance(array, Value) else tensor.device.backend.strides(array)
        return tuple(steps)

    def leave(self, what: str) -> None:
        """Give up the trace; the step is done op by op.

        Raises:
            NotPlanned: always.
        """
        raise NotPlanned(what)

    def refuse(self, what: str) -> None:
        """Refuse what happens in the step.

        Raises:
            TraceError: always.
        """
        raise TraceError(
            f"{what} within the step, {_user_line()}; a plan would not do that again. Do it outside of the step, or "
            "do without plans (Trainer(..., eager=True); --eager of gpunn train, evaluate and predict)"
        )

    def read(self, tensor: Any) -> None:
        """Note that the elements of a tensor are read, and refuse to give those that the step makes.

        Raises:
            TraceError: there are none.
            NotPlanned: there are none, in a `gpunn.autograd.Function`.
        """
        if not self.is_written(tensor):
            self.read_from.append(tensor)
            return
        if self.function:
            raise NotPlanned(f"the autograd.Function {self.function} reads the elements of a tensor in Python")
        raise TraceError(
            f"the step reads the elements of a tensor ({tensor._spec!r}) in Python, {_user_line()}; a traced step has "
            "none. Compute with tensors (gpunn.where in the place of if), return the tensor and read it outside, or "
            "do without plans (Trainer(..., eager=True); --eager of gpunn train, evaluate and predict)"
        )

    def _of(self, tensor: Any) -> Value:
        """The value of a tensor; where it was there before the step, its array is a state of the graph."""
        array = tensor._data
        if isinstance(array, Value):
            return array
        if id(tensor) not in self.used:
            self.used[id(tensor)] = tensor, tensor._grad
        found = self.states.get(id(array))
        if found is None:
            found = Value(tensor._spec, state=array, name=self.names.get(id(array), ""))
            self.states[id(array)] = found
            self.graph.states.append(found)
        return found


def trace(
    body: Callable[..., Any],
    arguments: Sequence[Any],
    names: dict[int, str] | None = None,
    layers: dict[int, str] | None = None,
    keep: Sequence[Any] = (),
) -> tuple[Graph, Tracer]:
    """Run `body` on tensors without elements, like `arguments`.

    Generators of random numbers stand where they stood before, and gradients of what was there are what they were.

    Args:
        body: the step.
        arguments: tensors; their elements are not looked at.
        names: as for `Tracer`.
        layers: likewise.
        keep: parameters whose gradients are results too, behind the others; `Tracer.kept` says which have one.

    Returns:
        The graph, and what has written it down.

    Raises:
        TraceError: the body returns something else than tensors, or does what has no place in a graph.
        NotPlanned: it works op by op, but not in a graph.
    """
    graph = Graph([_argument(a, i) for i, a in enumerate(arguments)])
    tracer = Tracer(graph, names or {}, layers or {})
    outer = state.tracer, state.watcher, state.autocast
    state.tracer = state.watcher = tracer
    state.autocast = None if state.autocast is None else state.autocast.anew()
    try:
        tracer.run(body, keep)
    finally:
        state.tracer, state.watcher, state.autocast = outer
        for tensor, gradient in tracer.used.values():
            tensor._grad = gradient
        for generator, before in tracer.generators.values():
            generator.set_state(before)
    _nobody_keeps(graph)
    return graph, tracer


def _argument(tensor: Any, place: int) -> Value:
    value = Value(tensor._spec, place=place)
    value.last = tensor._data is not None and lies_last(tensor._data)
    return value


def _nobody_keeps(graph: Graph) -> None:
    """See to it that nothing but the graph holds its values: a tensor that somebody keeps would never get elements.

    Raises:
        NotPlanned: somebody does.
    """
    if _kept_outside(graph) and (gc.collect(), _kept_outside(graph))[1]:
        raise NotPlanned("something keeps a tensor of the step in Python")


def _kept_outside(graph: Graph) -> bool:
    nobodys = Value(Spec((), float32, device("cpu")))
    held = Counter(map(id, (*graph.arguments, *graph.results, *graph.states)))
    values = {id(nobodys): nobodys}
    for node in graph.nodes:
        held.update(map(id, (*node.inputs, *node.outputs)))
    values.update((id(v), v) for node in graph.nodes for v in node.outputs)
    values.update((id(v), v) for v in graph.arguments)
    found = [(v, sys.getrefcount(v)) for v in values.values()]
    ours = found[0][1] - 1  # of the value that only the variable `nobodys` holds besides
    return any(count - ours > held[id(v)] for v, count in found[1:])


def _user_line() -> str:
    """The line of the user's code that is being run."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_PACKAGE):
            return f'at {frame.filename}:{frame.lineno}: "{frame.line}"'
    return "in gpunn itself"
