"""A step that is traced once for each shape of its batch, and replayed from then on."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from gpunn.autograd.anomaly import anomaly
from gpunn.autograd.inplace import count_write
from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend.memory_format import lies_last
from gpunn.nn import Module

from . import needs
from .aliases import shared_with_what_is_written
from .arena import Arena
from .as_graph import AsGraph
from .capture import CapturedProgram
from .fuse import RULES, check_rules
from .graph import Compute, Node, Update
from .interrupt import install, wait
from .replay import Program
from .trace import NotPlanned, TraceError
from .watch import Watch

PLANS = 16
"""How many plans a step keeps, one for each shape of a batch and mode of the model.

The one that was used longest ago goes first.
"""
MANY_PLANS = 32
"""After so many plans it is said that they are made."""
TRIES = 3
"""After so many traces that found out that a step has to be done op by op, it is, whatever changes."""
CHANGES = 8
"""After so many changes one behind the other of what a step reads it is done op by op, until there is none."""
CHECKED_EVERY = 32
"""Steps after which the host waits for the device and looks whether it has met bad indices; see `Step.check`."""


class StepFailed(RuntimeError):
    """A step failed after it had begun to change parameters, so what they are now is neither before nor after it."""


class Step(AsGraph):
    """What `TrainStep` and `EvalStep` share: finding the plan for a batch, or making it.

    A subclass gives `body`.

    Args:
        model: the model whose changes are watched.
        optimizer: whose changes are watched too.
        fuse: as for `TrainStep`.
        keep_grads: as for `TrainStep`.
        capture: as for `TrainStep`.
        arena: as for `TrainStep`.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Any = None,
        fuse: bool | Iterable[str] = True,
        keep_grads: bool = False,
        capture: bool = True,
        arena: Arena | None = None,
    ):
        self.model = model
        self.optimizer = optimizer
        self.keep_grads = keep_grads
        self.capture = capture
        self.arena = Arena() if arena is None else arena
        self.rules = tuple(RULES) if fuse is True else () if fuse is False else tuple(fuse)
        check_rules(self.rules)
        self._plans: OrderedDict[Any, Program] = OrderedDict()
        self._watch = Watch(self)
        self._why = ""
        self._obstacle = ""
        self._tries = 0
        self._in_a_row = self._in_a_row_next = 0
        self._noted: set[str] = set()
        self._current: Program | None = None
        self._unchecked = 0
        self._failed = ""
        self.variant: Any = None
        """What else than the shapes of the batch a plan is for; to be set before a call."""
        self.plans_made: list[str] = []
        """Why each plan was made: the shapes of its batch, and what had changed since the one before; and whether it
        was bound anew, without being traced again, to memory that had grown for a larger plan."""
        self.note: Callable[[str], None] | None = None
        """Called with a line where steps are not done as one would expect; what is done op by op is a warning else."""

    def __repr__(self) -> str:
        parts = [type(self.model).__name__]
        for part in (getattr(self, "loss_fn", None), self.optimizer):
            parts += [] if part is None else [getattr(part, "__name__", type(part).__name__)]
        return f"<{type(self).__name__} of {', '.join(parts)}: {len(self._plans)} plans>"

    def _repr_html_(self) -> str:
        from gpunn import notebook

        return self.plan._repr_html_() if self._plans else notebook.text(repr(self))

    @property
    def plan(self) -> Program:
        """The plan of the last call.

        Raises:
            RuntimeError: there was no call yet.
        """
        if not self._plans:
            raise RuntimeError("there is no plan yet: call the step with a batch first")
        return next(reversed(self._plans.values()))

    def __call__(self, *batch: Any) -> Any:
        """Do the step; threads take turns.

        Args:
            batch: the inputs of the model and then the target, tensors on the model's device.

        Returns:
            What the loss function returns, as copies: the loss, or a tuple that begins with it.

        Raises:
            TypeError: one of the batch is no tensor.
            TraceError: the step reads elements of tensors in Python, or does something else each time it is run.
            StepFailed: an earlier step failed halfway.
            KeyboardInterrupt: Ctrl-C, after the step was done.
            IndexError: this step, or one of the last `CHECKED_EVERY`, met an index or a label that is none.
        """
        with self.arena.lock:
            return self._do(batch)

    def _do(self, batch: tuple[Any, ...]) -> Any:
        """`__call__`, in the one thread that may."""
        for x in batch:
            if not isinstance(x, TensorBase):
                number = next(i for i, y in enumerate(batch, 1) if y is x)
                raise TypeError(
                    f"{type(self).__name__}: argument {number} is {type(x).__name__}; expected tensors. What is no "
                    "tensor belongs into the model or the loss function"
                )
        if self._failed:
            raise StepFailed(self._failed)
        self._see_changes()
        reason = self._obstacle or self._special(batch)
        if reason or self._tries >= TRIES:
            return self._op_by_op(reason, batch)
        program = self._plans.get(self._key(batch))
        if program is None or program.forgotten:
            try:
                program = self._make(batch)
            except NotPlanned as error:
                self._obstacle = str(error)
                self._tries += 1
                return self._op_by_op(self._obstacle, batch)
        if program.written and not self._can_be_written(program, batch):
            return self.body(*batch)
        arrays = [x._data for x in batch]
        if program is not self._current or program.bound_to is None:
            self._turn_to(program)
            if program.bound_to is None:
                program.bind(arrays)
                self.plans_made[program.number] += "; bound anew to the memory of a larger plan"
        with self._doing(program, 1):
            results = program(arrays)
        for place in program.written:
            count_write(batch[place])
        tensors = [wrap(a, v.spec) for a, v in zip(results, program.graph.results)]
        for p in reversed(program.kept):
            p._grad = tensors.pop()
        return tuple(tensors) if program.several else tensors[0]

    def _at_once(self, batches: tuple[Any, ...], count: int, between: Callable[[], Any]) -> Any:
        """All steps in one launch, if the plan for their batches can do that; else None, and nothing was done."""
        if self._watch.changed() or self._special(batches):  # first, as it is what sees the mode
            return None
        program = self._plans.get(self._key(batches, 1))
        if program is None or program.forgotten or program.bound_to is None or self._failed or self._obstacle:
            return None

        def unchanged() -> None:
            between()
            changed = self._watch.difference() if self._watch.changed() else ""
            if self._plans.get(self._key(batches, 1)) is not program:
                changed = "the mode of the model"
            if changed:
                raise TraceError(
                    f"between two steps of one launch {changed} has changed; between may change what the optimizer "
                    "reads at each step, such as learning rates, and nothing else"
                )

        together = program.together(count)
        if together is None:
            return None
        if program is not self._current:
            self._turn_to(program)
        with self._doing(program, count):
            results = together([x._data for x in batches], unchanged)
        tensors = [wrap(a, v.spec.like((count, *v.spec.shape))) for a, v in zip(results, program.graph.results)]
        return tuple(tensors) if program.several else tensors[0]

    def _turn_to(self, program: Program) -> None:
        """Make it the plan of the last call."""
        self._plans.move_to_end(program.key)
        self.check()  # its optimizer would not know what another plan has met
        if self._current is not None:
            self._current.let_go_of_batch()
        self._current = program

    @contextmanager
    def _doing(self, program: Program, count: int) -> Iterator[None]:
        """Around so many steps: Ctrl-C waits for their end, and a failure halfway is remembered."""
        try:
            with wait:
                yield
        except KeyboardInterrupt:  # when all was done
            raise
        except BaseException as error:
            if program.position > program.first_write:
                self._failed = (
                    f"a step failed after it had begun to change parameters ({type(error).__name__}: {error}); load "
                    "them and the optimizer's state from a checkpoint, and make a new step"
                )
            raise
        self._unchecked += count
        if self._unchecked >= CHECKED_EVERY:
            self.check()

    @property
    def changes(self) -> int:
        """After how many changes of what the step reads, one behind the other, this is; to be set where a training is
        resumed, so that it goes on through a plan, or op by op, as it would have.
        """
        return self._in_a_row

    @changes.setter
    def changes(self, number: int) -> None:
        self._in_a_row_next = number + 1 if number else 0

    def _see_changes(self, count: bool = True) -> None:
        """Give up the plans if what they rest on is not as it was, and count such changes."""
        if not self._watch.changed():
            if not count or not (self._in_a_row or self._in_a_row_next):
                return
            self._obstacle = "" if self._in_a_row >= CHANGES else self._obstacle
            self._in_a_row = 0
        else:
            self.check()
            self._why = self._watch.difference() if self._plans else ""
            self._plans.clear()
            self._current = None
            self._watch.look()
            self._obstacle = f"{self._watch.hooked} has a hook" if self._watch.hooked else ""
            self._in_a_row += count
        if count and self._in_a_row_next:
            self._in_a_row, self._in_a_row_next = self._in_a_row_next, 0
        if self._in_a_row >= CHANGES and not self._obstacle and self._tries < TRIES:
            self._obstacle = "what the step reads in Python changes from step to step"

    def _op_by_op(self, reason: str, batch: tuple[Any, ...]) -> Any:
        """The step without a plan, and a line that says why, once."""
        if reason and reason not in self._noted:
            self._noted.add(reason)
            line = f"{reason}, so steps are done op by op, and not through a plan"
            if self.note is None:
                warnings.warn(line, stacklevel=5)
            else:
                self.note(line)
        return self.body(*batch)

    def _special(self, batch: tuple[Any, ...]) -> str:
        """Why this call has no place in a plan; empty if it has."""
        if anomaly.enabled:
            return "anomaly detection is on"
        versions = self._watch.versions
        for x in batch:
            if x._requires_grad:
                return "an argument requires grad"
            if id(x._version) in versions:
                return "an argument shows memory of the model"
        return ""

    @staticmethod
    def _can_be_written(program: Program, batch: tuple[Any, ...]) -> bool:
        """Whether what the step writes into arguments can be written there behind it: no two share memory."""
        backend = program.backend
        if not all(backend.is_contiguous(x._data) for x in batch):
            return False
        spans = [(start := backend.address(x._data), start + x.nbytes) for x in batch if x.nbytes]
        spans.sort()
        return all(end <= start for (_, end), (start, _) in pairwise(spans))

    def check(self) -> None:
        """Look whether a step up to now has met an index or a label that is none.

        On a device with kernels a step does not wait for the device to find that out; the host looks by itself every
        `CHECKED_EVERY` steps, and when the plan changes. Whoever waits for the device anyway, to show a loss, may look
        too. From the step on that has met one nothing is trained: parameters and moments are as they were before it.
        But running statistics and counts of steps went on, so the step goes no further.

        Raises:
            IndexError: as eager work does; or whatever that raises.
        """
        self._unchecked = 0
        if self._current is None:
            return
        program, self._current = self._current, None
        try:
            program.check()
        except Exception as error:
            if program.first_write < program.position:
                self._failed = (
                    f"nothing was trained any more since a step that met what it can't use ({type(error).__name__}: "
                    f"{error}); load parameters and the optimizer's state from a checkpoint, and make a new step"
                )
            raise
        self._current = program

    # Making a plan ----------------------------------------------------------------------------------------------------

    def _key(self, batch: tuple[Any, ...], axes: int = 0) -> Any:
        """What a plan is for: the mode, what else steps differ by, the order and shapes of a batch, but some axes."""
        specs = [(s.shape[axes:], s.dtype, s.device) for s in [x._spec for x in batch]]
        return self._watch.mode, self.variant, tuple([lies_last(x._data) for x in batch]), *specs

    def _make(self, batch: tuple[Any, ...]) -> Program:
        """Trace twice, and refuse a step that is another one each time."""
        install()
        graph = self._trace(batch)[0]
        first = graph.signature()
        graph.let_go()  # of the parameters' memory, so that they can move
        for node in graph.nodes:
            if isinstance(node, Update):
                if not self._plans:  # else they have moved already
                    self.arena.forget()
                node.optimizer.place(node.params)
                self._watch.look(again=True)
                break
        graph, tracer = self._trace(batch)
        second = graph.signature()
        if first != second:
            raise TraceError(_difference(first, second))
        shared = shared_with_what_is_written(graph)
        if shared:
            raise NotPlanned(shared)
        notes = self._simplify(graph)
        self._compile(graph)
        kind: type[Program] = Program
        if self._is_captured(batch[0].device):
            kind = CapturedProgram
            graph.nodes.sort(key=lambda node: not _is_draw(node))  # they need the host: not in the middle of a graph
        program = kind(graph, self.arena, notes)
        if batch[0].device.type == "cpu":
            program.compute_in(needs.workspace(graph), needs.on_all_cores(graph, bool(self.rules)))
        program.bind([x._data for x in batch])
        program.number = len(self.plans_made)
        program.owners = self.model, self.optimizer
        program.several, program.kept = tracer.several, tracer.kept
        self._watch.look(again=True)
        self._watch.look_at_trace(tracer)
        key = program.key = self._key(batch)
        why = self._why
        if key in self._plans:
            why = "the one before was given up"
        elif not why and self._plans and not any(mode == key[0] for mode, *_ in self._plans):
            why = "the model, or a layer, is in another mode"
        self._plans[key] = program
        shapes = ", ".join(repr(x._spec) for x in batch)
        self.plans_made.append(shapes + (f": {why}" if why else ""))
        self._why = ""
        if self.note is not None and len(self.plans_made) % MANY_PLANS == 0:
            self.note(f"plan number {len(self.plans_made)} was made, for {self.plans_made[-1]}; making one takes time")
        while len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        return program


def _is_draw(node: Node) -> bool:
    """Whether a node makes random numbers, of nothing but the number of a draw."""
    return isinstance(node, Compute) and node.op.from_number


def _difference(first: list[Any], second: list[Any]) -> str:
    """What two traces of one step do not agree on."""
    where = next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))
    a, b = (_named(t[where][0]) if where < len(t) else "nothing more" for t in (first, second))
    return (
        f"the step does another thing each time it is run: operation {where + 1} is {a} in one trace and {b}, or "
        "applied to something else, in the next. Python's or NumPy's random numbers and counters have no place in a "
        "step; draw with gpunn (gpunn.rand, gpunn.randn, ..., dropout), or draw outside and pass it in"
    )


def _named(what: Any) -> str:
    return what if isinstance(what, str) else str(what[0])
