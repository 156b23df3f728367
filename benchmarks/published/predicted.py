"""Predictions of the published ladders, rung by rung: counted on the simulator at the published size, a few blocks each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpunn.backend.simulator import RawModule
from gpunn.inspect.profile import gpus
from gpunn.inspect.profile.model import Prediction, predict

from .ladders import Ladder, Rung

COUNTED_BLOCKS = 8
MOST_BYTES = 1 << 29
"""What moves more than that is counted at a smaller size, and its time is scaled: such a launch has many blocks of the
same work, and nothing of it stays in a cache."""


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
        node = gpus.gpu(self.ladder.gpu).graph_node_us
        return sum(p.microseconds * self.scale + node for p in self.predictions)

    @property
    def measured(self) -> float:
        """Microseconds."""
        return 1e6 * self.ladder.seconds(self.rung)

    @property
    def ratio(self) -> float:
        """Of predicted to measured."""
        return self.predicted / self.measured


def judged(ladder: Ladder, rung: Rung) -> Judged:
    """Predict a rung that has a kernel."""
    code = ladder.file.read_text(encoding="utf-8")
    module = RawModule(
        code=f'#line 1 "{ladder.file.name}"\n{code}',
        mode="profile",
        counted_blocks=COUNTED_BLOCKS,
        only_counted=True,
    )
    size = counted_size(ladder)
    for launch in ladder.launches(rung, size):
        module.get_function(launch.kernel)(launch.grid, launch.block, launch.arguments, shared_mem=launch.shared)
    gpu = board(ladder)
    scale = ladder.work() / ladder.work(size)
    return Judged(ladder, rung, tuple(predict(profile, gpu) for profile in module.profiles), scale)


def board(ladder: Ladder) -> gpus.Gpu:
    """The GPU, as far as the source says which board it was and how fast it ran."""
    gpu = gpus.gpu(ladder.gpu)
    if ladder.dram is not None:
        gpu = replace(gpu, dram_bytes_per_second=1e9 * ladder.dram)
    if ladder.clock_mhz is not None:
        gpu = replace(gpu, base_mhz=ladder.clock_mhz, boost_mhz=ladder.clock_mhz)
    return gpu


def counted_size(ladder: Ladder) -> int:
    """The size that is counted: the published one, or that halved until it moves no more than `MOST_BYTES`."""
    size = ladder.size
    while ladder.moves and ladder.work(size) > MOST_BYTES:
        size //= 2
    return size
