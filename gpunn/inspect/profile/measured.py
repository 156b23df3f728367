"""Where the time of a step goes, measured: by op and by layer on the CPU, launch by launch on a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

import gpunn
from gpunn.backend.device import device as Device
from gpunn.plan import Step
from gpunn.plan.capture import Call, CapturedProgram
from gpunn.plan.graph import Node
from gpunn.plan.replay import name_of

from .clock import BLOCK_SECONDS, measure, measure_launch
from .parts import PHASES, What, parts_of
from .trace import trace_of
from .watch import EagerWatch, Recording, Span, Watch

WARM_UP = 4
"""Steps before the first that counts: a captured step goes its usual way from the third one on."""


@dataclass(frozen=True)
class TimedCall:
    """A call of a primitive, or a launch of a kernel.

    Attributes:
        name: of the primitive or the kernel.
        microseconds: the median; `p10` and `p90` are the 10th and the 90th percentile.
        grid: blocks of a launch; empty for a primitive.
        block: threads of a block; likewise.
    """

    name: str
    microseconds: float
    p10: float
    p90: float
    grid: tuple[int, ...] = ()
    block: tuple[int, ...] = ()


@dataclass(frozen=True)
class Part:
    """One thing that a step does; phase, layer, op, flop and bytes are those of `What`.

    Attributes:
        calls: the primitives that it calls, or the kernels that it launches.
    """

    phase: str
    layer: str
    op: str
    flop: int | None
    bytes: int | None
    calls: tuple[TimedCall, ...]

    @property
    def microseconds(self) -> float:
        """Of all its calls."""
        return sum(call.microseconds for call in self.calls)


@dataclass(frozen=True)
class Total:
    """The parts that have an op, a layer or a phase in common.

    Attributes:
        calls: how many calls they make.
        forward: microseconds, as `backward`, `update` and `microseconds`, their sum.
        flop: of all parts; None where it is not known of one. Likewise `bytes`.
    """

    name: str
    calls: int
    forward: float
    backward: float
    update: float
    microseconds: float
    flop: int | None
    bytes: int | None


@dataclass(frozen=True)
class StepProfile:
    """Where the time of a step goes, in microseconds.

    Attributes:
        title: what was profiled.
        device: where.
        planned: whether the step goes through a plan; else it is done op by op.
        captured: whether it is captured into graphs. Then each launch was measured alone, again and again on the same
            arrays, and their sum is what the kernels take, not what the step takes.
        steps: how many steps, or blocks of launches, the medians are of.
        parts: what it does, in order.
        step: a step that nobody watches.
        graph: its graphs; 0 where it is not captured.
        between: what a watched step takes beside its parts: Python between them, and putting the batch in and the
            results out. Of a captured step: `step` less its parts, which is below 0 where kernels overlap.
        layers: the paths of the model's layers, in its order.
        recording: one step, for `trace`.
    """

    title: str
    device: str
    planned: bool
    captured: bool
    steps: int
    parts: tuple[Part, ...]
    step: float
    graph: float
    between: float
    layers: tuple[str, ...]
    recording: Recording

    @property
    def microseconds(self) -> float:
        """All parts, and what is between them."""
        return sum(part.microseconds for part in self.parts) + self.between

    def by(self, what: str) -> list[Total]:
        """The times by "op", the longest first; by "layer", in the model's order, or by "phase", in that of the step.

        Raises:
            ValueError: it is none of these.
        """
        if what not in ("op", "layer", "phase"):
            raise ValueError(f'by() takes "op", "layer" or "phase", got {what!r}')
        groups: dict[str, list[Part]] = {}
        for part in self.parts:
            groups.setdefault(getattr(part, what), []).append(part)
        totals = [_total(name, parts) for name, parts in groups.items()]
        if what == "op":
            totals.sort(key=lambda total: -total.microseconds)
        if what == "layer":  # what belongs to none comes last
            totals.sort(key=lambda total: self.layers.index(total.name) if total.name else len(self.layers))
        return totals

    def trace(self) -> dict[str, Any]:
        """The recorded step in Google's Trace Event Format, to be written as JSON and opened in Perfetto."""
        return trace_of(self.recording, self.title, self.device)

    def _repr_html_(self) -> str:
        from gpunn import notebook

        rows = [(part.phase, part.layer, part.op, f"{part.microseconds:,.1f}") for part in self.parts]
        note = f"measured; a step that nobody watches takes {self.step:,.1f} us"
        return notebook.table(["phase", "layer", "op", "us"], rows, f"{self.title} on {self.device}", note)

    def to_dict(self) -> dict[str, Any]:
        """All numbers, without the recording."""
        names = ("title", "device", "planned", "captured", "steps", "step", "graph", "between", "microseconds")
        parts = [{**asdict(part), "microseconds": part.microseconds} for part in self.parts]
        return {name: getattr(self, name) for name in names} | {"parts": parts}


def profile_step(
    step: Step,
    *batch: gpunn.Tensor,
    steps: int = 20,
    eager: bool = False,
    seconds: float = BLOCK_SECONDS,
    title: str = "",
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> StepProfile:
    """Measure where the time of a step goes; the step is done for that, so a model is trained by it.

    A step that is no graph of launches is done `steps` times watched and as often unwatched, in turns; the times are
    medians. On a GPU they are those between CUDA's events. The launches of a captured step are measured one by one,
    each from a graph of nothing but it, and parameters are good for nothing afterwards: an optimizer's launch is
    repeated too. On a GPU all parts are ranges of NVTX, for ``nsys profile``.

    Args:
        step: a `gpunn.TrainStep` or `gpunn.EvalStep`.
        batch: what it is called with.
        steps: how many are measured; of launches, how many blocks of them.
        eager: whether it is done op by op, and not through its plan.
        seconds: how long a block of launches takes at least.
        title: what it is called in the trace, by default what the step is.
        on_progress: called with how many of how many measurements are done.

    Raises:
        ValueError: `steps` is no number above 0.
    """
    if steps < 1:
        raise ValueError(f"steps is a number above 0, got {steps}")
    run = (lambda: step.body(*batch)) if eager else (lambda: step(*batch))
    for _ in range(WARM_UP):
        run()
    device = batch[0].device
    program = None if eager else step._current
    about: dict[str, Any] = {"title": title or repr(step), "device": str(device), "planned": program is not None}
    about |= {"steps": steps, "layers": tuple(path for path, _ in step.model.named_modules())}
    if isinstance(program, CapturedProgram):
        with program.backend.here():
            return StepProfile(**about, captured=True, **_launches(program, run, device, seconds, steps, on_progress))

    @contextmanager
    def watching() -> Iterator[Watch]:
        if program is None:
            eye = EagerWatch(device, step.model)
            with eye.watching():
                yield eye
        else:
            watch = Watch(device)
            parts = parts_of(program.graph)
            with program.calling(lambda node, f, *a, **k: watch.call(parts[id(node)], name_of(f), f, *a, **k)):
                yield watch

    alone, recordings = [], []
    for done in range(steps):
        alone.append(Watch(device).record(run).microseconds)
        with watching() as watch:
            recordings.append(watch.record(run))
        on_progress(done + 1, steps)
    recordings.sort(key=lambda recording: recording.microseconds)
    return StepProfile(
        **about,
        captured=False,
        parts=_parts([recording.spans for recording in recordings]),
        step=median(alone),
        graph=0.0,
        between=median(recording.between for recording in recordings),
        recording=recordings[len(recordings) // 2],
    )


def _parts(steps: Sequence[Sequence[Span]]) -> tuple[Part, ...]:
    """The median of each call of each part; a call that some steps do not make counts as 0 there."""
    found: dict[What, dict[int, tuple[str, list[float]]]] = {}
    for k, spans in enumerate(steps):
        made: Counter[What] = Counter()
        for span in spans:
            calls = found.setdefault(span.what, {})
            calls.setdefault(made[span.what], (span.name, [0.0] * len(steps)))[1][k] = span.microseconds
            made[span.what] += 1
    return tuple(_part(what, [_timed(*call) for call in calls.values()]) for what, calls in found.items())


def _timed(name: str, times: Sequence[float]) -> TimedCall:
    p10, middle, p90 = (float(us) for us in np.percentile(times, (10, 50, 90)))
    return TimedCall(name, middle, p10, p90)


def _part(what: What, calls: Sequence[TimedCall]) -> Part:
    return Part(what.phase, what.layer, what.op, what.flop, what.bytes, tuple(calls))


def _total(name: str, parts: Sequence[Part]) -> Total:
    forward, backward, update = (sum(p.microseconds for p in parts if p.phase == phase) for phase in PHASES)
    calls = sum(len(part.calls) for part in parts)
    flop, moved = _sum(part.flop for part in parts), _sum(part.bytes for part in parts)
    return Total(name, calls, forward, backward, update, forward + backward + update, flop, moved)


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(filter(None, known))


# A captured step ------------------------------------------------------------------------------------------------------


def calls_of(program: CapturedProgram) -> list[tuple[Node, Call]]:
    """The calls of a captured step, in order, each with the node of the graph that it is made for."""
    calls = [call for segment in program.segments for call in segment.calls]
    return list(zip(program.call_nodes, calls, strict=True))


def _launches(
    program: CapturedProgram,
    run: Callable[[], Any],
    device: Device,
    seconds: float,
    repeats: int,
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    calls = calls_of(program)
    of = 2 + len(calls)
    step = measure(run, device, seconds, repeats, warm_up=1).us
    on_progress(1, of)
    graphs = [segment.graph for segment in program.segments if segment.captured]
    graph = sum(measure(graph.launch, device, seconds, repeats, warm_up=1).us for graph in graphs)
    on_progress(2, of)
    kinds = parts_of(program.graph)
    recording = _one_by_one(kinds, calls, device)
    found: dict[What, list[TimedCall]] = {}
    for done, (node, call) in enumerate(calls):
        timed = [
            TimedCall(x.name, *measure_launch(x.run, device, seconds, repeats)[:3], x.grid, x.block)
            for x in call.launches
        ]
        if call.obstacle:
            timed = [TimedCall(call.name, *measure(call, device, seconds, repeats, warm_up=1)[:3])]
        found.setdefault(kinds[id(node)], []).extend(timed)
        on_progress(3 + done, of)
    parts = tuple(_part(what, timed) for what, timed in found.items())
    between = step - sum(part.microseconds for part in parts)
    return {"parts": parts, "step": step, "graph": graph, "between": between, "recording": recording}


def _one_by_one(kinds: dict[int, What], calls: Sequence[tuple[Node, Call]], device: Device) -> Recording:
    """A step whose launches are made one after the other."""
    watch = Watch(device)

    def step() -> None:
        for node, call in calls:
            for launch in call.launches:
                watch.call(kinds[id(node)], launch.name, launch.run)
            if call.obstacle:
                watch.call(kinds[id(node)], call.name, call)

    return watch.record(step)
