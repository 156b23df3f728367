"""How long a launch would take on a GPU that is not there: a roofline of many roofs.

Each resource has a time of its own for what the launch asks of it: the schedulers (an instruction of a warp a cycle and
part), each sort of arithmetic unit, the load and store units with shared memory and the first-level cache, the way from
the second-level cache, that cache, atomic operations on one address (one a cycle: NVIDIA, whitepaper of Kepler GK110),
DRAM; and the latency of a warp that goes its way alone, once for all warps that a multiprocessor runs at once. The
longest is the prediction, and names the limiter (Williams, Waterman, Patterson 2009, "Roofline"; Hong and Kim 2009, "An
Analytical Model for a GPU Architecture with Memory-level and Thread-level Parallelism Awareness"; Volkov 2016,
"Understanding Latency Hiding on GPUs", for latency as one of the roofs). What instructions, bytes and cycles there are
comes from the machine code (`code`, `executed`, `timeline`) and from the simulator's counts.

The range goes from the boost clock with everything overlapped to the base clock with the two longest resources one
after the other; the prediction lies at the mean of both clocks. No figure here or in `gpus` was fitted to the time of a
kernel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from gpunn.backend.simulator import Access, LaunchProfile

from .code import launched_code
from .disassembler import Instruction
from .executed import Executed, executed
from .gpus import Gpu
from .kinds import MEMORY, kind
from .occupancy import Occupancy, occupancy
from .timeline import warp_cycles

LINE, SECTOR, LANES, PARTS = 128, 32, 32, 4
BARRIER_OF_WARP = 2
"""Cycles that a barrier takes longer for each warp of the block (`architectures.SOURCES`, "b300")."""
SLICE = PORT = 64
"""Bytes a clock cycle from the second-level cache to one multiprocessor (NVIDIA, A100 whitepaper: 5,120 for 80)."""
_PIPES = {
    "fp32": {"FFMA": "fp32", "fp32": "fp32", "IMAD": "imad"},
    "integer": {"integer": "int_add", "move": "logic", "uniform": "logic"},
    "special functions": {"MUFU": "mufu", "convert": "convert"},
    "fp64": {"fp64": "fp64"},
    "fp16": {"fp16": "fp16"},
    "shuffles": {"shuffle": "shuffle"},
}
"""The units, and for each kind of instruction that they do the row of the table of rates."""
_MMA = re.compile(r"MMA\.(16)(8)(\d+)")  # HMMA.16816.F32: 16 x 8 x 16
_GMMA = re.compile(r"HGMMA\.(\d+)x(\d+)x(\d+)")


@dataclass(frozen=True)
class Prediction:
    """What a launch would take.

    Attributes:
        kernel: its name.
        gpu: the GPU's name.
        grid: blocks along x, y, z.
        block: threads of a block along x, y, z.
        microseconds: predicted, without what a launch costs.
        low: the least that it would take, in microseconds.
        high: the most.
        limiter: the resource that takes longest.
        resources: microseconds that each resource takes, the longest first.
        occupancy: what a multiprocessor runs at once.
        rounds: how often a multiprocessor takes as many blocks as it runs at once; the last time maybe fewer.
        busy: the share of the multiprocessors' time that blocks fill: less than 1 for few blocks, or a last round of
            few.
        floor: microseconds for the bytes that must move and the arithmetic alone.
        dram_bytes: bytes that go to DRAM and come from it.
        kinds: executed instructions of warps, by kind.
        fit: how well executed instructions agree with what was counted (see `Executed`).
    """

    kernel: str
    gpu: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    microseconds: float
    low: float
    high: float
    limiter: str
    resources: dict[str, float]
    occupancy: Occupancy
    rounds: int
    busy: float
    floor: float
    dram_bytes: float
    kinds: dict[str, float]
    fit: float


def predict(launch: LaunchProfile, gpu: Gpu, resident: bool = False) -> Prediction:
    """Predict what a launch that was counted on the simulator would take on a GPU.

    Args:
        launch: one of `profile_launches`.
        gpu: one of `gpunn.inspect.profile.gpus.GPUS`.
        resident: what it reads is in the second-level cache from before, and what it writes may stay there.

    Raises:
        ValueError: its blocks can't be launched on that GPU.
        CompileError: the text does not compile for its architecture.
        NvrtcMissing, DisassemblerMissing, SolverMissing: what is needed is not on this machine; the message says what
            to install.
    """
    code, usage = launched_code(launch, gpu.arch)
    done = executed(code, launch)
    room = occupancy(gpu.arch, math.prod(launch.block), usage.registers, launch.shared)
    if not room.blocks:
        raise ValueError(f"a block of {launch.kernel} does not fit a multiprocessor of {gpu.name}: {room.limited_by}")
    traffic = _traffic(launch, done, gpu, room, resident)
    parts = [code.instructions[b.first : b.end] for b in done.blocks]
    cycles = _cycles(launch, gpu, room, done, parts, traffic)
    seconds = {"DRAM": traffic.dram / (gpu.dram_bytes_per_second * gpu.copy_share)}
    fast, mean, slow = (
        {name: n / (1e6 * mhz) for name, n in cycles.items()} | seconds
        for mhz in (gpu.boost_mhz, (gpu.base_mhz + gpu.boost_mhz) / 2, gpu.base_mhz)
    )
    blocks = math.prod(launch.grid)
    own = -(-blocks // gpu.multiprocessors)
    limiter = max(mean, key=lambda name: mean[name])
    flops = 2 * LANES * done.kinds.get("FFMA", 0.0)
    compulsory = sum(a.read + a.written for a in traffic.arrays)
    floor = max(
        flops / (2 * gpu.architecture.per_clock["fp32"] * gpu.multiprocessors * gpu.boost_mhz * 1e6),
        0.0 if resident else compulsory / (gpu.dram_bytes_per_second * gpu.copy_share),
    )
    return Prediction(
        kernel=launch.kernel,
        gpu=gpu.name,
        grid=launch.grid,
        block=launch.block,
        microseconds=1e6 * mean[limiter],
        low=1e6 * max(fast.values()),
        high=1e6 * sum(sorted(slow.values())[-2:]),
        limiter=limiter,
        resources={name: 1e6 * s for name, s in sorted(mean.items(), key=lambda item: -item[1])},
        occupancy=room,
        rounds=_rounds(blocks, gpu, room),
        busy=blocks / (own * gpu.multiprocessors),
        floor=1e6 * floor,
        dram_bytes=traffic.dram,
        kinds=done.kinds,
        fit=done.fit,
    )


# Bytes --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Array:
    read: float
    written: float


@dataclass(frozen=True)
class _Traffic:
    """Of a launch: bytes that its arrays must move; sectors that are asked for, that miss the first-level cache and
    that are written; bytes that the second-level cache is busy with, and those to and from DRAM.
    """

    arrays: list[_Array]
    requested: float
    missed: float
    written: int
    second: float
    dram: float

    @property
    def of_missed(self) -> float:
        """The share of the missed sectors that the second-level cache has not."""
        return min(self.dram / max(SECTOR * (self.missed + self.written), 1.0), 1.0)


def _traffic(launch: LaunchProfile, done: Executed, gpu: Gpu, room: Occupancy, resident: bool) -> _Traffic:
    blocks = math.prod(launch.grid)
    arrays, dram, touched = [], 0.0, 0.0
    for a in launch.arrays:
        # Where not all blocks ran, what the others touch is like it, and no more than the array.
        share = blocks / launch.run_blocks
        arrays.append(_Array(min(a.read * share, a.bytes), min(a.written * share, a.bytes)))
        touched += max(arrays[-1].read, arrays[-1].written)
    at_once = min(room.blocks * gpu.multiprocessors, blocks)
    for a, of in zip(launch.arrays, arrays):
        whole = max(of.read, of.written)
        own = min(SECTOR * a.block_sectors, whole)
        dram += of.written
        if touched <= gpu.l2_bytes or not of.read:
            dram += of.read
        else:
            # What the blocks of a round read at least once, as if each had its part of the array at random; the next
            # round finds none of it.
            round_ = whole * (1 - (1 - own / whole) ** at_once) if whole else 0.0
            dram += max(of.read, min(round_ * blocks / at_once, own * blocks))
    reads = [a for a in launch.accesses if a.memory == "global" and a.kind == "read"]
    written = sum(a.sectors for a in launch.accesses if a.memory == "global" and a.kind != "read")
    lines = max(gpu.architecture.l1_bytes - room.blocks * launch.shared, 0) // LINE / room.blocks
    missed = launch.reuse[0] + sum(n * _beyond(bits, lines) for bits, n in enumerate(launch.reuse[1:]))
    writes = [a for a in launch.accesses if a.memory == "global" and a.kind != "read"]
    second = _second(reads) * missed / max(sum(a.sectors for a in reads), 1) + _second(writes)
    requested = max(sum(_kept(a, done) * a.sectors for a in reads), missed)
    return _Traffic(arrays, requested, missed, written, second, 0.0 if resident else dram)


def _second(accesses: Sequence[Access]) -> float:
    """Bytes that the second-level cache is busy with: its slices give 64 bytes of a line at a time (NVIDIA, A100
    whitepaper: 5,120 bytes a cycle from 80 slices), of which a lone sector is half.
    """
    return sum(SLICE * max(a.lines, a.sectors * SECTOR / SLICE) for a in accesses)


def _beyond(bits: int, lines: float) -> float:
    """Of distances of 2^(bits-1) up to 2^bits - 1 lines, evenly spread, the share that a cache of `lines` has not."""
    first, end = (2.0 ** (bits - 1), 2.0**bits) if bits else (0.0, 1.0)
    return min(max((end - lines) / (end - first), 0.0), 1.0)


# Time ---------------------------------------------------------------------------------------------------------------


def _cycles(
    launch: LaunchProfile,
    gpu: Gpu,
    room: Occupancy,
    done: Executed,
    parts: Sequence[Sequence[Instruction]],
    traffic: _Traffic,
) -> dict[str, float]:
    """Clock cycles that each resource takes, of those that go by the multiprocessors' clock."""
    a, blocks = gpu.architecture, math.prod(launch.grid)
    cycles = {"issue": sum(done.kinds.values()) / PARTS}
    for unit, rows in _PIPES.items():
        cycles[unit] = sum(done.kinds.get(kind, 0.0) * LANES / a.per_clock[row] for kind, row in rows.items())
    cycles["tensor cores"] = sum(
        n * _tensor_cycles(i, gpu) for part, n in zip(parts, done.times) for i in part if kind(i) == "tensor"
    )
    cycles.update([_load_store_cycles(launch, gpu, done)])
    cycles["L2 to multiprocessor"] = SECTOR * (traffic.missed + traffic.written) / PORT
    # Blocks go to the multiprocessors evenly; those with one more end last.
    own = -(-blocks // gpu.multiprocessors) / blocks
    cycles = {name: n * own for name, n in cycles.items()}
    cycles["L2"] = traffic.second / gpu.l2_bytes_per_clock
    cycles["atomics"] = launch.contention
    warps_of_block = -(-math.prod(launch.block) // LANES)
    alone = warp_cycles(
        done.blocks,
        parts,
        [n / (blocks * warps_of_block) for n in done.times],
        partial(_latency, gpu=gpu, traffic=traffic),
        a.latency["barrier"] + BARRIER_OF_WARP * warps_of_block,
    )
    return cycles | {"latency": alone * _rounds(blocks, gpu, room)}


def _rounds(blocks: int, gpu: Gpu, room: Occupancy) -> int:
    """How often a multiprocessor takes as many blocks as it runs at once."""
    own = -(-blocks // gpu.multiprocessors)
    return -(-own // room.blocks)


def _load_store_cycles(launch: LaunchProfile, gpu: Gpu, done: Executed) -> tuple[str, float]:
    """Cycles of the load and store units of all multiprocessors together, and what takes most of them.

    An access takes as long as it takes them to see what all lanes want, which is that of 4 bytes a lane; where it moves
    more or in conflict, those of its data: of shared memory its passes, of global memory one for each line (a line is
    looked up in a cycle: CUDA C++ Programming Guide, "Global Memory": requests are broken down into those of lines,
    issued independently).
    """
    a = gpu.architecture
    accesses = sum(n for name, n in done.kinds.items() if name.partition(".")[0] in MEMORY)
    shared = sum(_passes(x, done) for x in launch.accesses) * LINE / a.l1_bytes_per_clock
    lines = sum(_kept(x, done) * max(x.lines, x.sectors * SECTOR / a.l1_bytes_per_clock) for x in launch.accesses)
    name = "shared memory" if shared > lines else "global accesses"
    return name, max(accesses * 4 * LANES / a.l1_narrow_bytes_per_clock, shared + lines)


def _passes(access: Access, done: Executed) -> float:
    """Cycles of shared memory of an access, as wide as the machine code has it."""
    by_width = {64: access.passes_by_8, 128: access.passes_by_16}
    moved = done.moved.get((access.file, access.line, access.memory, access.kind), {})
    total = sum(moved.values())
    if not total:
        return access.passes
    passes = sum(n / total * (by_width.get(bits) or access.passes) for bits, n in moved.items())
    return passes * _kept(access, done)


def _kept(access: Access, done: Executed) -> float:
    """The share of an access that the compiler has left: what is read again and again may be kept in a register."""
    moved = done.moved.get((access.file, access.line, access.memory, access.kind))
    if moved is None or access.kind != "read":
        return 1.0
    return min(sum(moved.values()) / (access.requests * access.bytes), 1.0)


def _tensor_cycles(i: Instruction, gpu: Gpu) -> float:
    """Cycles of a multiprocessor's tensor cores for one instruction of a warp, by the rate that such ones reach."""
    share = 1.0
    if gmma := _GMMA.search(i.opcode):
        m, n, k = map(int, gmma.groups())
        m //= PARTS  # by the four warps of a group
    elif mma := _MMA.search(i.opcode):
        m, n, k = (int(size) for size in mma.groups())
        share = gpu.mma_share
    else:
        return 0.0
    sort = "tf32" if "TF32" in i.opcode else "bf16" if "BF16" in i.opcode else "fp16"
    rate = gpu.tensor_flops.get(sort, gpu.fp32_flops) / (gpu.multiprocessors * gpu.boost_mhz * 1e6)
    return 2 * m * n * k / (share * rate)


def _latency(i: Instruction, gpu: Gpu, traffic: _Traffic) -> float:
    """Cycles until the result of an instruction of variable latency is there."""
    times = gpu.architecture.latency
    what = kind(i).partition(".")[0]
    if what in ("LDG", "LD", "LDGSTS"):
        missed = traffic.missed / max(traffic.requested, 1)
        return (1 - missed) * times["l1"] + missed * (
            (1 - traffic.of_missed) * times["l2"] + traffic.of_missed * times["dram"]
        )
    if what in ("LDS", "LDSM", "LDL", "constant"):
        return times["shared"]
    if what == "atomic":
        return times["l2"]
    return times.get({"MUFU": "mufu", "convert": "mufu", "fp64": "fp64", "tensor": "tensor"}.get(what, "shuffle"), 0.0)
