"""Ladders of kernels: what each rung of an operation takes, measured on a GPU or predicted for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from gpunn.backend import recording
from gpunn.backend.device import device as Device
from gpunn.backend.kernel.choices import choice_of
from gpunn.backend.kernel.ladder import LADDERS, rung
from gpunn.inspect.profile import Gpu, predict, profile_launches
from gpunn.inspect.profile.clock import LAUNCHES, measure
from gpunn.inspect.profile.launches import COUNTED_BLOCKS

from .kernel_cases import CASES, Case, Work, moved

GRAPH_SECONDS = 1e-3
"""So long a graph of launches takes, or `LAUNCHES` of them."""


@dataclass(frozen=True)
class Row:
    """A rung of an operation.

    Attributes:
        op: the operation.
        shape: of what is computed.
        rung: the rung's name.
        kernels: what it launches, in order.
        tile: of a product, with the parts of its sums, and whether they were picked as predicted or as measured.
        picked: whether the dispatcher takes this rung where nothing else is asked for.
        microseconds: measured, or predicted; with what the nodes of a graph take.
        bytes: that it reads and writes at least.
        flop: its arithmetic; None where bytes are all that counts.
        limit: microseconds that the arithmetic or the bytes alone take on the GPU; None where it is not known.
    """

    op: str
    shape: tuple[int, ...]
    rung: str
    kernels: tuple[str, ...]
    tile: str
    picked: bool
    microseconds: float
    bytes: int
    flop: int | None
    limit: float | None

    @property
    def gigabytes_per_second(self) -> float:
        """Of the bytes that it has to move."""
        return self.bytes / self.microseconds / 1e3

    @property
    def teraflops(self) -> float | None:
        """Of its arithmetic, per second."""
        return None if self.flop is None else self.flop / self.microseconds / 1e6

    @property
    def percent_of_limit(self) -> float | None:
        """How much of its time the limit would take."""
        return None if self.limit is None else 100 * self.limit / self.microseconds

    def to_dict(self) -> dict[str, Any]:
        """All numbers."""
        names = "gigabytes_per_second", "teraflops", "percent_of_limit"
        return asdict(self) | {name: getattr(self, name) for name in names}


def rows(
    ops: Sequence[str],
    device: Device,
    gpu: Gpu | None,
    shape: tuple[int, ...] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Iterator[Row]:
    """A row for each rung of each operation.

    Args:
        ops: some of `CASES`.
        device: ``cuda``, where rungs are measured, or ``sim``, where they are counted and predicted for the GPU.
        gpu: whose limits count; for ``cuda`` None where its figures are not known.
        shape: of the one operation, in the place of its own.
        on_progress: called with how many of how many rungs are done.

    Raises:
        CompileError: a text does not compile for the GPU.
        NvrtcMissing, DisassemblerMissing, SolverMissing: what predictions need is not on this machine.
    """
    of, done = sum(len(LADDERS[op].rungs) for op in ops), 0
    with _with_tensor_cores_of(gpu, device):
        for op in ops:
            case = CASES[op]
            sizes = shape or (case.shape if device.type == "cuda" else case.counted)
            work = case.make(device.backend, *sizes)
            best, _ = _taken_down(device.backend, work)
            for name in LADDERS[op].rungs:
                with rung(op, name):
                    launches, results = _taken_down(device.backend, work)
                    limit = None if gpu is None else _limit(case, sizes, moved(work, results), gpu)
                    took = _measured(device, launches) if device.type == "cuda" else _predicted(device, work, gpu)
                tiles = dict.fromkeys(_tile(launch) for launch in launches)
                yield Row(
                    op,
                    sizes,
                    name,
                    kernels=tuple(launch.name for launch in launches),
                    tile="; ".join(filter(None, tiles)),
                    picked=_alike(launches, best),
                    microseconds=took,
                    bytes=moved(work, results),
                    flop=None if case.flop is None else case.flop(*sizes),
                    limit=limit,
                )
                done += 1
                on_progress(done, of)


@contextmanager
def _with_tensor_cores_of(gpu: Gpu | None, device: Device) -> Iterator[None]:
    """Inside, the simulator picks as on that GPU: tensor cores from sm_80 on."""
    if gpu is None or device.type != "sim":
        yield
        return
    simulator = device.backend
    simulator.tensor_cores = int(gpu.arch.removeprefix("sm_")) >= 80
    try:
        yield
    finally:
        del simulator.tensor_cores


def _taken_down(backend: Any, work: Work) -> tuple[list[recording.Launch], Any]:
    """The launches of a work, which are not made, and its results."""
    with backend.here(), recording.Recorder(backend).call() as launches:
        results = work.run()
    return launches, results


def _measured(device: Device, launches: Sequence[recording.Launch]) -> float:
    """Microseconds of launches, one behind the other on the same arrays: from a graph of many such rows."""
    backend = device.backend
    with backend.here():
        for launch in launches:
            launch.run()
        once = measure(recording.capture(backend, launches, lanes=1).launch, device, seconds=0.0, repeats=1).us
        count = max(1, min(LAUNCHES, round(1e6 * GRAPH_SECONDS / once)))
        graph = recording.capture(backend, [*launches] * count, lanes=1)
        return measure(graph.launch, device, repeats=8, warm_up=1).us / count


def _predicted(device: Device, work: Work, gpu: Gpu | None) -> float:
    """Microseconds of a work in a graph, whose arrays come from memory."""
    assert gpu is not None
    launches: list[recording.Launch] = []

    def before() -> None:
        launches.extend(_taken_down(device.backend, work)[0])

    def run() -> None:
        for launch in launches:
            launch.run()

    counted = profile_launches(run, before=before, counted_blocks=COUNTED_BLOCKS)
    return sum(predict(launch, gpu).microseconds + gpu.graph_node_us for launch in counted)


def _limit(case: Case, sizes: tuple[int, ...], moved: int, gpu: Gpu) -> float:
    """Microseconds that arithmetic or bytes alone take; where a GPU has no tensor cores for a type, as in float32."""
    rate = gpu.tensor_flops.get(case.factors, gpu.fp32_flops)
    flop = 0 if case.flop is None else case.flop(*sizes)
    return 1e6 * max(flop / rate, moved / (gpu.dram_bytes_per_second * gpu.copy_share))


def _tile(launch: recording.Launch) -> str:
    found = choice_of(launch)
    return f"{found.tile}, {found.parts} part{'s' * (found.parts != '1')}, {found.by}" if found.tile else found.by


def _alike(launches: Sequence[recording.Launch], others: Sequence[recording.Launch]) -> bool:
    """Whether two rows of launches are of the same kernels, in the same sizes."""
    return [(x.name, x.grid, x.block) for x in launches] == [(x.name, x.grid, x.block) for x in others]
