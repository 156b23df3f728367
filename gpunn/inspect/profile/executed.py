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
from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median_high
from typing import Any

from gpunn.backend.simulator import LaunchProfile

from .disassembler import Code, Instruction
from .flow import Block, Loop, basic_blocks, loops
from .kinds import MEMORY, kind, width

INSTALL = "pip install scipy (or 'gpunn[profile]')"
_ENDS = {"EXIT", "RET", "KILL"}
_NEVER = "@!PT"
_MISFIT, _KEPT, _MISSING, _PARTED, _EXECUTED = 1.0, 0.5, 0.03, 0.1, 1e-4
"""What counts against a solution: a warp's access of 4 bytes a thread, or an instruction of tensor cores, too many or
too few, or from a line that no warp came to; a read of 4 bytes that the compiler has spared; an execution of a line
that no instruction is left for, little, since what stays the same in a loop is computed before it; an execution of both
sides of a branch by the same warp; an instruction."""


Place = tuple[str, int, str, str]
"""Of an access: file, line, "global" or "shared", "read" or "write"."""


class SolverMissing(RuntimeError):
    """SciPy, whose solver is used, is not on this machine; the message says what to install."""


@dataclass(frozen=True)
class Branch:
    """A branch with a condition: where it comes from, how often a warp executes it, and how often lanes of it jump."""

    file: str
    line: int
    executed: float
    taken: float


@dataclass(frozen=True)
class Executed:
    """What the warps of a launch execute.

    Attributes:
        blocks: the basic blocks.
        times: how often each is executed by a warp, in the whole launch.
        kinds: how many instructions of each kind (see `gpunn.inspect.profile.kinds.kind`) warps execute, most first.
        branches: what branches with a condition do, in the order of their addresses.
        moved: of each line and kind of memory, the bytes that a warp's threads move, each, by each width in bits.
        fit: how well it agrees with what was counted: 1 minus the bytes that do not, over all; 1 where none move.
    """

    blocks: tuple[Block, ...]
    times: tuple[float, ...]
    kinds: dict[str, float]
    branches: tuple[Branch, ...]
    moved: dict[Place, dict[int, float]]
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
    times, ways, fit = _solve(code, blocks, parts, launch, warps)
    branches = []
    for k, part in enumerate(parts):
        jumps = [n for n in blocks[k].next if blocks[n].first != blocks[k].end]
        if part[-1].name == "BRA" and len(blocks[k].next) == 2 and jumps:
            branches.append(Branch(part[-1].file, part[-1].line, times[k], sum(ways[k, n] for n in jumps)))
    kinds: dict[str, float] = defaultdict(float)
    moved: dict[Place, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for part, n in zip(parts, times):
        for i in part:
            kinds[kind(i)] += n
            for place in _places(i):
                moved[place][width(i)] += n * width(i) / 8
    return Executed(
        tuple(blocks),
        tuple(times),
        {k: n for k, n in sorted(kinds.items(), key=lambda item: -item[1]) if n},
        tuple(branches),
        dict(moved),
        fit,
    )


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
) -> tuple[list[float], dict[tuple[int, int], float], float]:
    program, scale = _Program(), 1.0 / max(warps, 1)
    times = [program.variable(_EXECUTED * len(part)) for part in parts]
    edges = _flow(program, code, blocks, parts, times)
    lines = {(line.file, line.line): line.warps * scale for line in launch.lines}
    for block_times, part in zip(times, parts):
        # No block more often than its lines; some of them may come from a loop within or a branch that was merged.
        counted = [lines[place] for i in part if (place := (i.file, i.line)) in lines]
        most = median_high(counted) if counted else 0.0
        program.at_most.append(({block_times: 1.0, program.variable(_MISFIT): -1.0}, most))
    _at_least(program, parts, times, lines)
    total, misfits, anchored = _accesses(program, parts, times, launch, scale)
    found = loops(blocks)
    _entered(program, [loop for loop in found if loop.innermost], blocks, parts, times, edges, lines)
    for loop in found:
        if not any(times[b] in anchored for b in loop.blocks):
            _repeated(program, loop, blocks, parts, times, lines)
    x = program.solve()
    fit = 1 - sum(x[misfit] for misfit in misfits) / total if total else 1.0
    ways = {way: float(x[edge]) * warps for way, edge in edges.items()}
    return [float(x[t]) * warps for t in times], ways, float(fit)


def _at_least(
    program: _Program,
    parts: list[tuple[Instruction, ...]],
    times: list[int],
    lines: dict[tuple[str, int], float],
) -> None:
    """A line that was executed so often has at least one instruction executed each time, if it has any."""
    found: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
    for part, block_times in zip(parts, times):
        for i in part:
            found[i.file, i.line][block_times] += 1
    for place, count in found.items():
        if place in lines:
            missing = program.variable(_MISSING)
            program.at_most.append(({t: -float(n) for t, n in count.items()} | {missing: -1.0}, -lines[place]))


def _flow(
    program: _Program, code: Code, blocks: list[Block], parts: list[tuple[Instruction, ...]], times: list[int]
) -> dict[tuple[int, int], int]:
    """What comes into a block goes out of it; a kernel is entered once, a function as often as it is called.

    Returns:
        The variables of the ways from block to block.
    """
    edges: dict[tuple[int, int], int] = {}
    into: list[dict[int, float]] = [{} for _ in blocks]
    number = {block.first: k for k, block in enumerate(blocks)}
    called = {name: number[first] for first, name in code.functions.items()}
    for k, block in enumerate(blocks):
        out: dict[int, float] = {program.variable(): 1.0 for _ in block.next}
        for edge, n in zip(out, block.next):
            into[n][edge] = 1.0
            edges[k, n] = edge
        if parts[k][-1].name in _ENDS or not block.next:
            out[program.variable()] = 1.0
        if len(out) > 1:  # lanes of a warp may part, and it goes both ways
            parted = program.variable(_PARTED)
            program.at_most.append(({parted: 1.0, times[k]: -1.0}, 0.0))
            out[parted] = -1.0
        program.equal.append((out | {times[k]: -1.0}, 0.0))
        for i in parts[k]:
            if i.name == "CALL" and (target := called.get(i.operands)) is not None:
                into[target][times[k]] = into[target].get(times[k], 0.0) + 1.0
    for k in range(len(blocks)):
        meets = len(into[k]) > 1 and not blocks[k].is_entry  # lanes that have parted
        met = {program.variable(_PARTED): -1.0} if meets else {}
        program.equal.append((into[k] | met | {times[k]: -1.0}, 0.0 if k else -1.0))
    return edges


def _places(i: Instruction) -> list[Place]:
    """What an instruction accesses; with the condition that is never held, nothing."""
    if i.predicate == _NEVER:
        return []
    tables = ((_READS, "read"), (_WRITES, "write"))
    return [(i.file, i.line, table[i.name], what) for table, what in tables if i.name in table]


_READS = {"LDG": "global", "LD": "global", "LDS": "shared", "LDSM": "shared", "LDGSTS": "global"}
_WRITES = {"STG": "global", "ST": "global", "STS": "shared", "STSM": "shared"}


def _accesses(
    program: _Program, parts: list[tuple[Instruction, ...]], times: list[int], launch: LaunchProfile, scale: float
) -> tuple[float, list[int], set[int]]:
    """The bytes that a warp's threads move at each line are those that were counted; a unit is 4 bytes of a thread.

    So are the instructions of tensor cores: one each time that a warp comes to the line.

    Returns:
        All that was counted, the variables of what does not agree, and the blocks that it says something of.
    """
    counted: dict[Place, float] = defaultdict(float)
    for a in launch.accesses:
        if a.kind != "atomic":
            counted[a.file, a.line, a.memory, a.kind] += a.requests * a.bytes / 4 * scale
    executions = {(line.file, line.line): line.warps * scale for line in launch.lines if line.warps}
    moved: dict[Place, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    may_not: set[Place] = set()
    for part, block_times in zip(parts, times):
        for i in part:
            for place in _places(i):
                moved[place][block_times] += width(i) / 32
                if i.predicate:
                    may_not.add(place)
            if kind(i) == "tensor":
                place = (i.file, i.line, "tensor", "multiply")
                moved[place][block_times] += 1
                counted[place] = executions.get(place[:2], 0.0)
    total, misfits, anchored = 0.0, list[int](), set[int]()
    for key, terms in moved.items():
        if key not in counted and key[:2] not in executions:
            program.at_most.append((dict(terms) | {program.variable(_MISFIT): -1.0}, 0.0))
        if key in counted:
            # What has a condition is executed by a warp where no lane does it, too; and what is read twice may be kept.
            above = _MISFIT / 10 if key in may_not else _MISFIT
            program.about(dict(terms), counted[key], above, _KEPT if key[3] == "read" else _MISFIT)
            total += counted[key]
            over, under = len(program.costs) - 2, len(program.costs) - 1
            misfits += [under] if key in may_not else [over, under]
            anchored.update(terms)
    return total, misfits, anchored


def _branch(loop: Loop, blocks: list[Block], parts: list[tuple[Instruction, ...]]) -> tuple[str, int]:
    """The line that a loop's branch back comes from."""
    branch = next(parts[b][-1] for b in reversed(loop.blocks) if loop.header in blocks[b].next)
    return branch.file, branch.line


def _entered(
    program: _Program,
    innermost: list[Loop],
    blocks: list[Block],
    parts: list[tuple[Instruction, ...]],
    times: list[int],
    edges: dict[tuple[int, int], int],
    lines: dict[tuple[str, int], float],
) -> None:
    """A loop has turns only where it is entered, at most as many as its line was executed, over the copies of its body.

    Of loops that the compiler has made of one, those with fewer copies do what the largest leaves. Loops of one line
    that access memory from different ones are of different templates.
    """
    by_line = defaultdict(list)
    for loop in innermost:
        accesses = frozenset(place for b in loop.blocks for i in parts[b] for place in _places(i))
        by_line[_branch(loop, blocks, parts), accesses].append(loop)
    for (place, _), alike in by_line.items():
        sizes = [sum(i.name == "FFMA" or i.name in MEMORY for b in loop.blocks for i in parts[b]) for loop in alike]
        for loop, size in zip(alike, sizes):
            outside = [edge for (k, n), edge in edges.items() if n == loop.header and k not in loop.blocks]
            turns = [max(sizes) / size - 1] if size and max(sizes) > size else []
            if place in lines:
                turns.append(lines[place] / (size / min(filter(None, sizes)) if size else 1))
            for most in turns:
                terms = dict.fromkeys(outside, -most) | {times[loop.header]: 1.0, program.variable(_MISFIT): -1.0}
                program.at_most.append((terms, 0.0))


def _repeated(
    program: _Program,
    loop: Loop,
    blocks: list[Block],
    parts: list[tuple[Instruction, ...]],
    times: list[int],
    lines: dict[tuple[str, int], float],
) -> None:
    """A loop that moves nothing has as many turns as the line that its branch comes from, over the copies of its body.

    The copies are counted by the instruction of it that there is most of: where the compiler has made several loops of
    one, that with the fewest has one copy; where it has made one, there are as many as all instructions that come more
    than once have in common.
    """
    executions = lines.get(_branch(loop, blocks, parts))
    if executions is None:
        return
    within = [Counter((i.file, i.line, i.opcode) for i in parts[b]) for b in loop.blocks]
    everywhere = Counter((i.file, i.line, i.opcode) for part in parts for i in part)
    body = [i for b in loop.blocks for i in parts[b]]
    control = ("integer", "IMAD", "move", "uniform", "constant", "branch")  # what loops are made of, too
    first = max(body, key=lambda i: (kind(i) not in control, everywhere[i.file, i.line, i.opcode], i.opcode))
    most = (first.file, first.line, first.opcode)
    counts = [sum((i.file, i.line, i.opcode) == most for i in part) for part in parts]
    found = {t: n for t, n in zip(times, counts) if n}
    one = min(found.values())
    if len(found) == 1:
        several = [n for n in sum(within, Counter()).values() if n > 1]
        one = max(one // math.gcd(*several), 1) if len(several) > 1 else one
    program.about({t: n / one for t, n in found.items()}, executions, _MISFIT / 10, _MISFIT / 10)
