"""How often each basic block of a kernel's machine code is executed, from what the simulator counted of its lines.

The simulator runs the text as g++ compiles it, without unrolling: it knows how often each line is executed and what it
moves. NVIDIA's compiler unrolls loops, merges and moves code, and its line table says which line each instruction comes
from. So the executions sought are those that flow through the machine code (what comes into a block goes out of it) and
move the bytes that were counted, line by line, as nearly as can be; of several such, those of fewest instructions: a
linear program. Counts of lines put to the flow of machine code are how compilers take sampled profiles (Levin, Newman,
Haber 2008, "Complementing Missing and Inaccurate Profiling Using a Minimum Cost Circulation Algorithm"; He, Mestre,
Pupyrev, Wang, Yu 2022, "Profile Inference Revisited").
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import reduce
from typing import Any

from gpunn.backend.simulator import LaunchProfile

from .disassembler import BYTES, Code, Instruction
from .flow import Block, Loop, basic_blocks, loops
from .kinds import MEMORY, kind, width

INSTALL = "pip install scipy (or 'gpunn[profile]')"
_ENDS = {"EXIT", "RET", "KILL"}
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_MISFIT, _PARTED, _EXECUTED = 1.0, 0.1, 1e-4
"""What counts against a solution: a warp's access of 4 bytes a thread too many or too few; an execution of both sides
of a branch by the same warp; an instruction."""


class SolverMissing(RuntimeError):
    """SciPy, whose solver is used, is not on this machine; the message says what to install."""


@dataclass(frozen=True)
class Executed:
    """What the warps of a launch execute.

    Attributes:
        blocks: the basic blocks.
        times: how often each is executed by a warp, in the whole launch.
        kinds: how many instructions of each kind (see `gpunn.inspect.profile.kinds.kind`) warps execute, most first.
        fit: how well it agrees with what was counted: 1 minus the bytes that do not, over all; 1 where none move.
    """

    blocks: tuple[Block, ...]
    times: tuple[float, ...]
    kinds: dict[str, float]
    fit: float


def executed(code: Code, launch: LaunchProfile) -> Executed:
    """How often the basic blocks of a kernel were executed in a launch.

    Args:
        code: the kernel's machine code, with line information.
        launch: what the simulator counted.

    Raises:
        SolverMissing: there is no SciPy.
    """
    blocks = basic_blocks(code)
    parts = [code.instructions[block.first : block.end] for block in blocks]
    warps = math.prod(launch.grid) * -(-math.prod(launch.block) // 32)
    times, fit = _solve(code, blocks, parts, launch, warps)
    kinds: Counter[str] = Counter()
    for part, n in zip(parts, times):
        for instruction in part:
            kinds[kind(instruction)] += n
    return Executed(tuple(blocks), tuple(times), {k: n for k, n in kinds.most_common() if n}, fit)


class _Program:
    """A linear program over variables that are not negative: costs, equations, inequalities."""

    def __init__(self) -> None:
        self.costs: list[float] = []
        self.equal: list[tuple[dict[int, float], float]] = []
        self.at_most: list[tuple[dict[int, float], float]] = []

    def variable(self, cost: float = 0.0) -> int:
        self.costs.append(cost)
        return len(self.costs) - 1

    def about(self, terms: dict[int, float], value: float, above: float, below: float) -> None:
        """Ask for a sum of that value; each unit above and below it costs so much."""
        over, under = self.variable(above), self.variable(below)
        self.equal.append((terms | {over: -1.0, under: 1.0}, value))

    def solve(self) -> Any:
        try:
            from scipy.optimize import linprog
            from scipy.sparse import coo_matrix
        except ImportError:
            raise SolverMissing(f"SciPy, whose solver counts executed instructions, was not found; {INSTALL}") from None

        def matrix(rows: list[tuple[dict[int, float], float]]) -> Any:
            entries = [(i, j, v) for i, (terms, _) in enumerate(rows) for j, v in terms.items()]
            i, j, v = zip(*entries) if entries else ((), (), ())
            return coo_matrix((v, (i, j)), shape=(len(rows), len(self.costs)))

        found = linprog(
            self.costs,
            A_ub=matrix(self.at_most) if self.at_most else None,
            b_ub=[value for _, value in self.at_most] or None,
            A_eq=matrix(self.equal),
            b_eq=[value for _, value in self.equal],
            method="highs",
        )
        if found.x is None:
            raise RuntimeError(f"no executions agree with the flow of the code: {found.message}")
        return found.x


def _solve(
    code: Code, blocks: list[Block], parts: list[tuple[Instruction, ...]], launch: LaunchProfile, warps: int
) -> tuple[list[float], float]:
    program, scale = _Program(), 1.0 / max(warps, 1)
    times = [program.variable(_EXECUTED * len(part)) for part in parts]
    _flow(program, code, blocks, parts, times)
    lines = {(line.file, line.line): line.warps * scale for line in launch.lines}
    for block_times, part in zip(times, parts):
        counted = [lines[place] for i in part if (place := (i.file, i.line)) in lines]
        if counted:  # no block more often than the most frequent of its lines
            program.at_most.append(({block_times: 1.0, program.variable(_MISFIT): -1.0}, max(counted)))
    total, misfits = _accesses(program, parts, times, launch, scale)
    anchored = {t for row, _ in program.equal[-len(misfits) :] for t in row} if misfits else set()
    for loop in loops(blocks):
        if not any(times[b] in anchored for b in loop.blocks):
            _repeated(program, loop, parts, times, lines)
    x = program.solve()
    fit = 1 - sum(x[over] + x[under] for over, under in misfits) / total if total else 1.0
    return [float(x[t]) * warps for t in times], float(fit)


def _flow(
    program: _Program, code: Code, blocks: list[Block], parts: list[tuple[Instruction, ...]], times: list[int]
) -> None:
    """What comes into a block goes out of it; a kernel is entered once, a function as often as it is called."""
    into: list[dict[int, float]] = [{} for _ in blocks]
    number = {block.first: k for k, block in enumerate(blocks)}
    for k, block in enumerate(blocks):
        out: dict[int, float] = {program.variable(): 1.0 for _ in block.next}
        for edge, n in zip(out, block.next):
            into[n][edge] = 1.0
        if parts[k][-1].name in _ENDS or not block.next:
            out[program.variable()] = 1.0
        if len(out) > 1:  # lanes of a warp may part, and it goes both ways
            out[program.variable(_PARTED)] = -1.0
        program.equal.append((out | {times[k]: -1.0}, 0.0))
        for instruction in parts[k]:
            target = number.get(int(a[-1], 16) // BYTES) if (a := _ADDRESS.findall(instruction.operands)) else None
            if instruction.name == "CALL" and target is not None and blocks[target].is_entry:
                into[target][times[k]] = into[target].get(times[k], 0.0) + 1.0
    for k in range(len(blocks)):
        met = {program.variable(_PARTED): -1.0} if len(into[k]) > 1 else {}  # and its lanes meet again
        program.equal.append((into[k] | met | {times[k]: -1.0}, 0.0 if k else -1.0))


_READS = {"LDG": "global", "LD": "global", "LDS": "shared", "LDSM": "shared", "LDGSTS": "global"}
_WRITES = {"STG": "global", "ST": "global", "STS": "shared", "STSM": "shared"}


def _accesses(
    program: _Program, parts: list[tuple[Instruction, ...]], times: list[int], launch: LaunchProfile, scale: float
) -> tuple[float, list[tuple[int, int]]]:
    """The bytes that a warp's threads move at each line are those that were counted; a unit is 4 bytes of a thread."""
    counted: dict[tuple[str, int, str, str], float] = defaultdict(float)
    for a in launch.accesses:
        if a.kind != "atomic":
            counted[a.file, a.line, a.memory, a.kind] += a.requests * a.bytes / 4 * scale
    moved: dict[tuple[str, int, str, str], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    may_not: set[tuple[str, int, str, str]] = set()
    for part, block_times in zip(parts, times):
        for i in part:
            for table, what in ((_READS, "read"), (_WRITES, "write")):
                if i.name in table:
                    key = (i.file, i.line, table[i.name], what)
                    moved[key][block_times] += width(i) / 32
                    if i.predicate:
                        may_not.add(key)
    total, misfits = 0.0, []
    for key, terms in moved.items():
        if key in counted:
            # What has a condition is executed by a warp where no lane does it, too.
            program.about(dict(terms), counted[key], _MISFIT / 10 if key in may_not else _MISFIT, _MISFIT)
            total += counted[key]
            misfits.append((len(program.costs) - 2, len(program.costs) - 1))
    return total, misfits


def _repeated(
    program: _Program,
    loop: Loop,
    parts: list[tuple[Instruction, ...]],
    times: list[int],
    lines: dict[tuple[str, int], float],
) -> None:
    """A loop that moves nothing has as many turns as its lines, over the copies that unrolling has made of them."""
    within = [i for b in loop.blocks for i in parts[b]]
    most = Counter((i.file, i.line) for i in within if (i.file, i.line) in lines and i.name not in MEMORY)
    if most:
        place = max(most, key=lambda p: (lines[p], most[p]))
        copies = reduce(math.gcd, Counter(i.opcode for i in within if (i.file, i.line) == place).values())
        program.about({times[loop.header]: 1.0}, lines[place] / copies, _MISFIT / 10, _MISFIT / 10)
