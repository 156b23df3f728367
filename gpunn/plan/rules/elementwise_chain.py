"""Runs of elementwise ops, whose results between them need not go to memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

from gpunn.backend.dtypes import bool_
from gpunn.backend.spec import Spec
from gpunn.ops.activation import Activation, ActivationBackward
from gpunn.ops.cast import Cast
from gpunn.ops.chain import Chain, function_of
from gpunn.ops.comparison import Bitwise, Invert
from gpunn.ops.elementwise import Predicate

from ..graph import Assign, Compute, Graph, Node, ProductUpdate, Update, Value
from ..simplify import Uses
from .memory_use import MemoryUse
from .note import Note, other_readers

CPU_BYTES = 1 << 22
"""A result of less stays in a CPU's caches until the next op reads it: a chain then costs calls and saves nothing."""
MOST_INPUTS = 8
"""A kernel reads four elements of each at a time: of 12 with strides, in float64, its registers would spill."""


def elementwise_chain(graph: Graph) -> Iterator[Note]:
    """Elementwise ops of one shape and one float type, each read by nothing but the next ones: one `Chain`.

    A run ends in one result, where all of it is computed: what has another reader, is returned or is written to can't
    be part of it, and neither can what reads memory that is written to before the run's end. Where values would have to
    wait for that end so long that the whole step takes more memory, the run begins later.
    """
    search = _Search(graph)
    runs = []
    for last in reversed(list(graph.nodes)):
        if id(last) in search.done or not isinstance(last, Compute) or not search.fits(last, last):
            continue
        run = search.run(last)
        if all(x.spec.dtype is bool_ for x in _inputs(run)):
            continue  # a chain is of floats
        spec = last.outputs[0].spec
        if spec.device.type == "cpu" and spec.nbytes < CPU_BYTES:
            if len(run) > 1:
                search.done |= {id(node) for node in run}
                where = f"{_labels(run)} {spec!r}"
                yield Note("elementwise_chain", where, "it stays in the CPU's caches from op to op")
            continue
        for before, after, reason in search.left_out(run):
            yield Note("elementwise_chain", f"{_labels([before, after])} {spec!r}", reason)
        if len(run) > 1:
            yield Note("elementwise_chain", f"{_labels(run)} {spec!r}")
            search.accept(run)
            runs.append(run)
    for run in runs:
        _join(graph, run)


class _Search:
    """Looking for runs.

    Attributes:
        done: the ids of nodes that are looked at, as parts of a run.
        memory: what is in use, with the runs that were accepted.
    """

    def __init__(self, graph: Graph) -> None:
        self.uses = Uses(graph)
        self.done: set[int] = set()
        self.memory = MemoryUse(graph)
        self._updates: dict[int, int] = {}
        self._writes: dict[int, int] = {}
        """For each node, how many updates of parameters, and how many other writes, come before it."""
        updates = writes = 0
        for node in graph.nodes:
            updates += isinstance(node, (Update, ProductUpdate))
            writes += isinstance(node, Assign)
            self._updates[id(node)], self._writes[id(node)] = updates, writes

    def fits(self, node: Node | None, last: Compute) -> TypeGuard[Compute]:
        """Whether a node may be part of the run that ends with `last`, as far as that depends on these two."""
        return (
            isinstance(node, Compute)
            and function_of(node.op) is not None
            and last.outputs[0].spec.dtype.is_floating_point
            and node.outputs[0].spec.shape == last.outputs[0].spec.shape
            and _types_fit(node, last.outputs[0].spec)
            and self._may_wait(node, last)
        )

    def _may_wait(self, node: Compute, last: Compute) -> bool:
        """Whether nothing that a node reads or makes is written to before `last`."""
        written = self.uses.written
        if self._updates[id(node)] != self._updates[id(last)] or any(id(y) in written for y in node.outputs):
            return False
        return self._writes[id(node)] == self._writes[id(last)] or not any(id(x) in written for x in node.reads())

    def run(self, last: Compute) -> list[Compute]:
        """The run that ends with `last`, in order."""
        run = [last]
        grown = True
        while grown:
            grown = False
            for x in _inputs(run):
                node = x.node
                if self.fits(node, last) and not self._reason(x, [*run, node]):
                    run.append(node)
                    grown = True
        return sorted(run, key=lambda node: self.memory.place[id(node)])

    def accept(self, run: list[Compute]) -> None:
        """Take a run for one node from now on."""
        self.done |= {id(node) for node in run}
        self.memory.accept(run, _inputs(run))

    def left_out(self, run: list[Compute]) -> Iterator[tuple[Compute, Compute, str]]:
        """Nodes that would be part of a run but for some reason, what of the run is the first to read each, and why."""
        for x in _inputs(run):
            after = self.uses.of(x)[0]
            if self.fits(x.node, run[-1]) and isinstance(after, Compute) and after in run:
                yield x.node, after, self._reason(x, [*run, x.node])

    def _reason(self, x: Value, run: list[Compute]) -> str:
        """Why what makes a value can't be part of a run, which is given with it; empty if it can."""
        others = other_readers(self.uses, x, {id(node) for node in run})
        if others:
            return f"what is between is needed by {others}"
        inputs = _inputs(run)
        if len(inputs) > MOST_INPUTS:
            return f"a chain takes at most {MOST_INPUTS} tensors"
        grows = max(self.memory.with_run(run, inputs)) > max(self.memory.bytes)
        return "the step would take more memory" if grows else ""


def _types_fit(node: Compute, spec: Spec) -> bool:
    """Whether a node makes floats or booleans of floats or booleans, as chains do."""
    inputs = [x.spec.dtype for x in node.reads()]
    result = node.outputs[0].spec.dtype
    if any(t is not spec.dtype and t is not bool_ for t in (*inputs, result)):
        return False
    if isinstance(node.op, Cast):
        return inputs[0] is bool_
    return result is not bool_ or isinstance(node.op, (Predicate, Bitwise, Invert))


def _inputs(run: list[Compute]) -> list[Value]:
    """The values that a run reads and does not make, each once."""
    made = {id(node.outputs[0]) for node in run}
    return list({id(x): x for node in run for x in node.reads() if id(x) not in made}.values())


def _join(graph: Graph, run: list[Compute]) -> None:
    """Put a chain in the place of the last one of a run."""
    inputs: list[Any] = _inputs(run)
    number = {id(x): k for k, x in enumerate(inputs)}
    functions = []
    for node in run:
        name, own = function_of(node.op) or ("", ())
        operands: list[Any] = []
        for x in (*node.inputs, *own):
            if isinstance(x, Value):
                operands.append(x)
            else:
                operands.append(len(inputs))
                inputs.append(x)
        functions.append((name, operands))
    number |= {id(node.outputs[0]): len(inputs) + k for k, node in enumerate(run)}
    steps = tuple(
        (name, *(number[id(x)] if isinstance(x, Value) else x for x in operands)) for name, operands in functions
    )
    last = run[-1]
    last.op, last.inputs = Chain(steps, len(inputs)), tuple(inputs)
    gone = {id(node) for node in run[:-1]}
    graph.nodes[:] = [node for node in graph.nodes if id(node) not in gone]


def _labels(run: list[Compute]) -> str:
    """The ops' names, or the activations'; the first and the last of many."""
    names = [_label(node) for node in run]
    if len(names) > 6:
        names[3:-1] = [f"{len(names) - 4} more"]
    return " + ".join(names)


def _label(node: Compute) -> str:
    if isinstance(node.op, ActivationBackward):
        return f"{node.op.kind} backward"
    return str(node.op.kind) if isinstance(node.op, Activation) else node.name
