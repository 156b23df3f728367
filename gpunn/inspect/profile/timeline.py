"""How long one warp takes for its way through a kernel, alone on its part of a multiprocessor.

Its instructions issue in order. Each waits for the stall count of the one before, and for the barriers that it names:
the compiler has written both into the machine code (see `disassembler`). So the latencies of memory and of special
functions show up just where the code waits for them, and loads that were issued before the first is awaited overlap
(Hong and Kim 2009, "An Analytical Model for a GPU Architecture with Memory-level and Thread-level Parallelism
Awareness"; Volkov 2016, "Understanding Latency Hiding on GPUs").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .disassembler import Instruction
from .flow import Block, loops

Latency = Callable[[Instruction], float]


def warp_cycles(
    blocks: Sequence[Block],
    parts: Sequence[Sequence[Instruction]],
    times: Sequence[float],
    latency: Latency,
    barrier: float,
) -> float:
    """The clock cycles of a warp.

    Blocks are taken in the order of their addresses, which is about the order of their execution. A block of an
    innermost loop takes what it takes behind itself from its second turn on.

    Args:
        blocks: the basic blocks.
        parts: the instructions of each.
        times: how often a warp executes each block, on the average.
        latency: of an instruction whose latency varies, until its result is there.
        barrier: cycles that a barrier of a block takes.
    """
    steady = _steady(list(blocks), parts, times, latency, barrier)
    warp, total = _Warp(latency, barrier), 0.0
    for k, part in enumerate(parts):
        if times[k] < 0.5:  # most warps pass it by
            total += times[k] * warp.copy().run(part)
        else:
            first = warp.run(part)
            total += first * min(times[k], 1.0) + steady.get(k, first) * max(times[k] - 1.0, 0.0)
    return total


def _steady(
    blocks: list[Block],
    parts: Sequence[Sequence[Instruction]],
    times: Sequence[float],
    latency: Latency,
    barrier: float,
) -> dict[int, float]:
    """Of each block of an innermost loop the cycles that it takes when the turn before is still under way."""
    found = {}
    for loop in loops(blocks):
        if loop.innermost:
            body = [k for k in loop.blocks if times[k] >= times[loop.header] / 2]
            warp = _Warp(latency, barrier)
            for _ in range(2):
                for k in body:
                    found[k] = warp.run(parts[k])
            for k in set(loop.blocks) - set(body):
                found[k] = warp.copy().run(parts[k])
    return found


class _Warp:
    """The clock of a warp, and when what it waits for is there."""

    def __init__(self, latency: Latency, barrier: float) -> None:
        self.latency, self.barrier = latency, barrier
        self.now = 0.0
        self.free = [0.0] * 6  # the barriers of the control words
        self.copies: list[float] = []  # when each group of asynchronous copies will have landed
        self.landing = 0.0

    def copy(self) -> _Warp:
        other = _Warp(self.latency, self.barrier)
        other.now, other.free = self.now, list(self.free)
        other.copies, other.landing = list(self.copies), self.landing
        return other

    def run(self, instructions: Sequence[Instruction]) -> float:
        """Issue these; returns the cycles until the next one could be."""
        start = self.now
        for i in instructions:
            for barrier in range(6):
                if i.waits >> barrier & 1:
                    self.now = max(self.now, self.free[barrier])
            if i.result is not None:
                self.free[i.result] = max(self.free[i.result], self.now + self.latency(i))
            if i.reading is not None:  # it has read its operands when it has left the queue; about as an arithmetic one
                self.free[i.reading] = max(self.free[i.reading], self.now + READING)
            self._copies(i)
            self.now += max(i.stall, 1) + (self.barrier if i.name == "BAR" else 0.0)
        return self.now - start

    def _copies(self, i: Instruction) -> None:
        """cp.async: copies land by groups, and DEPBAR waits until at most so many groups are under way."""
        if i.name == "LDGSTS":
            self.landing = max(self.landing, self.now + self.latency(i))
        elif i.name == "LDGDEPBAR":
            self.copies.append(self.landing)
        elif i.opcode.startswith("DEPBAR.LE") and self.copies:
            under_way = int(i.operands.rpartition(",")[2] or "0", 0)
            landed = self.copies[: len(self.copies) - under_way]
            self.now = max([self.now, *landed])
            del self.copies[: len(landed)]


READING = 12.0
"""Cycles until an access has read its operands: assumed, no source tells it; the stores of a loop wait for it only."""
