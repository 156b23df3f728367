"""What each launch does, counted on the simulator: of training steps, and of a call of every other operation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import gpunn
from gpunn.backend import sim
from gpunn.backend.kernel.ladder import rung
from gpunn.bench.implementations.gpunn_plan import Training
from gpunn.bench.workloads import WORKLOADS
from gpunn.inspect.profile import LaunchProfile, profile_launches

from . import calls, calls_of_elements  # noqa: F401  # which add theirs to CALLS
from .call import CALLS, Call
from .table import NONE, Column, Layout, Row, less, more

TITLE = "What each launch does, counted on the simulator; README.md says what the columns are."
LAYOUT = Layout(
    ("work", "kernel", "launch"),
    (
        Column("blocks"),
        Column("threads"),
        Column("read", more),
        Column("written", more),
        Column("requests", more),
        Column("sectors", more),
        Column("per request", more),
        Column("useful %", less),
        Column("block sectors", more),
        Column("shared cycles", more),
        Column("conflicts %", more),
    ),
)
STEPS = (("W1", 128), ("W3", 128), ("W4", 32), ("cnn", 16), ("W5", 2))
"""Networks and samples of a step, few enough for the simulator."""
_COUNTED_BLOCKS = 4


def jobs() -> Iterator[tuple[str, str]]:
    """What is counted: the sort of work, and its name."""
    yield from (("step", name) for name, _ in STEPS)
    yield from (("call", name) for name in CALLS)


def versions() -> str:
    """What counts. With g++ 12 neither its optimisation nor the processor changed a count."""
    return "gpunn's simulator"


def rows(sort: str, name: str) -> list[Row]:
    """A row for each launch of a piece of work."""
    return _step(name, dict(STEPS)[name]) if sort == "step" else _calls(name, CALLS[name])


def _step(name: str, batch: int) -> list[Row]:
    """The launches of a later step: the first one makes the plan."""
    training = Training(WORKLOADS[name], batch, 1, "adam", "sim")
    launches = profile_launches(lambda: training.run(1), before=lambda: training.run(2), counted_blocks=_COUNTED_BLOCKS)
    return _rows(f"{name}, batch {batch}", launches)


def _calls(name: str, call: Call) -> list[Row]:
    """The launches of a call on each of its rungs."""
    found = []
    for chosen in call.rungs:
        with rung(call.ladder, chosen):
            found += _rows(f"{name}, {chosen}", _launches(call))
    return found or _rows(name, _launches(call))


def _launches(call: Call) -> list[LaunchProfile]:
    """What a call launches where earlier ones have left no check to look at, and counters for its blocks."""
    gpunn.manual_seed(0)
    inputs = call.inputs()

    def before() -> None:
        sim.backend().unseen.look()
        sim.backend().counters(1)

    return profile_launches(lambda: call.work(*inputs), before=before, counted_blocks=_COUNTED_BLOCKS)


def _rows(work: str, launches: Sequence[LaunchProfile]) -> list[Row]:
    seen: Counter[str] = Counter()
    found = []
    for launch in launches:
        seen[launch.kernel] += 1
        found.append((work, launch.kernel, str(seen[launch.kernel]), *_cells(launch)))
    return found


def _cells(launch: LaunchProfile) -> Row:
    memory = [a for a in launch.accesses if a.memory == "global"]
    requests, sectors, useful = (sum(getattr(a, n) for a in memory) for n in ("requests", "sectors", "useful_bytes"))
    cycles, conflicts = (sum(getattr(a, n) for a in launch.accesses) for n in ("passes", "conflicts"))
    read, written = (sum(getattr(a, n) for a in launch.arrays) for n in ("read", "written"))
    return (
        *map(str, (math.prod(launch.grid), math.prod(launch.block), read, written, requests, sectors)),
        f"{sectors / requests:.1f}" if requests else NONE,
        f"{100 * useful / (32 * sectors):.0f}" if sectors else NONE,
        str(round(math.prod(launch.grid) * sum(a.block_sectors for a in launch.arrays))),
        *((str(cycles), f"{100 * conflicts / cycles:.0f}") if cycles else (NONE, NONE)),
    )
