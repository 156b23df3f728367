"""A plan on a device with kernels: each step is a list of launches, captured into one CUDA graph.

What the calls of a step launch is taken down once (`gpunn.backend.recording`), and made again at each step. A captured
graph repeats the same launches with the same arguments, so everything has its place:

- The batch is copied to the arena before, and results are copied from there behind the graph.
- What primitives compute on the way lies in one workspace.
- Numbers that change from step to step (learning rates, powers of Adam's betas, the numbers of dropout's draws) lie on
  the device; the host writes them there before, in one copy, if one has changed. For that an optimizer's host code runs
  at each step, and is taken down: if it launches the same as before, only its numbers count; if not, the graph is
  captured anew.
- Bad indices and labels are noted on the device. Kernels read nothing for them, and **optimizers update nothing any
  more** from the step on that has met one, so parameters and moments stay as the last good step left them. The host
  finds out when it looks (`Program.check`), with the error that eager work raises.

A call that needs the host in its middle, which reads from the device or goes through the array module, can't be part of
a graph. It is done op by op between two graphs; `CapturedProgram.explain_capture` lists such calls. The host looks for
bad indices before each of them, so they never see what comes of one.

A batch of another size, such as the last one of an epoch, has a graph of its own in the same memory. To pad it instead
every op would have to know how many samples count: batch norm, means, dropout's numbering.

A list is launched one by one the first time, which also loads its kernels, and captured behind that. An optimizer whose
state is about to be made (at the first step) or was loaded does that step op by op.

Everything is done on the caller's current stream; a graph may be launched into any. If that is another one at the next
step, it waits for this step's end, since its memory is used again; see `gpunn.plan.arena`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from gpunn.backend.errors import Errors
from gpunn.backend.memory_format import copy_as_it_lies
from gpunn.backend.recording import Launch, NotRecordable, Number, Recorder, capture
from gpunn.optim.bound import BoundProducts, BoundStep, is_one_kernel

from . import kernels
from .arena import Arena, Memory
from .fuse import Note
from .graph import Graph, ProductUpdate, Update
from .replay import Program, name_of, side_of
from .together import Together

MOST_OF_AN_UPDATE = 9
"""Numbers that the update of a parameter takes at most: NAdam's."""


def most_numbers(graph: Graph) -> int:
    """How many numbers change from step to step at most: those of draws and of updates."""
    updated = sum(len(node.params) for node in graph.nodes if isinstance(node, (Update, ProductUpdate)))
    return len(graph.calls) + MOST_OF_AN_UPDATE * updated


@dataclass(eq=False)
class Call:
    """One call of a step.

    Attributes:
        launches: what it launches, as far as that is known.
        obstacle: why it is not part of a graph; empty if it is.
    """

    function: Any
    args: list[Any]
    kwargs: dict[str, Any]
    launches: list[Launch] = field(default_factory=list)
    obstacle: str = ""

    @property
    def name(self) -> str:
        """The primitive, the op, or the optimizer."""
        return name_of(self.function)

    @property
    def updates(self) -> bool:
        """Whether it is an update, whose numbers are others at each step."""
        return isinstance(self.function, (BoundStep, BoundProducts))

    def __call__(self) -> None:
        """Make it."""
        self.function(*self.args, **self.kwargs)


class Segment:
    """Calls that follow one another: all of them part of one graph, or none.

    Attributes:
        calls: the calls.
        start: the number of the first of them in the step.
        captured: whether they are part of a graph.
    """

    def __init__(self, calls: Sequence[Call], start: int) -> None:
        self.calls = list(calls)
        self.start = start
        self.captured = not calls[0].obstacle
        self.updates = [call for call in calls if call.updates]
        self.graph: Any = None

    @property
    def end(self) -> int:
        """The number of the call behind the last one."""
        return self.start + len(self.calls)

    @property
    def launches(self) -> list[Launch]:
        """What they launch."""
        return [launch for call in self.calls for launch in call.launches]

    def __str__(self) -> str:
        if self.captured:
            return f"graph: {len(self.launches)} launches of {len(self.calls)} calls"
        return "\n".join(f"op by op: {call.name} {call.obstacle}" for call in self.calls)


def _are_settled(segment: Segment) -> bool:
    """Whether updates do what they did the last time."""
    return all(call.function.is_settled() for call in segment.updates)


class CapturedProgram(Program):
    """A `Program` whose calls are captured into graphs; see the module.

    Attributes:
        segments: the graphs of a step, and the calls between them.
        recorder: of their launches.
        drawn: the random draws in them, each with the number that it reads.
    """

    copies_arguments = True
    _errors: Errors
    _together: Together | None
    _too_many: float

    def __init__(self, graph: Graph, arena: Arena, notes: Sequence[Note] = ()):
        self._unseen = False  # whether there are steps whose checks the host has not looked at,
        self._older = False  # and whether one of them is older than this one
        super().__init__(graph, arena, notes)

    @property
    def launches(self) -> int:
        """How many kernels a step launches, known when the optimizer has gone its usual way once, in the third step."""
        return sum(len(segment.launches) for segment in self.segments)

    def explain_capture(self) -> str:
        """The graphs of a step, and the calls that are part of none and why, a line each."""
        return "\n".join(map(str, self.segments))

    def explain_kernels(self) -> str:
        """For each launch of a step its kernel, tiles, grid, parts and precision, and what it takes as predicted.

        Of products it says whether tiles and parts were picked as "predicted" or as "measured" (see ``GPUNN_TUNE``).

        Times are for an H100 or H200, and none is measured: of products by the tiles that were chosen for them, without
        the addition of their parts, of all else what its arrays take to go through memory once, of an update in a
        product the longer of the two. What a launch itself takes, about 1.2 us, is not in them. Launches of updates are
        known from the third step on.
        """
        return kernels.as_table(self.segments)

    def check(self) -> None:
        """Wait for the device, and raise what is wrong with the indices of steps up to now."""
        if self._unseen:
            self._unseen = False
            with self.backend.here():
                self._errors.look()

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """One step; the results are copies, which nothing changes later."""
        self.position = 0
        with self.backend.here(), self._inside:
            self._put(arrays)
            self.recorder.numbers.used = self._draw_count
            self._older, self._unseen = self._unseen, True
            with np.errstate(all="ignore"):
                for segment in self.segments:
                    self.position = segment.start
                    if segment.captured:
                        self._run(segment)
                    else:
                        self._run_one_by_one(segment)
            for place, v in self.liveness.written.items():
                self.backend.copy(self.array_of(v), out=arrays[place])
            return [self.copy_out(self.array_of(v)) for v in self.graph.results]

    def together(self, count: int) -> Callable[[Sequence[Any], Callable[[], None]], list[Any]] | None:
        """So many steps as one launch, on arrays (count, ...); None where that can't be, or not yet."""
        if count >= self._too_many or any(s.graph is None or not _are_settled(s) for s in self.segments):
            return None
        if self._together is None or self._together.count != count:
            self.check()
            self._together = None
            self._errors.forget_checks(keep=self._own_checks)  # those of another number of steps
            try:
                with self.backend.here():
                    self._together = Together(self, count, most_numbers(self.graph))
            except NotRecordable:
                self._too_many = count
                return None
        return self._at_once

    def _at_once(self, arrays: Sequence[Any], between: Callable[[], None]) -> list[Any]:
        assert self._together is not None
        with self.backend.here(), self._inside:
            self._older, self._unseen = self._unseen, True
            self.position = len(self._calls)  # what fails from here on has changed the optimizer's state
            with np.errstate(all="ignore"):
                return self._together(arrays, between)

    def let_go(self) -> None:
        """Let go of all memory but that of the checks, which the host may not have looked at yet."""
        super().let_go()
        self.segments: list[Segment] = []
        self.recorder: Any = None
        self.drawn: list[tuple[Any, Number]] = []
        self._together = None
        self._too_many = math.inf  # so many steps can't be one graph

    # A step -----------------------------------------------------------------------------------------------------------

    def _put(self, arrays: Sequence[Any]) -> None:
        for value, array in zip(self.graph.arguments, arrays):
            copy = self.backend.transfer if array.flags.c_contiguous else self.backend.copy
            copy(array, out=self.array_of(value))
        for call, spots in self._draws:
            number = call.generator.next_call(call.stream)
            for args, at in spots:
                if isinstance(args[at], Number):
                    self.recorder.numbers.set_whole(args[at], number)
                else:
                    args[at] = number

    def copy_out(self, array: Any) -> Any:
        """What lies in the step's memory, in memory of its own."""
        if not array.flags.c_contiguous:
            return copy_as_it_lies(self.backend, array)
        result = self.backend.empty(array.shape, array.dtype)
        self.backend.transfer(array, out=result)
        return result

    def _run(self, segment: Segment) -> None:
        if not _are_settled(segment):
            segment.graph = None
            self.recorder.numbers.send()
            self._run_one_by_one(segment)
            return
        for call in segment.updates:
            launches = self._taken_down(call)
            if len(launches) != len(call.launches) or any(a is not b for a, b in zip(launches, call.launches)):
                call.launches, segment.graph = launches, None
        self.recorder.numbers.send()
        self.position = segment.end
        if segment.graph is None:
            for launch in segment.launches:
                launch.run()
            segment.graph = capture(self.backend, segment.launches)
        else:
            segment.graph.launch()

    def _run_one_by_one(self, segment: Segment) -> None:
        """Launch what is a list, and call what is none."""
        for call in segment.calls:
            if call.obstacle or call.updates:
                self._look()
                call()
                self.backend.look()
            else:
                for launch in call.launches:
                    launch.run()
            self.position += 1

    def _look(self) -> None:
        """Raise what is wrong up to now. If a step before may have met it, what it left out can't be made up for."""
        here, self.position = self.position, len(self._calls) if self._older else self.position
        self._errors.look()
        self.position, self._older = here, False

    # Taking calls down ------------------------------------------------------------------------------------------------

    def _arguments(self, arrays: Sequence[Any]) -> tuple[dict[int, Any], dict[int, Any]]:
        return {}, {}  # they lie in the arena, always at the same place

    def _get_ready(self, memory: Memory) -> None:
        backend = self.backend
        with backend.here():
            calls = [Call(*call) for call in self._calls]
            self.recorder = Recorder(backend, most_numbers(self.graph))
            self.segments = self._cut(calls)
            self._bind_draws(calls)
            self._draw_count = self.recorder.numbers.used
            self._errors = self.recorder.errors
            self._errors.forget_checks()
            self.recorder.work_in(memory.take(self, "workspace", self.recorder.workspace_bytes))
            for call in calls:
                if not call.obstacle and not call.updates:
                    call.launches = self._taken_down(call)
        self._own_checks = self._errors.used
        self.workspace_bytes = self.recorder.nbytes

    def _taken_down(self, call: Call) -> list[Launch]:
        with self.recorder.call(call.launches, side_of(call.function)) as launches:
            call()
        return launches

    def _cut(self, calls: Sequence[Call]) -> list[Segment]:
        """Find out which calls can be recorded, and how much memory they compute in."""
        for call in calls:
            try:
                if not call.updates:
                    self._taken_down(call)
                elif not is_one_kernel(call.function.optimizer):
                    call.obstacle = "has an update of its own"
            except NotRecordable as obstacle:
                call.obstacle = str(obstacle)
        segments: list[Segment] = []
        for _, together in groupby(calls, lambda call: not call.obstacle):
            segments.append(Segment(list(together), segments[-1].end if segments else 0))
        return segments

    def _bind_draws(self, calls: Sequence[Call]) -> None:
        """Let recorded calls read the numbers of their draws from memory."""
        recorded = {id(call.args) for call in calls if not call.obstacle}
        for drawn, spots in self._draws:
            number: Number | None = None
            for args, at in spots:
                if id(args) in recorded:
                    if number is None:
                        number = self.recorder.numbers.take_whole()
                        self.drawn.append((drawn, number))
                    args[at] = number
