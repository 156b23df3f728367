"""Replaying a graph: a flat list of calls of the backend's primitives, with the arrays that each reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpunn.backend.numpy import workers
from gpunn.backend.numpy.workspace import reserve
from gpunn.optim.bound import BoundProducts, BoundStep

from .fuse import Note, explain
from .graph import Assign, Compute, Graph, Node, ProductUpdate, Update, Value
from .liveness import Liveness, first_write
from .memory import lay_out
from .report import MemoryReport, report
from .strides import follow

PrimitiveCall = tuple[Callable[..., Any], list[Any], dict[str, Any]]
"""A function with its arguments."""


class Program:
    """A graph with memory: ``program(arrays)`` does what the step does, on these arguments.

    All values lie in one arena, which is made once. Calls are bound to their arrays when the program is made; what is
    another thing at each step (the arguments, views of them, the numbers of random draws) is put in its places before.

    Args:
        graph: the step.
        arrays: the arguments of the first call.
        notes: what was fused in the graph, and what not.

    Attributes:
        arena_bytes: the size of the arena.
        position: how many calls of the last step were made; less than all of them where one failed.
        first_write: the first call that changes a parameter or another state.
        workspace_bytes: what else it keeps for itself.
        several: whether the step returns a tuple.
        kept: the parameters whose gradients are the last of the results.
        owners: the model, and the optimizer or None.
    """

    def __init__(self, graph: Graph, arrays: Sequence[Any], notes: Sequence[Note] = ()):
        self.graph = graph
        self.notes = tuple(notes)
        self.backend = graph.arguments[0].spec.device.backend
        self._arrays: dict[int, Any]
        self._variable: dict[int, Any]
        """The values that are other arrays at each step."""
        self._arrays, self._variable = self._arguments(arrays)
        self._calls: list[PrimitiveCall] = []
        self._views: list[Compute] = []
        self._draws: list[tuple[Any, list[tuple[list[Any], int]]]] = []
        views = follow(graph)
        self.liveness = Liveness(graph, views)
        self.arena_bytes = lay_out(self.liveness.storages)
        self._arena = self.backend.empty((self.arena_bytes,), _BYTE)
        write = first_write(graph)
        self.first_write = 0
        for i, node in enumerate(graph.nodes):
            if i == write:
                self.first_write = len(self._calls)
            if id(node) in views:
                self._bind_view(node)
            else:
                self._bind(node)
        if write == len(graph.nodes):
            self.first_write = len(self._calls)
        self._places = self._find_places()
        self._cores: AbstractContextManager[None] = nullcontext()
        self.position = 0
        self.workspace_bytes = 0
        self.several = False
        self.kept: list[Any] = []
        self.owners: tuple[Any, Any] = None, None

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """One step; the results are copies, which nothing changes later."""
        self.position = 0
        self._put(arrays)
        done = 0
        try:
            with (
                self._cores,
                np.errstate(all="ignore"),
            ):  # infinities and NaN are results like any other, as in eager work
                for function, args, kwargs in self._calls:
                    function(*args, **kwargs)
                    done += 1
        finally:
            self.position = done
        copy = self.backend.copy
        return [copy(self._array(v)) for v in self.graph.results]

    def compute_in(self, workspace: int, all_cores: bool) -> None:
        """Give the CPU's primitives so much to compute in from the beginning, and let them use all cores or not."""
        reserve(workspace)
        self.workspace_bytes = workers.prepare(workspace) if all_cores else workspace
        self._cores = workers.cores() if all_cores else nullcontext()

    def _put(self, arrays: Sequence[Any]) -> None:
        """Put the arguments, what is a view of them, and new numbers of random draws where they are used."""
        current: dict[int, Any] = {id(v): a for v, a in zip(self.graph.arguments, arrays)}
        for node in self._views:
            result = node.op.forward(self.backend, *(current.get(id(x), x) for x in node.inputs))
            current.update((id(y), a) for y, a in zip(node.outputs, (result,) if node.single else result))
        self._arrays.update(current)
        for key, places in self._places.items():
            array = current[key]
            for args, at in places:
                args[at] = array
        for call, spots in self._draws:
            number = call.generator.next_call(call.stream)
            for args, at in spots:
                args[at] = number

    def explain_fusion(self) -> str:
        """What was fused, and what was not and why, a line for all places that are alike."""
        return explain(self.notes)

    def memory(self) -> MemoryReport:
        """What a step needs in memory."""
        return report(self.graph, self.liveness, self.arena_bytes, *self.owners, workspace=self.workspace_bytes)

    def explain_capture(self) -> str:
        """What of a step is captured into graphs, and what is not and why."""
        return f"nothing is captured: {len(self._calls)} calls, one after the other"

    def check(self) -> None:
        """Raise what is wrong with the indices of steps up to now, if that is not known yet: here it always is."""

    # Making the list of calls -----------------------------------------------------------------------------------------

    def _arguments(self, arrays: Sequence[Any]) -> tuple[dict[int, Any], dict[int, Any]]:
        """The arrays of the arguments, and the arguments that are other arrays at each step."""
        # Views, so that each is an object of its own, by which it is found among a call's arguments.
        return {id(v): a[...] for v, a in zip(self.graph.arguments, arrays)}, {id(v): v for v in self.graph.arguments}

    def _array(self, value: Value) -> Any:
        """The array of a value."""
        found = self._arrays.get(id(value))
        if found is not None:
            return found
        if value.state is not None:
            return value.state
        owner = self.liveness.owned(value)
        storage, number = self.liveness.place[id(owner)]
        start = storage.offset + storage.places[number]
        spec = value.spec
        flat = self._arena[start : start + spec.nbytes].view(spec.dtype.numpy)
        array = self._arrays[id(value)] = self.backend.reshape(flat, spec.shape)
        return array

    def _bind_view(self, node: Any) -> None:
        """A view is made once; one of an argument at each step."""
        if id(node.inputs[0]) in self._variable:
            self._variable.update((id(y), y) for y in node.outputs)
            self._views.append(node)
        arrays = [self._array(x) if isinstance(x, Value) else x for x in node.inputs]
        result = node.op.forward(self.backend, *arrays)
        for y, array in zip(node.outputs, (result,) if node.single else result):
            self._arrays[id(y)] = array

    def _bind(self, node: Node) -> None:
        if isinstance(node, Assign):
            target, value = node.inputs
            self._calls.append((self.backend.copy, [self._array(value)], {"out": self._array(target)}))
        elif isinstance(node, Update):
            gradients = [self._array(g) for g in node.inputs]
            self._calls.append((BoundStep(node.optimizer, node.params, gradients), [], {}))
        elif isinstance(node, ProductUpdate):
            factors = [self._array(x) for x in node.inputs]
            self._calls.append((BoundProducts(node.optimizer, node.weight, node.bias), factors, {}))
        else:
            assert isinstance(node, Compute)
            self._bind_op(node)

    def _bind_op(self, node: Compute) -> None:
        arrays = [self._array(x) if isinstance(x, Value) else x for x in node.inputs]
        outs = tuple(self._array(y) for y in node.outputs)
        if id(node) in self.liveness.constants:
            node.op.forward(self.backend, *arrays, out=outs[0] if node.single else outs)
            return
        if node.op.view:  # the strides of the input make it a copy
            self._calls.append((_copy_of_view, [self.backend, node.op, outs[0], *arrays], {}))
            return
        self._calls += primitive_calls(self.backend, node, arrays, outs)

    def _find_places(self) -> dict[int, list[tuple[list[Any], int]]]:
        """Where in the arguments of calls the variable values, and the numbers of random draws, stand."""
        which = {id(self._array(v)): key for key, v in self._variable.items()}
        places: dict[int, list[tuple[list[Any], int]]] = {}
        draws: dict[int, list[tuple[list[Any], int]]] = {id(c): [] for c in self.graph.calls}
        for _, args, _ in self._calls:
            for at, a in enumerate(args):
                if id(a) in which:
                    places.setdefault(which[id(a)], []).append((args, at))
                elif id(a) in draws:
                    draws[id(a)].append((args, at))
        self._draws = [(c, draws[id(c)]) for c in self.graph.calls]
        return places


def primitive_calls(backend: Any, node: Compute, arrays: Sequence[Any], outs: tuple[Any, ...]) -> list[PrimitiveCall]:
    """The primitives that an op calls, written down by a backend that does not compute.

    An op that makes arrays of its own between two primitives is called as a whole.
    """
    out = outs[0] if node.single else outs
    recorder = _Recorder(backend)
    try:
        node.op.forward(recorder, *arrays, out=out)
        return recorder.calls
    except _NotRecorded:
        return [(node.op.forward, [backend, *arrays], {"out": out})]


class _NotRecorded(Exception):
    """The op computes something without a place to put it."""


class _Recorder:
    """In the place of a backend: writes down what an op calls."""

    def __init__(self, backend: Any):
        self._backend = backend
        self.calls: list[PrimitiveCall] = []

    def __getattr__(self, name: str) -> Any:
        primitive = getattr(self._backend, name)

        def record(*args: Any, out: Any = None, **kwargs: Any) -> Any:
            if out is None or any(isinstance(a, (list, tuple)) and any(hasattr(e, "shape") for e in a) for a in args):
                raise _NotRecorded
            self.calls.append((primitive, list(args), {**kwargs, "out": out}))
            return out

        return record


def _copy_of_view(backend: Any, op: Any, out: Any, *arrays: Any) -> None:
    backend.copy(op.forward(backend, *arrays), out=out)


_BYTE = "uint8"
