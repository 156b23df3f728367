"""What gpunn wants to reach on a GPU, and what is predicted for it: training steps, products, memory-bound kernels.

    python3 -m benchmarks.goals             # some minutes; prints a table
    python3 -m benchmarks.goals --write     # and writes it to benchmarks/results/goals.md; with --only those rows of it
    python3 -m benchmarks.goals --only W1

Nothing is measured. Of large grids some blocks are counted on the simulator, and scaled (see `gpunn profile`), so what
the last block of a tile does beyond the others is left out where it is not among them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from ml_dtypes import bfloat16

import gpunn
from gpunn import nn, optim
from gpunn.backend.kernel import gemm, linear
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.products import computing_in
from gpunn.backend.simulator import LaunchProfile
from gpunn.bench.implementations.gpunn_plan import Training
from gpunn.bench.kernel_cases import CASES, Case, moved
from gpunn.bench.workloads import WORKLOADS
from gpunn.inspect.profile import Gpu, gpu, predict, profile_launches
from gpunn.optim.bound import BoundProducts
from gpunn.train.precision import Precision

from .predicted.steps import of_zeros

FILE = Path(__file__).parent / "results" / "goals.md"
GPUS = "H100", "A100"
HEADER = f"| work | goal | {' | '.join(GPUS)} | |", "| --- | --- | " + " | ".join(["---"] * (len(GPUS) + 1)) + " |"
FEW_BLOCKS, BLOCKS, MORE_BLOCKS = 7, 23, 61
"""Of a launch, that are counted: prime numbers, so that they don't line up with the rows of a grid. Few of them of a
convolution, where they do much the same. More of them where both gradients of a layer are one launch: what a block of
one does is up to ten times what one of the other does, and with few the share of each would be off."""


class Counted(NamedTuple):
    """A piece of work: its launches, counted, and its arithmetic, or the bytes that it moves at least."""

    launches: list[LaunchProfile]
    amount: float = 0.0


class Goal(NamedTuple):
    """What is wanted of a piece of work.

    Attributes:
        work: its name.
        what: is wanted: "us", "launches", "% of peak" or "% of copy".
        wanted: at most for us and launches, else at least, on the first GPU.
        count: does the work.
    """

    work: str
    what: str
    wanted: float
    count: Callable[[], Counted]

    def reached(self, counted: Counted, on: Gpu) -> float:
        """What is predicted for a GPU."""
        launches = counted.launches
        if self.what == "launches":
            return len(launches)
        touched = sum(
            min((a.read + a.written) * np.prod(x.grid) / x.run_blocks, a.bytes) for x in launches for a in x.arrays
        )
        resident = self.what == "us" and touched <= on.l2_bytes
        us = sum(predict(x, on, resident).microseconds for x in launches)
        if self.what == "us":
            return us + len(launches) * on.graph_node_us
        mean_clock = (on.base_mhz + on.boost_mhz) / 2 / on.boost_mhz  # which predictions are for
        peak = on.fp32_flops * mean_clock if self.what == "% of peak" else on.dram_bytes_per_second * on.copy_share
        return 100 * counted.amount / (1e-6 * us * peak)

    def held(self, reached: float) -> bool:
        """Whether that is enough."""
        return reached <= self.wanted if self.what in ("us", "launches") else reached >= self.wanted


STEPS = (
    *(("W1", 1, "fp32", 25, 8), ("W1", 128, "fp32", 40, 8), ("W1", 1024, "fp32", 110, 0)),
    *(("W1", 65536, "fp32", 4200, 0), ("W4", 128, "fp32", 0, 12), ("cnn", 128, "fp32", 120, 12)),
    *(("W5", 128, "fp32", 900, 60), ("W2", 1024, "tf32", 1600, 0), ("W2", 1024, "bf16", 1000, 0)),
)
"""Network, samples, precision; microseconds and launches of a training step with Adam; 0: no goal."""
PRODUCTS = (
    *(
        ("large", (16896, 2048, 1024), 88, 85),
        ("medium", (4096, 784, 512), 75, 75),
        ("small", (1056, 512, 512), 60, 60),
    ),
)
"""Tiles; rows, inputs and outputs of an affine map; shares of the peak, forward and backward."""
UPDATES = 128, 4096, 4096
"""Rows, inputs and outputs of a product in which Adam updates the weight."""
CONVOLUTIONS = (256, 64, 64, 32), (256, 128, 128, 16), (256, 256, 256, 8)
"""Images, channels in and out, rows and columns; kernels of 3 x 3, padded."""
INDEXING = "embedding_backward", "index_put", "index_sum"
"""No goals: what other kernels leave incomplete would be their indices."""


def goals() -> Iterator[Goal]:
    """All of them."""
    for name, batch, precision, us, launches in STEPS:
        step = partial(_step, name, batch, precision)
        for what, wanted in (("us", us), ("launches", launches)):
            if wanted:
                yield Goal(f"{name}, batch {batch}, {precision}", what, wanted, step)
    for size, sizes, forward, backward in PRODUCTS:
        where = f"{size} tiles, {' x '.join(map(str, sizes))}"
        yield Goal(f"linear forward, {where}", "% of peak", forward, partial(_linear, size, sizes, False))
        yield Goal(f"linear backward, {where}", "% of peak", backward, partial(_linear, size, sizes, True))
    for precision in ("fp32", "tf32", "bf16"):
        where = f"Adam in a product, {' x '.join(map(str, UPDATES))}, {precision}"
        yield Goal(where, "% of copy", 85, partial(_update, precision))
    for last in (False, True):
        for sizes in CONVOLUTIONS:
            for what in ("forward", "input gradient", "weight gradient"):
                images, inner, outer, side = sizes
                where = f"{images} x {inner} x {side} x {side} to {outer}{', channels last' if last else ''}"
                work = partial(_convolution, what, sizes, last)
                yield Goal(f"implicit convolution {what}, {where}", "% of peak", 75, work)
    for name, case in CASES.items():
        if case.flop is None and name not in INDEXING:
            yield Goal(f"{name}, {' x '.join(map(str, case.shape))}", "% of copy", 85, partial(_work, case))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="TEXT", default="", help="goals whose work has this in its name")
    parser.add_argument("--write", action="store_true", help=f"write the table to {FILE.name} too")
    options = parser.parse_args()
    lines = list(HEADER)
    print("\n".join(lines), flush=True)
    counted: dict[str, Counted] = {}
    for goal in goals():
        if options.only not in goal.work:
            continue
        if goal.work not in counted:
            counted = {goal.work: goal.count()}
        reached = [goal.reached(counted[goal.work], gpu(name)) for name in GPUS]
        cells = [goal.work, f"{_sign(goal)} {goal.wanted:,} {goal.what}", *(f"{x:,.0f}" for x in reached)]
        lines.append(f"| {' | '.join(cells)} | {'held' if goal.held(reached[0]) else 'not held'} |")
        print(lines[-1], flush=True)
    if options.write:
        write(lines[2:])


def write(lines: list[str]) -> None:
    """Write lines of the table to the file; of other goals, those that it has stay."""
    found = FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []
    rows = {_of_goal(line): line for line in [*found, *lines] if line.startswith("| ")}
    order = [(g.work, f"{_sign(g)} {g.wanted:,} {g.what}") for g in goals()]
    table = [rows[key] for key in order if key in rows]
    FILE.write_text("\n".join([_HEAD, *HEADER, *table, ""]), encoding="utf-8")


def _of_goal(line: str) -> tuple[str, ...]:
    return tuple(line.removeprefix("| ").split(" | ")[:2])


def _sign(goal: Goal) -> str:
    return "at most" if goal.what in ("us", "launches") else "at least"


_HEAD = f"""# Goals on a GPU, and what is predicted

Written by `python3 -m benchmarks.goals --write`. Nothing here is measured. Goals are those for the first GPU; "held"
says whether they are reached by the prediction. Peak is that of float32 without tensor cores, at the mean of base and
boost clock, which predictions are for; copy is the bandwidth that a copy on the device reached. Of large grids {BLOCKS}
blocks are counted, and scaled, {FEW_BLOCKS} of convolutions, up to {MORE_BLOCKS} where a launch has two products.
Figures are rounded.
"""


class _InPrecision(nn.Module):
    """A module whose forward computes in a precision."""

    def __init__(self, inner: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.inner, self.precision = inner, precision

    def forward(self, x: gpunn.Tensor) -> gpunn.Tensor:
        with self.precision.forward():
            return self.inner(x)


def _step(name: str, batch: int, precision: str) -> Counted:
    how = Precision(precision, "sim")
    with of_zeros(), how.products():
        training = Training(WORKLOADS[name], batch, 1, "adam", "sim")
        model = _InPrecision(training.model, how)
        step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), training.optimizer)
        given = training.x[0], training.t[0]
        blocks = MORE_BLOCKS if name == "W1" else BLOCKS
        return Counted(_counted(lambda: step(*given), lambda: [step(*given) for _ in range(3)], blocks))


def _linear(size: str, sizes: tuple[int, int, int], backward: bool) -> Counted:
    rows, inputs, outputs = sizes

    def plan(m: int, n: int, k: int, **_: Any) -> gemm.Schedule:
        """That of these tiles whose last round of blocks is the fullest."""
        found = [p for _, p in gemm.all_schedules(m, n, k) if p.size == size and (p.counted or p.parts == 1)]
        full = gemm.MULTIPROCESSORS * gemm.TILES[size].resident
        return min(found, key=lambda p: -(p.grid[0] * p.parts) % full)

    x, w, b, dz = (np.zeros(s, "f") for s in ((rows, inputs), (outputs, inputs), (outputs,), (rows, outputs)))
    pair = gemm.Pair(plan(rows, inputs, outputs), plan(outputs, inputs, rows), True)
    flop = 2.0 * rows * inputs * outputs
    with of_zeros() as backend, patch.object(linear, "schedule", plan), patch.object(linear, "pair", lambda *_: pair):
        if backward:
            work = partial(backend.linear_backward, dz, x, w, (True, True, True))
            of_x, of_w = (p.grid[0] * p.parts for p in pair[:2])
            return Counted(_counted(work, blocks=_blocks_for(of_w / (of_x + of_w))), 2 * flop)
        return Counted(_counted(lambda: backend.linear_activation(x, w, b, "relu", 0.0)), flop)


def _convolution(what: str, sizes: tuple[int, int, int, int], last: bool) -> Counted:
    images, inner, outer, side = sizes

    def zeros(count: int, channels: int, size: int) -> Any:
        shape = (count, size, size, channels) if last else (count, channels, size, size)
        return np.zeros(shape, "f").transpose(0, 3, 1, 2) if last else np.zeros(shape, "f")

    x, w, dz, b = zeros(images, inner, side), zeros(outer, inner, 3), zeros(images, outer, side), np.zeros(outer, "f")
    how = (1, 1), (1, 1), (1, 1), 1
    with of_zeros() as backend, rung("conv2d", "implicit"), rung("conv2d_channels_last", "implicit"):
        work = {
            "forward": lambda: backend.conv2d_forward(x, w, b, (side, side), *how, "relu", out=dz),
            "input gradient": lambda: backend.conv2d_input_grad(dz, w, (side, side), *how, out=x),
            "weight gradient": lambda: backend.conv2d_weight_grad(x, dz, (3, 3), *how, True, out=(w, b)),
        }
        return Counted(_counted(work[what], blocks=FEW_BLOCKS), 2.0 * dz.size * 9 * inner)


def _blocks_for(share: float) -> int:
    """How many blocks to count, so that those which have this share of them are a whole number as nearly as can be."""
    return min(range(BLOCKS, MORE_BLOCKS), key=lambda n: abs(n * share - round(n * share)))


def _update(precision: str) -> Counted:
    rows, inputs, outputs = UPDATES
    factors = bfloat16 if precision == "bf16" else np.float32
    dz, x = (np.zeros((rows, n), factors) for n in (outputs, inputs))
    weight = gpunn.zeros(outputs, inputs, device="sim", requires_grad=True)
    with of_zeros(), computing_in("high" if precision == "tf32" else "highest"):
        step = BoundProducts(optim.Adam([weight]), weight, None)
        return Counted(_counted(lambda: step(dz, x), lambda: step(dz, x)), dz.nbytes + x.nbytes + 6 * weight.nbytes)


def _work(case: Case) -> Counted:
    with of_zeros() as backend:
        work = case.make(backend, *case.shape)
        made: list[Any] = []
        launches = _counted(lambda: made.append(work.run()))
        return Counted(launches, moved(work, made[0]))


def _counted(
    work: Callable[[], Any], before: Callable[[], Any] | None = None, blocks: int = BLOCKS
) -> list[LaunchProfile]:
    return profile_launches(work, before=before, counted_blocks=blocks, only_counted=True)


if __name__ == "__main__":
    main()
