"""Tracing: a step is run on tensors that have a shape but no elements, and every op is written down."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend.dtypes import as_dtype
from gpunn.backend.spec import Spec

from .graph import Assign, Compute, Graph, Update, Value

_PACKAGE = str(Path(__file__).resolve().parents[1])


class TraceError(RuntimeError):
    """The step does something that has no place in a graph; the message says what, where, and what to do."""


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
    """

    def __init__(self, graph: Graph, names: dict[int, str], layers: dict[int, str]):
        self.graph = graph
        self.names = names
        self.layers = layers
        self.layer = ""
        self.states: dict[int, Value] = {}
        self.generators: dict[int, tuple[Any, dict[str, Any]]] = {}

    def enter(self, module: Any) -> str:
        """A module's forward begins; the path of the one around it."""
        outside = self.layer
        self.layer = self.layers.get(id(module), outside)
        return outside

    def __call__(self, op: Any, arrays: Sequence[Any], result: Any) -> Any:
        """Write an op down; its results are values."""
        single = isinstance(result, Spec)
        specs = (result,) if single else tuple(result)
        inputs = tuple([self._value(a, specs[0]) for a in arrays])
        node = Compute(op, inputs, specs, single, self.layer)
        self.graph.nodes.append(node)
        return node.outputs[0] if single else node.outputs

    def assign(self, target: Any, value: Any) -> None:
        """Write a write down."""
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
        """Refuse to give the elements of a traced tensor.

        Raises:
            TraceError: there are none.
        """
        if not isinstance(tensor._data, Value):
            return
        raise TraceError(
            f"the step reads the elements of a tensor ({tensor._spec!r}) in Python, {_user_line()}; a traced step has "
            "none. Compute with tensors (gpunn.where in the place of if), return the tensor and read it outside, or "
            "do without plans (Trainer(..., eager=True); --eager of gpunn train, evaluate and predict)"
        )

    def _of(self, tensor: Any) -> Value:
        found: Value = self._value(tensor._data, tensor._spec)
        return found

    def _value(self, array: Any, like: Spec) -> Any:
        """A value as it is; an array that was there before as a value; numbers and None as they are."""
        if array is None or isinstance(array, (Value, int, float)):
            return array
        found = self.states.get(id(array))
        if found is None:
            spec = Spec(tuple(array.shape), as_dtype(array.dtype), like.device)
            found = Value(spec, state=array, name=self.names.get(id(array), ""))
            self.states[id(array)] = found
            self.graph.states.append(found)
        return found


def trace(
    body: Callable[..., Any],
    arguments: Sequence[Any],
    names: dict[int, str] | None = None,
    layers: dict[int, str] | None = None,
) -> tuple[Graph, Any]:
    """Run `body` on tensors without elements, like `arguments`; the graph, and what it returned.

    Generators of random numbers stand where they stood before.
    """
    values = [Value(a._spec, place=i) for i, a in enumerate(arguments)]
    graph = Graph(values)
    tracer = Tracer(graph, names or {}, layers or {})
    outer, state.tracer = state.tracer, tracer
    try:
        result = body(*(wrap(v, v.spec) for v in values))
        tensors = result if isinstance(result, tuple) else (result,)
        for t in tensors:
            if not isinstance(t, TensorBase):
                raise TraceError(
                    f"the step returns a {type(t).__name__}; expected tensors: a loss, or (loss, aux, ...)"
                )
            graph.results.append(tracer._of(t))
    finally:
        state.tracer = outer
        for generator, before in tracer.generators.values():
            generator.set_state(before)
    return graph, result


def _user_line() -> str:
    """The line of the user's code that is being run."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_PACKAGE):
            return f'at {frame.filename}:{frame.lineno}: "{frame.line}"'
    return "in gpunn itself"
