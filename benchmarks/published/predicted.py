"""Predictions of the published ladders, rung by rung: a few blocks of each are counted on the simulator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gpunn.backend.kernel_texts import kernel_folder
from gpunn.backend.simulator import LaunchProfile, RawModule
from gpunn.inspect.profile import gpus
from gpunn.inspect.profile.model import Prediction, predict

from .ladders import Ladder, Rung

COUNTED_BLOCKS = {"computes": 4, "moves": 64}
MOST_BYTES = 1 << 29
"""What moves more than that is counted at a smaller size, and its time is scaled: such a launch has many blocks of the
same work, and nothing of it stays in a cache."""
MOST_BYTES_OF_A_BLOCK = 1 << 22
"""Likewise where few blocks move all of it, each in a loop: every access of a counted block is kept in memory."""


@dataclass(frozen=True)
class Judged:
    """What was predicted of a rung, and what was measured.

    Attributes:
        ladder: the ladder.
        rung: the rung.
        predictions: of its launches, in their order, at the size that was counted.
        scale: the published work over that which was counted.
    """

    ladder: Ladder
    rung: Rung
    predictions: tuple[Prediction, ...]
    scale: float

    @property
    def predicted(self) -> float:
        """Microseconds of all launches, with what launches cost the GPU."""
        return self._sum([p.microseconds for p in self.predictions])

    @property
    def low(self) -> float:
        """The least that they would take."""
        return self._sum([p.low for p in self.predictions])

    @property
    def high(self) -> float:
        """The most."""
        return self._sum([p.high for p in self.predictions])

    def _sum(self, times: Sequence[float]) -> float:
        node = gpus.gpu(self.ladder.gpu).graph_node_us
        return sum(us * self.scale + node for us in times)

    @property
    def measured(self) -> float:
        """Microseconds."""
        return 1e6 * self.ladder.seconds(self.rung)

    @property
    def longest(self) -> Prediction:
        """The launch that takes longest."""
        return max(self.predictions, key=lambda p: p.microseconds)

    @property
    def ratio(self) -> float:
        """Of predicted to measured."""
        return self.predicted / self.measured


def judged(ladder: Ladder, rung: Rung, counts: Sequence[LaunchProfile] | None = None) -> Judged:
    """Predict a rung that has a kernel.

    Args:
        ladder: the ladder.
        rung: the rung.
        counts: what `counted` gave earlier.
    """
    gpu = board(ladder)
    scale = ladder.work() / ladder.work(counted_size(ladder, rung))
    predictions = (predict(launch, gpu) for launch in counts or counted(ladder, rung))
    return Judged(ladder, rung, tuple(predictions), scale)


def counted(ladder: Ladder, rung: Rung) -> list[LaunchProfile]:
    """What some blocks of a rung's launches do, counted on the simulator."""
    code = ladder.file.read_text(encoding="utf-8")
    module = RawModule(
        code=f'#line 1 "{ladder.file.name}"\n{code}',
        options=(f"-I{kernel_folder()}",),
        mode="profile",
        counted_blocks=COUNTED_BLOCKS["moves" if ladder.moves else "computes"],
        only_counted=True,
    )
    for launch in ladder.launches(rung, counted_size(ladder, rung)):
        module.get_function(launch.kernel)(launch.grid, launch.block, launch.arguments, shared_mem=launch.shared)
    return module.profiles


def board(ladder: Ladder) -> gpus.Gpu:
    """The GPU, as far as the source says which board it was and how fast it ran."""
    gpu = gpus.gpu(ladder.gpu)
    if ladder.dram is not None:
        gpu = replace(gpu, dram_bytes_per_second=1e9 * ladder.dram)
    if ladder.clock_mhz is not None:
        gpu = replace(gpu, base_mhz=ladder.clock_mhz, boost_mhz=ladder.clock_mhz)
    return gpu


def counted_size(ladder: Ladder, rung: Rung) -> int:
    """The size that is counted: the published one, or that halved until it moves no more than is counted."""
    size, most = ladder.size, MOST_BYTES
    if rung.blocks:
        most = min(most, MOST_BYTES_OF_A_BLOCK * math.prod(rung.blocks))
    while ladder.moves and ladder.work(size) > most:
        size //= 2
    return size
