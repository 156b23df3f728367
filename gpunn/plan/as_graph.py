"""A step as a graph, and what follows from that before it is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend.device import device
from gpunn.backend.launch import Text
from gpunn.nn import Module

from . import needs
from .fuse import Note, apply_rules
from .graph import Graph
from .images import lay_out_images
from .liveness import Liveness
from .memory import lay_out
from .overlap import begin_early
from .report import MemoryReport, report
from .simplify import without_dead_code, without_repetitions
from .strides import follow
from .trace import NotPlanned, Tracer, trace
from .undo import Undo
from .watch import Watch


class AsGraph:
    """What `Step` rests on; a subclass gives `body`, and says how what it watches has changed."""

    model: Module
    optimizer: Any
    keep_grads: bool
    capture: bool
    rules: tuple[str, ...]
    note: Callable[[str], None] | None
    _watch: Watch

    def _see_changes(self, count: bool = True) -> None:
        raise NotImplementedError

    def body(self, *batch: Any) -> Any:
        """The step, op by op: what is traced. Returns a tensor or a tuple of tensors."""
        raise NotImplementedError(f"{type(self).__name__} has no body()")

    def forecast(self, *batch: Any) -> MemoryReport:
        """What a step on such a batch needs in memory; nothing is allocated.

        Args:
            batch: tensors, or `Spec`s of tensors that there are not yet. With a model on the device ``meta`` they
                are there too, and the step is taken for one on the CPU.

        Raises:
            NotPlanned: such a step is done op by op; the message says why.
        """
        self._see_changes(count=False)
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

    def texts(self, *batch: Any) -> tuple[Text, ...]:
        """The kernels that a step on such a batch launches on a device with kernels; nothing is computed.

        Args:
            batch: tensors, or `Spec`s of tensors that there are not yet, on the model's device. If that has no kernels,
                as ``cpu`` and ``meta``, the step is taken for one on a device that has.

        Raises:
            NotPlanned: such a step is done op by op; the message says why.
        """
        from .dry_run import dry_run

        self._see_changes(count=False)
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
        notes = apply_rules(graph, self.rules)
        lay_out_images(graph)
        begin_early(graph)
        return notes

    def _trace(self, batch: Sequence[Any]) -> tuple[Graph, Tracer]:
        """The step as a graph; whatever happens on the way, everything is what it was."""
        if self._watch.hooked:
            raise NotPlanned(f"{self._watch.hooked} has a hook")
        names = {id(t._data): name for name, t in (*self.model.named_parameters(), *self.model.named_buffers())}
        layers = {id(m): name for name, m in self.model.named_modules()}
        tensors = self._watch.tensors()
        assert self._watch.reach is not None
        undo = Undo(self._watch.reach, tensors)
        try:
            traced = trace(self.body, batch, names, layers, tensors if self.keep_grads else ())
        except BaseException:
            undo.put_back()
            raise
        undo.finish()
        return traced
