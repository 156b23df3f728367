"""Several steps of a plan in one CUDA graph: one launch by the host does all of them.

Each step's launches are taken down anew, on its own batch, with its own numbers (learning rates, draws), and with its
own place for the results; all else is the memory of the plan. So the bits are those of single steps, and nothing is
copied between two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gpunn.backend.recording import NotRecordable, Number, Recorder, capture

from .graph import Value
from .replay import side_of

if TYPE_CHECKING:
    from .capture import Call, CapturedProgram


class Together:
    """So many steps of a program as one graph.

    Args:
        program: is bound, and captured as one graph.
        count: how many steps.
        most: numbers that change from step to step, at most.

    Raises:
        NotRecordable: the step is not one graph, or writes into its arguments, or checks too much.
    """

    def __init__(self, program: CapturedProgram, count: int, most: int) -> None:
        if len(program.segments) != 1 or not program.segments[0].captured or program.written or program.kept:
            raise NotRecordable("is not one graph")
        self.program, self.count = program, count
        backend, graph = program.backend, program.graph
        self.recorder = Recorder(backend, count * most)
        self.recorder.share(program.recorder)
        self.batches = [_room(backend, count, v) for v in graph.arguments]
        self.results = [_room(backend, count, v) for v in graph.results]
        self.draws: list[list[tuple[Any, Number]]] = []
        self.steps = [self._calls(i) for i in range(count)]
        self._draw_count = self.recorder.numbers.used
        self.graph: Any = None

    def __call__(self, arrays: Sequence[Any], between: Callable[[], None]) -> list[Any]:
        """Do the steps on arrays (count, ...); `between` is called behind the host's part of each.

        Returns:
            The results of all steps, arrays (count, ...).
        """
        program, numbers = self.program, self.recorder.numbers
        backend = program.backend
        for array, batch in zip(arrays, self.batches):
            copy = backend.transfer if array.flags.c_contiguous else backend.copy
            copy(array, out=batch)
        numbers.used = self._draw_count
        for calls, draws in zip(self.steps, self.draws):
            for call, number in draws:
                numbers.set_whole(number, call.generator.next_call(call.stream))
            for update in calls:
                if update.updates:
                    self._take_down(update)
            between()
        numbers.send()
        if self.graph is None:
            launches = [launch for calls in self.steps for call in calls for launch in call.launches]
            for launch in launches:
                launch.run()
            self.graph = capture(backend, launches)
        else:
            self.graph.launch()
        return [program.copy_out(result) for result in self.results]

    def _take_down(self, call: Call) -> None:
        """Take down an update; if it launches something else than the last time, the graph is of no use."""
        with self.recorder.call(call.launches, side_of(call.function)) as launches:
            call()
        if len(launches) != len(call.launches) or any(a is not b for a, b in zip(launches, call.launches)):
            call.launches, self.graph = launches, None

    def _calls(self, i: int) -> list[Call]:
        """The calls of step i; those of updates without their launches."""
        program = self.program
        replaced = self._places(i)
        calls = []
        for call in program.segments[0].calls:
            own = type(call)(call.function, _with(replaced, call.args), _with(replaced, call.kwargs))
            calls.append(own if own.updates else self._recorded(own))
        for v, room in zip(program.graph.results, self.results):
            if not self._is_own(v):
                source = program.array_of(v)
                copied = [replaced.get(id(source), source)]
                calls.append(self._recorded(type(calls[0])(program.backend.copy, copied, {"out": room[i, ...]})))
        return calls

    def _recorded(self, call: Call) -> Call:
        with self.recorder.call(side=side_of(call.function)) as launches:
            call()
        call.launches = launches
        return call

    def _places(self, i: int) -> dict[int, Any]:
        """What stands, in step i, in the place of arrays and numbers of a single step, by their ids."""
        program = self.program
        replaced = {id(program.array_of(v)): b[i, ...] for v, b in zip(program.graph.arguments, self.batches)}
        for node in program.views:
            arrays = [program.array_of(x) if isinstance(x, Value) else x for x in node.inputs]
            if any(id(a) in replaced for a in arrays):
                shown = node.op.forward(program.backend, *(replaced.get(id(a), a) for a in arrays))
                pairs = zip(node.outputs, (shown,) if node.single else shown)
                replaced.update((id(program.array_of(y)), a) for y, a in pairs)
        for v, room in zip(program.graph.results, self.results):
            if self._is_own(v):
                replaced[id(program.array_of(v))] = room[i, ...]
        draws = []
        for call, number in program.drawn:
            new = self.recorder.numbers.take_whole()
            replaced[id(number)] = new
            draws.append((call, new))
        self.draws.append(draws)
        return replaced

    def _is_own(self, v: Value) -> bool:
        """Whether a result is made in the step, in memory that nothing shows, and is returned once."""
        program = self.program
        return (
            v.node is not None
            and v.state is None
            and program.liveness.owned(v) is v
            and program.graph.results.count(v) == 1
            and id(v.node) not in program.liveness.constants
            and not any(x is v for node in program.views for x in node.inputs)
        )


def _room(backend: Any, count: int, v: Value) -> Any:
    return backend.empty((count, *v.spec.shape), v.spec.dtype.numpy)


def _with(replaced: dict[int, Any], given: Any) -> Any:
    """Arguments, with what stands in the place of some of them."""
    if isinstance(given, dict):
        return {name: _with(replaced, a) for name, a in given.items()}
    if type(given) in (list, tuple):
        return type(given)(_with(replaced, a) for a in given)
    return replaced.get(id(given), given)
