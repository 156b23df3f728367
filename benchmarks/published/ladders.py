"""What others measured of kernels that become faster rung by rung: the judge of predictions.

`ladders.toml` has the figures, each with its source; the `.cu` texts beside it have the kernels, written anew after the
sources, with the same work, accesses and types for each thread.

::

    for ladder in ladders():
        for rung in ladder.rungs:
            print(ladder.gpu, rung.title, ladder.seconds(rung))

`Ladder.launches` makes what a launch needs, at the published size or a smaller one, for the simulator.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gpunn.inspect.profile.gpus import gpu

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
UNITS = {"TFLOP/s": 1e12, "GFLOP/s": 1e9, "GB/s": 1e9, "ms": 1e-3, "us": 1e-6}


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel: what `gpunn.backend.simulator.RawKernel` takes."""

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Any, ...]
    shared: int


@dataclass(frozen=True)
class Rung:
    """One kernel, or a library, and what was measured of it.

    Attributes:
        title: its name in the source.
        published: the figure, in the ladder's unit.
        limiter: what it waits for according to the source; empty if that says nothing.
        kernel: its name in the ladder's file; None: a library, whose figure is a ceiling.
        block: threads of a block along x, y.
        per_block: elements that a block sees to along each axis of the problem.
        blocks: how many there are, where that does not depend on the elements.
        shared: bytes of dynamic shared memory.
        ragged: whether the elements need not fill the last block.
        passes: 2, if the kernel is launched once more, with one block, for what it wrote.
        counted: what Nsight Compute counted: `registers` of a thread, `warps` active on a multiprocessor, `cycles`
            elapsed, `instructions` that warps executed, `l1_hit` and `l2_hit` in percent, `dram_gb_s`, and of shared
            memory the `loads` and `stores` that warps asked for and the passes ("wavefronts") that they took.
    """

    title: str
    published: float
    limiter: str
    kernel: str | None = None
    block: tuple[int, ...] = ()
    per_block: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    shared: int = 0
    ragged: bool = False
    passes: int = 1
    counted: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ladder:
    """Rungs that compute the same, measured on one GPU at one size.

    Attributes:
        name: of the ladder.
        problem: one of `PROBLEMS`.
        file: the text with the kernels; it may include headers of `kernels/`.
        gpu: its name, one that `gpunn.inspect.profile.gpus.gpu` knows.
        size: elements along each axis of the problem.
        unit: of the figures, one of `UNITS`.
        source: where the figures are.
        date: when they were published.
        note: how they were measured.
        rungs: in the order of the source.
        dtype: of the elements.
        dram: the peak bandwidth of the board's memory in GB/s; None: the source does not say which board it is.
        clock_mhz: of the multiprocessors, where the measurement held it; None: as high as it went.
    """

    name: str
    problem: str
    file: Path
    gpu: str
    size: int
    unit: str
    source: str
    date: str
    note: str
    rungs: tuple[Rung, ...]
    dtype: str = "float32"
    dram: float | None = None
    clock_mhz: int | None = None

    @property
    def arch(self) -> str:
        """The architecture of the GPU, such as "sm_90"."""
        return gpu(self.gpu).arch

    def work(self, size: int | None = None) -> int:
        """FLOP of an sgemm, bytes of what only moves memory, at the published size or another one."""
        size = size or self.size
        return PROBLEMS[self.problem].work(size)

    @property
    def moves(self) -> bool:
        """Whether the work is bytes, and not arithmetic."""
        return "gemm" not in self.problem

    def seconds(self, rung: Rung) -> float:
        """What a rung took, at the published size."""
        figure = rung.published * UNITS[self.unit]
        return self.work() / figure if self.unit.endswith("/s") else figure

    def grid(self, rung: Rung, size: int | None = None) -> tuple[int, ...]:
        """Blocks along each axis, at the published size or another one."""
        sides = PROBLEMS[self.problem].sides
        return rung.blocks or tuple(-(-(size or self.size) * n // each) for n, each in zip(sides, rung.per_block))

    def step(self, *rungs: Rung) -> int:
        """The sizes that these rungs (without any: all of the ladder) compute: its multiples."""
        return math.lcm(4, *(each for rung in rungs or self.rungs if not rung.ragged for each in rung.per_block))

    def launches(self, rung: Rung, size: int, seed: int = 0) -> list[Launch]:
        """The launches of a rung, with random arguments that are the same for the same seed.

        Args:
            rung: one with a kernel.
            size: a multiple of `step(rung)`.
            seed: of the numbers.

        Returns:
            The launches in their order. The result is in the last array of the last one; see the problem's text.

        Raises:
            ValueError: the rung has no kernel, or does not compute this size.
        """
        if rung.kernel is None:
            raise ValueError(f"{rung.title!r} of {self.name!r} is a library: there is no kernel to launch")
        if size < 1 or size % self.step(rung):
            raise ValueError(f"{rung.kernel} computes multiples of {self.step(rung)}, got {size}")
        grid = self.grid(rung, size)
        random, dtype = np.random.default_rng(seed), np.dtype(self.dtype)
        arguments = PROBLEMS[self.problem].arguments(random, size, dtype, math.prod(grid))
        launches = [Launch(rung.kernel, grid, rung.block, arguments, rung.shared)]
        if rung.passes == 2:
            sums = arguments[1]
            again = (sums, np.zeros(1, sums.dtype), np.int32(sums.size))
            launches.append(Launch(rung.kernel, (1,), rung.block, again, rung.shared))
        return launches


def _sgemm(random: np.random.Generator, size: int, dtype: np.dtype[Any], blocks: int) -> tuple[Any, ...]:
    a, b, c = random.integers(-8, 9, (3, size, size)).astype(dtype)
    n = np.int32(size)
    return n, n, n, np.float32(0.5), a, b, np.float32(3), c


def _wide_sgemm(random: np.random.Generator, size: int, dtype: np.dtype[Any], blocks: int) -> tuple[Any, ...]:
    m, k, n = size, 4 * size, 2 * size
    a, b = random.integers(-8, 9, (m, k)).astype(dtype), random.integers(-8, 9, (k, n)).astype(dtype)
    return a, b, np.zeros((m, n), dtype), np.int32(m), np.int32(k), np.int32(n)


def _hgemm(random: np.random.Generator, size: int, dtype: np.dtype[Any], blocks: int) -> tuple[Any, ...]:
    a, b = random.integers(-4, 5, (2, size, size)).astype(dtype)
    n = np.int32(size)
    return a, b, np.zeros_like(a), n, n, n


def _copy(random: np.random.Generator, size: int, dtype: np.dtype[Any], blocks: int) -> tuple[Any, ...]:
    x = random.uniform(-1, 1, size).astype(dtype)
    return x, np.zeros_like(x), np.uint64(size)


def _transpose(random: np.random.Generator, size: int, dtype: np.dtype[Any], blocks: int) -> tuple[Any, ...]:
    x = random.uniform(-1, 1, (size, size)).astype(dtype)
    return x, np.zeros_like(x), np.int32(size)


def _reduction(random: np.random.Generator, size: int, dtype: np.dtype[Any], blocks: int) -> tuple[Any, ...]:
    x = random.integers(0, 100, size).astype(dtype)
    return x, np.zeros(blocks, dtype), np.int32(size)


def _softmax(random: np.random.Generator, size: int, dtype: np.dtype[Any], blocks: int) -> tuple[Any, ...]:
    x = random.uniform(-5, 5, (size, 64 * size)).astype(dtype)
    return x, np.zeros_like(x), np.uint64(64 * size), np.uint64(x.size)


def _rms_norm(random: np.random.Generator, size: int, dtype: np.dtype[Any], blocks: int) -> tuple[Any, ...]:
    x = random.uniform(-1, 1, (size, 768)).astype(dtype)
    weight, bias = random.uniform(-1, 1, (2, 768)).astype(dtype)
    return x, weight, bias, np.zeros_like(x), np.int32(size), np.int32(768)


class Problem(NamedTuple):
    """What is computed.

    Attributes:
        work: FLOP of what computes, bytes of what only moves memory, for a size.
        arguments: of a kernel, of (random numbers, size, dtype, blocks of the grid).
        sides: how many times the size each axis is long.
    """

    work: Callable[[int], int]
    arguments: Callable[[np.random.Generator, int, np.dtype[Any], int], tuple[Any, ...]]
    sides: tuple[int, ...] = (1, 1)


PROBLEMS = {
    "sgemm": Problem(lambda size: 2 * size**3, _sgemm),
    "hgemm": Problem(lambda size: 2 * size**3, _hgemm),
    # A (size, 4 size), B (4 size, 2 size)
    "wide_sgemm": Problem(lambda size: 2 * size * 4 * size * 2 * size, _wide_sgemm, (2, 1)),
    "copy": Problem(lambda size: 2 * 4 * size, _copy),
    "transpose": Problem(lambda size: 2 * 4 * size**2, _transpose),
    "reduction": Problem(lambda size: 4 * size, _reduction),
    "softmax": Problem(lambda size: 2 * 4 * 64 * size**2, _softmax),  # of `size` rows of 64 `size` elements
    "rms_norm": Problem(lambda size: 2 * 4 * 768 * size, _rms_norm),  # of `size` rows of 768 elements
}


@cache
def ladders() -> tuple[Ladder, ...]:
    """All that are recorded."""
    return tuple(map(_ladder, tomllib.loads((FOLDER / "ladders.toml").read_text(encoding="utf-8"))["ladder"]))


def _ladder(table: dict[str, Any]) -> Ladder:
    rungs = tuple(Rung(**{k: tuple(v) if isinstance(v, list) else v for k, v in r.items()}) for r in table.pop("rungs"))
    return Ladder(rungs=rungs, file=FOLDER / table.pop("file"), **table)
