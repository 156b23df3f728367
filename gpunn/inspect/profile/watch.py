"""Taking the time of the parts of a step while it is done; nothing is in the way of steps that nobody watches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

from gpunn import cuda, nn
from gpunn.autograd.mode import state
from gpunn.backend.device import device as Device
from gpunn.backend.dtypes import as_dtype
from gpunn.backend.spec import Spec
from gpunn.cuda import nvtx
from gpunn.ops.base import Op
from gpunn.optim import Optimizer

from .parts import What, op_cost, step_of, update_cost


class Span(NamedTuple):
    """A part of a step, or one of several calls that a part is made of.

    Attributes:
        name: of the primitive or of the kernel.
        start: in seconds, by the host's clock.
        end: likewise.
        on_device: microseconds after the start of the first span, and microseconds that it took, on a GPU; else None.
    """

    what: What
    name: str
    start: float
    end: float
    on_device: tuple[float, float] | None = None

    @property
    def microseconds(self) -> float:
        """What it took on the GPU, or on the host where there is none."""
        return (self.end - self.start) * 1e6 if self.on_device is None else self.on_device[1]


class Recording(NamedTuple):
    """One step: its spans in order, none of which overlap, and its start and end in seconds by the host's clock."""

    spans: tuple[Span, ...]
    start: float
    end: float

    @property
    def microseconds(self) -> float:
        """What the step took."""
        return (self.end - self.start) * 1e6

    @property
    def between(self) -> float:
        """Microseconds of the step that are part of no span."""
        return self.microseconds - sum(span.microseconds for span in self.spans)


class Watch:
    """Makes the calls of a step on a device, and takes the time of each; see `record`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._calls: list[tuple[What, str, float, float, tuple[cuda.Event, cuda.Event] | None]] = []

    def call(self, what: What, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a call; on a GPU within a range of NVTX."""
        on_gpu = self.device.type == "cuda"
        with nvtx.range(str(what)) if on_gpu else nullcontext():
            first = self._mark() if on_gpu else None
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                end = time.perf_counter()
                marks = None if first is None else (first, self._mark())
                self._calls.append((what, name, start, end, marks))

    def _mark(self) -> cuda.Event:
        event = cuda.Event(enable_timing=True)
        event.record(cuda.current_stream(self.device))
        return event

    def record(self, step: Callable[[], Any]) -> Recording:
        """Do a step whose calls come here, to its end on the device."""
        start = time.perf_counter()
        step()
        self.device.backend.synchronize()
        end = time.perf_counter()
        zero = self._calls[0][4] if self._calls else None
        spans = []
        for what, name, begin, finish, marks in self._calls:
            on_device = None
            if zero is not None and marks is not None:
                on_device = 1e3 * zero[0].elapsed_time(marks[0]), 1e3 * marks[0].elapsed_time(marks[1])
            spans.append(Span(what, name, begin, finish, on_device))
        return Recording(tuple(spans), start, end)


class EagerWatch(Watch):
    """Sees what a step does op by op: a `watcher` of `gpunn.autograd.mode`.

    Attributes:
        layer: the path of the module whose forward, or whose gradient, is at work.
    """

    written = None
    """Nothing is traced."""

    def __init__(self, device: Device, model: nn.Module) -> None:
        super().__init__(device)
        self.layer = ""
        self._layers = {id(module): path for path, module in model.named_modules()}
        self._phase = "forward"
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def enter(self, module: nn.Module) -> str:
        """A module's forward begins; the path of the one around it."""
        outside = self.layer
        self._phase, self.layer = "forward", self._layers.get(id(module), outside)
        return outside

    def enter_gradient(self, node: Any, dys: Sequence[Any]) -> None:
        """The gradient of what a node of the tape did comes next."""
        self._phase, self.layer = "backward", getattr(node, "layer", "")

    def give_gradient(self, node: Any, place: int, gradient: Any) -> None:
        """What of it goes to an input."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, all that this thread computes on arrays passes here."""
        before = state.quietly, state.watcher

        def watched(function: Any, *args: Any, **kwargs: Any) -> Any:
            what, name = self._what(function, args), name_of_eager(function)
            return self.call(what, name, before[0], function, *args, **kwargs)

        state.quietly, state.watcher = watched, self
        try:
            yield
        finally:
            state.quietly, state.watcher = before

    def _what(self, function: Any, args: tuple[Any, ...]) -> What:
        owner = owner_of(function)
        cost: tuple[int | None, int | None] = None, None
        if isinstance(owner, Op):
            cost = op_cost(owner, [self._spec(x) for x in args[1:]])
        elif isinstance(owner, Optimizer):
            self._phase, self.layer = "update", ""
            _, _, p, g, moments, *_ = args
            cost = update_cost(owner, p.nbytes, g.nbytes, len(moments))
        key = self._phase, self.layer, name_of_eager(function)
        self._seen[key] += 1
        return What(*key, self._seen[key], *cost)

    def _spec(self, x: Any) -> Any:
        return Spec(x.shape, as_dtype(x.dtype), self.device) if hasattr(x, "shape") else x


def owner_of(function: Any) -> Any:
    """The op, the optimizer or the backend that a method belongs to; None for a primitive that is a plain function."""
    return getattr(function, "__self__", None)


def name_of_eager(function: Any) -> str:
    """The op, the optimizer's step, or the primitive that a method belongs to."""
    owner = owner_of(function)
    if isinstance(owner, Optimizer):
        return step_of(owner)
    return owner.name if isinstance(owner, Op) else str(function.__name__)
