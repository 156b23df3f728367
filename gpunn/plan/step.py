"""TrainStep and EvalStep: a step that is traced once for each shape of its batch, and replayed from then on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gpunn.autograd.mode import no_grad
from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend.device import device
from gpunn.backend.launch import Text
from gpunn.nn import Module

from . import needs
from .arena import Arena
from .capture import CapturedProgram
from .fuse import RULES, Note, apply_rules, check_rules
from .graph import Compute, Graph, Node, Update
from .interrupt import install, wait
from .liveness import Liveness
from .memory import lay_out
from .replay import Program
from .report import MemoryReport, report
from .simplify import without_dead_code, without_repetitions
from .strides import follow
from .trace import TraceError, trace
from .watch import Watch

PLANS = 16
"""How many plans a step keeps, one for each shape of a batch and mode of the model.

The one that was used longest ago goes first.
"""
MANY_PLANS = 32
"""After so many plans it is said that they are made."""
CHECKED_EVERY = 32
"""Steps after which the host waits for the device and looks whether it has met bad indices; see `Step.check`."""


class StepFailed(RuntimeError):
    """A step failed after it had begun to change parameters, so what they are now is neither before nor after it."""


class Step:
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
        self._watch = Watch(model, optimizer)
        self._why = ""
        self._current: Program | None = None
        self._unchecked = 0
        self._failed = ""
        self.plans_made: list[str] = []
        """Why each plan was made: the shapes of its batch, and what had changed since the one before; and whether it
        was bound anew, without being traced again, to memory that had grown for a larger plan."""
        self.note: Callable[[str], None] | None = None
        """Called with a line where steps are not done as one would expect."""

    def body(self, *batch: Any) -> Any:
        """The step, op by op: what is traced. Returns a tensor or a tuple of tensors."""
        raise NotImplementedError(f"{type(self).__name__} has no body()")

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
        """Do the step.

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
        for x in batch:
            if not isinstance(x, TensorBase):
                number = next(i for i, y in enumerate(batch, 1) if y is x)
                raise TypeError(
                    f"{type(self).__name__}: argument {number} is {type(x).__name__}; expected tensors. What is no "
                    "tensor belongs into the model or the loss function"
                )
        if self._failed:
            raise StepFailed(self._failed)
        if self._watch.changed():
            self.check()
            self._why = self._watch.difference() if self._plans else ""
            self._plans.clear()
            self._current = None
            before = self._watch.hooked
            self._watch.look()
            if self._watch.hooked != before and self._watch.hooked and self.note is not None:
                self.note(f"{self._watch.hooked} has a hook, so steps are done op by op, and not through a plan")
        if self._watch.hooked:
            return self.body(*batch)
        key = self._watch.mode, *[(s.shape, s.dtype, s.device) for s in [x._spec for x in batch]]
        program = self._plans.get(key)
        if program is None or program.forgotten:
            program = self._make(key, batch)
        arrays = [x._data for x in batch]
        if program is not self._current or program.bound_to is None:
            self._plans.move_to_end(key)
            self.check()  # its optimizer would not know what another plan has met
            if self._current is not None:
                self._current.let_go_of_batch()
            if program.bound_to is None:
                program.bind(arrays)
                self.plans_made[program.number] += "; bound anew to the memory of a larger plan"
            self._current = program
        try:
            with wait:
                results = program(arrays)
        except KeyboardInterrupt:  # when all was done
            raise
        except BaseException as error:
            if program.position > program.first_write:
                self._failed = (
                    f"a step failed after it had begun to change parameters ({type(error).__name__}: {error}); load "
                    "them and the optimizer's state from a checkpoint, and make a new step"
                )
            raise
        self._unchecked += 1
        if self._unchecked >= CHECKED_EVERY:
            self.check()
        tensors = [wrap(a, v.spec) for a, v in zip(results, program.graph.results)]
        for p in reversed(program.kept):
            p._grad = tensors.pop()
        return tuple(tensors) if program.several else tensors[0]

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

    def forecast(self, *batch: Any) -> MemoryReport:
        """What a step on such a batch needs in memory; nothing is allocated.

        Args:
            batch: tensors, or `Spec`s of tensors that there are not yet. With a model on the device ``meta`` they
                are there too, and the step is taken for one on the CPU.
        """
        graph = self._trace([x if isinstance(x, TensorBase) else wrap(None, x) for x in batch])[0]
        if graph.arguments[0].spec.device.type == "meta":
            graph.take_for(device("cpu"))
        self._simplify(graph)
        captured = self._is_captured(graph.arguments[0].spec.device)
        life = Liveness(graph, follow(graph), copied=captured)
        workspace = 0
        if captured:
            from .dry_run import dry_run  # with the host side of all kernels

            workspace = dry_run(graph).workspace_bytes
        elif graph.arguments[0].spec.device.type == "cpu":
            workspace = needs.forecast(graph, bool(self.rules))
        found = report(graph, life, lay_out(life.storages), self.model, self.optimizer, workspace)
        graph.let_go()  # of the parameters' memory, so that they can move at the first step
        return found

    # Making a plan ----------------------------------------------------------------------------------------------------

    def _make(self, key: Any, batch: tuple[Any, ...]) -> Program:
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
                break
        graph, result, kept = self._trace(batch)
        second = graph.signature()
        if first != second:
            raise TraceError(_difference(first, second))
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
        program.several = isinstance(result, tuple)
        program.kept = kept
        self._watch.look()
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

    def texts(self, *batch: Any) -> tuple[Text, ...]:
        """The kernel texts that a step on such a batch launches on a device with kernels; nothing is computed.

        Args:
            batch: tensors, or `Spec`s of tensors that there are not yet, on the model's device. If that has no kernels,
                as ``cpu`` and ``meta``, the step is taken for one on a device that has.
        """
        from .dry_run import dry_run

        graph = self._trace([x if isinstance(x, TensorBase) else wrap(None, x) for x in batch])[0]
        if not hasattr(graph.arguments[0].spec.device.backend, "launcher"):
            graph.take_for(device("sim"))
        self._simplify(graph)
        found = dry_run(graph).texts
        graph.let_go()
        return found

    def _compile(self, graph: Graph) -> None:
        """Compile what the plan will launch, all at once, where that takes long."""
        backend = graph.arguments[0].spec.device.backend
        launcher = getattr(backend, "launcher", None)
        if launcher is not None and launcher.compiles_ahead:
            from .dry_run import dry_run

            launcher.prepare(dry_run(graph).texts, self.note)

    def _is_captured(self, device: Any) -> bool:
        return self.capture and hasattr(device.backend, "streams")

    def _simplify(self, graph: Graph) -> list[Note]:
        without_dead_code(graph)
        without_repetitions(graph)
        return apply_rules(graph, self.rules)

    def _trace(self, batch: Sequence[Any]) -> Any:
        names = {id(t._data): name for name, t in (*self.model.named_parameters(), *self.model.named_buffers())}
        layers = {id(m): name for name, m in self.model.named_modules()}
        gradients = [(p, p._grad) for p in self._watch.tensors()]
        try:
            graph, result = trace(self.body, batch, names, layers)
            kept = [p for p, _ in gradients if p._grad is not None] if self.keep_grads else []
            graph.results += [p._grad._data for p in kept]
            return graph, result, kept
        finally:
            for p, g in gradients:
                p._grad = g


class TrainStep(Step):
    """A training step: forward, loss, backward and update, traced once for each shape of the batch and replayed.

    ::

        step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), gpunn.optim.SGD(model.parameters(), lr=0.1))
        for x, y in loader:
            loss = step(x, y)

    The first call of each shape runs the step twice on tensors without elements, which finds out what it does; then
    all its memory is laid out in one arena, in which the plans of all shapes lie, and each call does just what is
    written down. On a GPU the kernels that it launches are compiled before, on all cores, and kept for other runs. It
    does what ::

        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()

    does, to the same bits on the CPU. What Python decides on the way (an ``if``, a loop) is decided when it is traced;
    changes of the model and of the optimizer's parameters are seen, and lead to new plans; training and evaluation mode
    have plans of their own. The optimizer's options, such as the learning rate, are read at each step. Models with
    hooks run op by op.

    Args:
        model: called with all but the last of the batch.
        loss_fn: called with the model's result and the last of the batch; returns the loss, one number, or a tuple
            (loss, aux, ...) of it and of tensors to look at, such as predictions for metrics.
        optimizer: of the model's parameters.
        fuse: whether ops are fused, or the names of the rules to apply, see `gpunn.plan.fuse`. Without fusion the bits
            are those of eager work; with it results may differ by rounding.
        keep_grads: whether each parameter's ``grad`` is its gradient after a step; else no gradient is kept.
        capture: whether, on a device with kernels, a step is captured into a CUDA graph, see `gpunn.plan.capture`; else
            its primitives are called one after the other, and errors are raised where they happen.
        arena: the memory that its plans take turns in, one of its own if not given. Steps that are given the same one
            need no more than the largest of them; they are called one after the other, never at the same time.
    """

    def __init__(
        self,
        model: Module,
        loss_fn: Callable[..., Any],
        optimizer: Any,
        *,
        fuse: bool | Iterable[str] = True,
        keep_grads: bool = False,
        capture: bool = True,
        arena: Arena | None = None,
    ):
        super().__init__(model, optimizer, fuse, keep_grads, capture, arena)
        self.loss_fn = loss_fn

    def body(self, *batch: Any) -> Any:
        """Forward, loss, backward and update."""
        self.optimizer.zero_grad()
        result = self.loss_fn(self.model(*batch[:-1]), batch[-1])
        loss = result[0] if isinstance(result, tuple) else result
        loss.backward()
        self.optimizer.step()
        return tuple([t.detach() for t in result]) if isinstance(result, tuple) else loss.detach()


class EvalStep(Step):
    """A model without gradients, traced once for each shape of its input and replayed: ``EvalStep(model)(x)``.

    The model is used in the mode it is in; call ``model.eval()`` before.

    Args:
        model: called with the batch.
        fuse: as for `TrainStep`.
        capture: likewise.
        arena: likewise.
    """

    def __init__(
        self,
        model: Module,
        *,
        fuse: bool | Iterable[str] = True,
        capture: bool = True,
        arena: Arena | None = None,
    ):
        super().__init__(model, None, fuse, capture=capture, arena=arena)

    def body(self, *batch: Any) -> Any:
        """The model's forward."""
        with no_grad():
            result = self.model(*batch)
        return tuple(result) if isinstance(result, list) else result


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
