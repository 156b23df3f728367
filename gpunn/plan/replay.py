"""Replaying a graph: a flat list of calls of the backend's primitives, with the arrays that each reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from gpunn.backend import collective
from gpunn.backend.memory_format import channels_first, copy_as_it_lies
from gpunn.backend.numpy import workers
from gpunn.backend.numpy.workspace import reserve
from gpunn.backend.products import precision
from gpunn.optim.bound import BoundProducts, BoundStep

from .arena import Arena, Memory
from .fuse import Note, explain
from .graph import (
    Assign,
    Compute,
    Graph,
    Node,
    ProductUpdate,
    ReduceEnd,
    ReduceStart,
    SpreadParameters,
    Update,
    Value,
)
from .listing import as_text
from .liveness import Liveness
from .memory import lay_out
from .primitive_calls import PrimitiveCall, primitive_calls
from .report import MemoryReport, report
from .strides import follow


class Program:
    """A graph with memory: ``program(arrays)`` does what the step does, on these arguments.

    All values lie in an arena, which other programs use too, each while its step is done; only what is computed once
    has memory of its own. Calls are bound to their arrays by `bind`; what is another thing at each step (the arguments,
    views of them, the numbers of random draws) is put in its places before.

    Args:
        graph: the step.
        arena: where its values lie.
        notes: what was fused in the graph, and what not.

    Attributes:
        precision: of products of float32, see `gpunn.backend.products`.
        device: where it is done.
        bound_to: the memory that its calls use; None before `bind`, and when a larger program took it.
        call_nodes: for each call the node of the graph that it is made for.
        arena_bytes: what it needs of the arena.
        position: how many calls of the last step were made; less than all of them where one failed.
        first_write: the first call that changes a parameter or another state.
        workspace_bytes: what it computes in on the way.
        several: whether the step returns a tuple.
        written: the places of the arguments that the step writes to.
        key: what it is the plan for.
        kept: the parameters whose gradients are the last of the results.
        owners: the model, and the optimizer or None.
        number: its place among all plans that the step has made.
        forgotten: whether it can't be bound any more.
        views: the nodes that make views, in their order.
    """

    copies_arguments = False
    """Whether it works on copies of the arguments, which lie in the arena."""

    def __init__(self, graph: Graph, arena: Arena, notes: Sequence[Note] = ()):
        self.graph = graph
        self.notes = tuple(notes)
        self.precision = precision()
        self.device = graph.arguments[0].spec.device
        self.backend = self.device.backend
        self._arena = arena
        self._view_nodes = follow(graph)
        self.views = [node for node in graph.nodes if isinstance(node, Compute) and id(node) in self._view_nodes]
        self.liveness = Liveness(graph, self._view_nodes, copied=self.copies_arguments)
        self.arena_bytes = lay_out(self.liveness.storages)
        self.written = tuple(self.liveness.written)
        self.key: Any = None
        self._kept_bytes = lay_out(self.liveness.kept)
        self.first_write = 0
        self.position = 0
        self.workspace_bytes = 0
        self._all_cores = False
        self.several = False
        self.kept: list[Any] = []
        self.owners: tuple[Any, Any] = None, None
        self.number = 0
        self.forgotten = False
        self.let_go()

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """One step; the results are copies, which nothing changes later."""
        self.position = 0
        self._put(arrays)
        done, joined = 0, self._joined
        copy = self.backend.copy
        try:
            # Infinities and NaN are results like any other, as in eager work.
            with self._inside, np.errstate(all="ignore"):
                if joined is not None:
                    joined.begin()
                    while (done := joined.run(done)) < len(self._calls):
                        done = joined.make(done)
                else:
                    for function, args, kwargs in self._calls:
                        function(*args, **kwargs)
                        done += 1
                for place, v in self.liveness.written.items():
                    copy(self.array_of(v), out=arrays[place])
                return [copy_as_it_lies(self.backend, self.array_of(v)) for v in self.graph.results]
        finally:
            self.position = done if joined is None else max(done, joined.position)

    def __str__(self) -> str:
        """What the step does, line by line; see `gpunn.plan.listing`."""
        return as_text(self.graph)

    def _repr_html_(self) -> str:
        from gpunn import notebook

        from .listing import rows_of

        columns = ["", "layer", "operation", "makes", ""]
        note = "what was fused: explain_fusion(); what it needs in memory: memory()"
        return notebook.table(columns, rows_of(self.graph), repr(self)[1:].partition(";")[0], note)

    def __repr__(self) -> str:
        batch = ", ".join(repr(a.spec) for a in self.graph.arguments)
        return f"<plan of {len(self.graph.nodes)} operations for {batch} on {self.device}; print() lists them>"

    def compute_in(self, workspace: int, all_cores: bool) -> None:
        """Give the CPU's primitives so much to compute in from the beginning, and let them use all cores or not."""
        reserve(workspace)
        self.workspace_bytes = workers.prepare(workspace) if all_cores else workspace
        self._all_cores = all_cores

    def let_go(self) -> None:
        """Let go of all memory; the graph stays, to be bound again."""
        self.bound_to: Memory | None = None
        self._inside: AbstractContextManager[None] = nullcontext()
        self._values: Any = None
        self._kept: Any = None
        self._arrays: dict[int, Any] = {}
        self._variable: dict[int, Any] = {}
        """The values that are other arrays at each step."""
        self._calls: list[PrimitiveCall] = []
        self._joined: Any = None
        """Where the backend makes calls by itself, those of `_calls` that are known to it."""
        self.call_nodes: list[Node] = []
        self._views: list[Compute] = []
        self._draws: list[tuple[Any, list[tuple[list[Any], int]]]] = []
        self._places: dict[int, list[tuple[list[Any], int]]] = {}

    def bind(self, arrays: Sequence[Any]) -> None:
        """Take memory of the arena, and find out which calls a step makes on which arrays.

        Args:
            arrays: the arguments of the next step.
        """
        self.let_go()
        memory = self._arena.memory(self)
        self._values = memory.take(self, "values", self.arena_bytes)
        self._kept = self.backend.cache_lines(self._kept_bytes, "uint8")
        self._arrays, self._variable = self._arguments(arrays)
        write = self.liveness.first_write
        reductions: dict[int, collective.Reduction] = {}
        for i, node in enumerate(self.graph.nodes):
            if i == write:
                self.first_write = len(self._calls)
            if id(node) in self._view_nodes:
                self._bind_view(node)
            else:
                self._bind(node, reductions)
            self.call_nodes += [node] * (len(self._calls) - len(self.call_nodes))
        if write == len(self.graph.nodes):
            self.first_write = len(self._calls)
        self._places = self._find_places()
        if memory.has_streams:
            self._inside = memory
        elif self._all_cores:
            self._inside = workers.cores()
        self._get_ready(memory)
        self.bound_to = memory

    def let_go_of_batch(self) -> None:
        """Let go of the arguments of the last step, which would stay until the next one."""
        for key in self._variable:
            self._arrays.pop(key, None)
        for places in self._places.values():
            for args, at in places:
                args[at] = None

    @contextmanager
    def calling(self, call: Callable[..., None]) -> Iterator[None]:
        """Inside, calls are made by ``call(node, function, *args, **kwargs)``, for somebody who watches."""
        calls, joined = self._calls, self._joined
        self._joined = None
        pairs = zip(self.call_nodes, calls)
        self._calls = [(partial(call, node, function), args, kwargs) for node, (function, args, kwargs) in pairs]
        try:
            yield
        finally:
            self._calls, self._joined = calls, joined

    def forget(self) -> None:
        """Let go of all memory, also of parameters' and other states'; this plan is of no more use than to look at."""
        self.let_go()
        self.graph.let_go()
        self.forgotten = True

    def _put(self, arrays: Sequence[Any]) -> None:
        """Put the arguments, what is a view of them, and new numbers of random draws where they are used."""
        current: dict[int, Any] = {id(v): a for v, a in zip(self.graph.arguments, arrays)}
        for v in self.liveness.copied:
            self.backend.copy(current.pop(id(v)), out=self.array_of(v))
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

    def together(self, count: int) -> Callable[[Sequence[Any], Callable[[], None]], list[Any]] | None:
        """So many steps as one call; None where one by one is as good. See `gpunn.plan.together`."""
        return None

    def explain_capture(self) -> str:
        """What of a step is captured into graphs, and what is not and why."""
        return str(self._joined or f"nothing is captured: {len(self._calls)} calls, one after the other")

    def explain_kernels(self) -> str:
        """For each launch of a step its kernel and what was chosen for it; without kernels, that there is none."""
        return f"no kernels: {len(self._calls)} calls on the CPU, with products in the precision {self.precision!r}"

    def check(self) -> None:
        """Wait for the device if need be, and raise what is wrong with the indices of steps up to now."""
        if self.bound_to is not None:
            self.bound_to.look()

    # Making the list of calls -----------------------------------------------------------------------------------------

    def _get_ready(self, memory: Memory) -> None:
        """What a kind of program does with its calls when they are known."""
        if hasattr(self.backend, "Joined"):
            self._joined = self.backend.Joined(self._calls, self._places)

    def _arguments(self, arrays: Sequence[Any]) -> tuple[dict[int, Any], dict[int, Any]]:
        """The arrays of the arguments, and the arguments that are other arrays at each step."""
        # Views, so that each is an object of its own, by which it is found among a call's arguments.
        there = [(v, a) for v, a in zip(self.graph.arguments, arrays) if v not in self.liveness.copied]
        return {id(v): a[...] for v, a in there}, {id(v): v for v, _ in there}

    def array_of(self, value: Value) -> Any:
        """The array of a value."""
        found = self._arrays.get(id(value))
        if found is not None:
            return found
        if value.state is not None:
            return value.state
        owner = self.liveness.owned(value)
        if owner.state is not None:  # it is made where it is assigned to
            return owner.state
        storage, number = self.liveness.place[id(owner)]
        memory = self._kept if id(owner.node) in self.liveness.constants else self._values
        start = storage.offset + storage.places[number]
        spec = value.spec
        flat = memory[start : start + spec.nbytes].view(spec.dtype.numpy)
        array = self._arrays[id(value)] = laid_out(self.backend, flat, value)
        return array

    def _bind_view(self, node: Any) -> None:
        """A view is made once; one of an argument at each step."""
        if id(node.inputs[0]) in self._variable:
            self._variable.update((id(y), y) for y in node.outputs)
            self._views.append(node)
        arrays = [self.array_of(x) if isinstance(x, Value) else x for x in node.inputs]
        result = node.op.forward(self.backend, *arrays)
        for y, array in zip(node.outputs, (result,) if node.single else result):
            self._arrays[id(y)] = array

    def _bind(self, node: Node, reductions: dict[int, collective.Reduction]) -> None:
        """Find the calls of a node; `reductions` are those that were begun, by the first of their results."""
        if id(node) in self.liveness.assigned:
            return
        if isinstance(node, Assign):
            target, value = node.inputs
            self._calls.append((self.backend.copy, [self.array_of(value)], {"out": self.array_of(target)}))
        elif isinstance(node, Update):
            gradients = [self.array_of(g) for g in node.inputs]
            self._calls.append((BoundStep(node.optimizer, node.params, gradients), [], {}))
        elif isinstance(node, ProductUpdate):
            factors = [self.array_of(x) for x in node.inputs]
            self._calls.append((BoundProducts(node.optimizer, node.weight, node.bias), factors, {}))
        elif isinstance(node, SpreadParameters):
            self._calls.append((collective.Spread(self.backend, node.groups).send_to_all, [], {}))
        elif isinstance(node, ReduceStart):
            reductions[id(node.outputs[0])] = self._bind_start(node)
        elif isinstance(node, ReduceEnd):
            self._calls.append((reductions.pop(id(node.inputs[0])).wait_for_sum, [], {}))
        else:
            assert isinstance(node, Compute)
            self._bind_op(node)
            if reductions and collective.current().overlaps:
                self._calls.append((collective.current().progress, [], {}))

    def _bind_start(self, node: ReduceStart) -> collective.Reduction:
        """Bring gradients to where they are summed, if they are not made there, and begin."""
        for x, y in zip(node.inputs, node.outputs):
            if self.liveness.owned(x) is not y:
                self._calls.append((self.backend.copy, [self.array_of(x)], {"out": self.array_of(y)}))
        first, last = self.array_of(node.outputs[0]), self.array_of(node.outputs[-1])
        distance = 0 if first is last else self.backend.distance(first, last)
        reduction = collective.Reduction(self.backend, self.backend.extend(first, distance + last.size))
        self._calls.append((reduction.sum_over_ranks, [], {}))
        return reduction

    def _bind_op(self, node: Compute) -> None:
        arrays = [self.array_of(x) if isinstance(x, Value) else x for x in node.inputs]
        outs = tuple(self.array_of(y) for y in node.outputs)
        if id(node) in self.liveness.constants:
            node.op.forward(self.backend, *arrays, out=outs[0] if node.single else outs)
            return
        if node.op.view:  # the strides of the input make it a copy
            self._calls.append((copy_of_view, [self.backend, node.op, outs[0], *arrays], {}))
            return
        self._calls += primitive_calls(self.backend, node, arrays, outs)

    def _find_places(self) -> dict[int, list[tuple[list[Any], int]]]:
        """Where in the arguments of calls the variable values, and the numbers of random draws, stand."""
        which = {id(self.array_of(v)): key for key, v in self._variable.items()}
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


def laid_out(backend: Any, flat: Any, value: Value) -> Any:
    """Memory as a value that owns it."""
    shape = value.spec.shape
    if not value.last:
        return backend.reshape(flat, shape)
    n, c, h, w = shape
    return channels_first(backend.reshape(flat, (n, h, w, c)))


def name_of(function: Any) -> str:
    """The primitive, the op, or the optimizer that a call is of."""
    if isinstance(function, (BoundStep, BoundProducts)):
        return type(function.optimizer).__name__
    owner = getattr(function, "__self__", None)
    return str(getattr(owner, "name", "")) if function.__name__ == "forward" else str(function.__name__)


def side_of(function: Any) -> int:
    """Of the workspace; see `Recorder.call`. Weight gradients have one for themselves: only updates wait for them."""
    return int("weight_grad" in name_of(function))


def copy_of_view(backend: Any, op: Any, out: Any, *arrays: Any) -> None:
    """Copy what a view shows to memory of its own."""
    if op.name == "Reshape":  # the elements, in their order
        backend.copy(arrays[0], out=backend.reshape(out, arrays[0].shape))
        return
    backend.copy(op.forward(backend, *arrays), out=out)
