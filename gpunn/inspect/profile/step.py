"""What a training step would take on a GPU that is not there, launch by launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gpunn
from gpunn.backend.simulator import LaunchProfile
from gpunn.plan import Step
from gpunn.plan.capture import Call, CapturedProgram

from .advice import advice
from .gpus import Gpu
from .launches import COUNTED_BLOCKS, profile_launches
from .measured import calls_of
from .model import Prediction, predict
from .parts import What, parts_of


@dataclass(frozen=True)
class PredictedLaunch:
    """A launch of a step.

    Attributes:
        phase: "forward", "backward" or "update".
        layer: the path of the module that it belongs to; empty for the loss and the like.
        op: the op, or the optimizer's step.
        counted: what the simulator counted.
        prediction: what it would take.
        advice: what would help most.
    """

    phase: str
    layer: str
    op: str
    counted: LaunchProfile
    prediction: Prediction
    advice: str

    @property
    def sectors_per_request(self) -> float | None:
        """Of global memory, sectors of 32 bytes; None if there is no request."""
        memory = [a for a in self.counted.accesses if a.memory == "global"]
        requests = sum(a.requests for a in memory)
        return sum(a.sectors for a in memory) / requests if requests else None

    @property
    def conflicts(self) -> float | None:
        """The share of shared memory's cycles that conflicts between banks have added; None if it is not used."""
        passes = sum(a.passes for a in self.counted.accesses)
        return sum(a.conflicts for a in self.counted.accesses) / passes if passes else None


@dataclass(frozen=True)
class StepPrediction:
    """What a step would take on a GPU.

    Attributes:
        title: what it is called.
        gpu: the GPU.
        samples: in a batch.
        launches: its launches, in their order.
        resident: whether all that it touches was taken to stay in the second-level cache from step to step.
        flop: the arithmetic of its ops, as far as it is known: that of optimizers is not.
        bytes: what its ops read and write, one by one, as far as that is known.
        touched: bytes that its launches touch, each array once a launch.
    """

    title: str
    gpu: Gpu
    samples: int
    launches: tuple[PredictedLaunch, ...]
    resident: bool
    flop: int
    bytes: int
    touched: int

    @property
    def microseconds(self) -> float:
        """Of the step as one CUDA graph: its launches and what the nodes of a graph cost."""
        return sum(x.prediction.microseconds + self.gpu.graph_node_us for x in self.launches)

    @property
    def low(self) -> float:
        """The least that it would take, in microseconds."""
        return sum(x.prediction.low + self.gpu.graph_node_us for x in self.launches)

    @property
    def high(self) -> float:
        """The most."""
        return sum(x.prediction.high + self.gpu.graph_node_us for x in self.launches)

    @property
    def samples_per_second(self) -> float:
        """By the prediction."""
        return 1e6 * self.samples / self.microseconds

    def _repr_html_(self) -> str:
        from gpunn import notebook

        rows = [
            (x.phase, x.layer or x.op, x.prediction.kernel, f"{x.prediction.microseconds:,.2f}", x.prediction.limiter)
            for x in self.launches
        ]
        note = f"{self.microseconds:,.0f} us a step ({self.low:,.0f} to {self.high:,.0f}), predicted"
        title = f"{self.title}, on {self.gpu.name} ({self.gpu.arch}): predicted, nothing is measured"
        return notebook.table(["phase", "layer", "kernel", "us", "limited by"], rows, title, note)

    def to_dict(self) -> dict[str, Any]:
        """The same as dictionaries, lists, strings and numbers."""
        totals = ("title", "samples", "resident", "flop", "bytes", "touched", "microseconds", "low", "high")
        rate = {"samples_per_second": self.samples_per_second}
        rows = [
            {
                **{name: getattr(x, name) for name in ("phase", "layer", "op", "advice")},
                **asdict(x.prediction),
                "sectors_per_request": x.sectors_per_request,
                "conflicts": x.conflicts,
            }
            for x in self.launches
        ]
        return {"gpu": self.gpu.name, **{name: getattr(self, name) for name in totals}, **rate, "launches": rows}


def predict_step(
    step: Step,
    *batch: gpunn.Tensor,
    gpu: Gpu,
    title: str = "",
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> StepPrediction:
    """Predict what a step on the device ``sim`` would take on a GPU, as one graph of its launches.

    The step is done twice, so a model is trained by it; it must not have been called before.

    Args:
        step: a `gpunn.TrainStep` or `gpunn.EvalStep`.
        batch: what it is called with.
        gpu: one of `gpunn.inspect.profile.GPUS`.
        title: what it is called.
        on_progress: called with how many of how many launches are predicted.

    Raises:
        ValueError: the step has no plan, or a kernel can't be launched on that GPU.
        NvrtcMissing, DisassemblerMissing, SolverMissing: what is needed is not on this machine; the message says what
            to install.
    """
    counted, costs = step_launches(step, *batch)
    touched = sum(array.read + array.written for _, launch in counted for array in launch.arrays)
    resident = touched <= gpu.l2_bytes
    launches = []
    for done, (what, launch) in enumerate(counted):
        prediction = predict(launch, gpu, resident)
        launches.append(
            PredictedLaunch(what.phase, what.layer, what.op, launch, prediction, advice(launch, prediction, gpu))
        )
        on_progress(done + 1, len(counted))
    flop, moved = (sum(filter(None, column)) for column in zip(*((what.flop, what.bytes) for what in costs)))
    return StepPrediction(title or repr(step), gpu, len(batch[0]), tuple(launches), resident, flop, moved, touched)


def step_launches(
    step: Step, *batch: gpunn.Tensor, counted_blocks: int | None = COUNTED_BLOCKS
) -> tuple[list[tuple[What, LaunchProfile]], list[What]]:
    """The launches of a step on the device ``sim``, counted.

    Args:
        step: it must not have been called before.
        batch: what it is called with.
        counted_blocks: see `profile_launches`.

    Returns:
        Each launch with what it is done for, in their order; and all that the step does.

    Raises:
        ValueError: the step has no plan.
    """
    launches = profile_launches(lambda: step(*batch), before=lambda: step(*batch), counted_blocks=counted_blocks)
    program = step._current
    if not isinstance(program, CapturedProgram):
        raise ValueError(f"{step!r} has no plan on the device sim, whose launches could be counted")
    parts = parts_of(program.graph)
    return list(_assigned(launches, [(parts[id(node)], call) for node, call in calls_of(program)])), [*parts.values()]


def _assigned(
    launches: Sequence[LaunchProfile], calls: Sequence[tuple[What, Call]]
) -> Iterator[tuple[What, LaunchProfile]]:
    """Each launch with what it is done for. What a call launches that is part of no graph is known by what follows."""
    known = [(what, [launch.name for launch in call.launches]) for what, call in calls]
    at = 0
    for k, (what, names) in enumerate(known):
        following = next((later[0] for _, later in known[k + 1 :] if later), None)
        end = at + len(names)
        while not names and end < len(launches) and launches[end].kernel != following:
            end += 1
        yield from ((what, launch) for launch in launches[at:end])
        at = end
