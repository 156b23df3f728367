"""The shape of a kernel's machine code: its basic blocks, and its loops.

A basic block is entered only at its first instruction and left only at its last. A loop is the set of blocks from which
control can come back to a block that all ways to them lead through (a natural loop: Aho, Lam, Sethi and Ullman,
"Compilers", 2nd edition, 9.6.6); an innermost one has no other within.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .disassembler import BYTES, Code, Instruction

_JUMPS = {"BRA", "JMP"}
_INDIRECT = {"BRX", "BRXU", "JMX", "JMXU"}
_ENDS = {"EXIT", "RET", "KILL"}
_ADDRESS = re.compile(r"0x[0-9a-f]+")


@dataclass(frozen=True)
class Block:
    """A basic block: instructions from `first` up to, not with, `end`, and the blocks that may come next.

    `is_entry` tells the first one of the kernel, and of each function that was not inlined.
    """

    first: int
    end: int
    next: tuple[int, ...]
    is_entry: bool


@dataclass(frozen=True)
class Loop:
    """A loop: its first block, all of its blocks, sorted, and whether no other loop lies within."""

    header: int
    blocks: tuple[int, ...]
    innermost: bool


def basic_blocks(code: Code) -> list[Block]:
    """The basic blocks that can be reached, in the order of their addresses; block 0 is the kernel's first.

    What the compiler puts behind the end to fill memory is left out. A call goes on behind it; functions that were not
    inlined have blocks of their own.
    """
    count = len(code.instructions)
    after = [[n for n in _successors(code, i) if n < count] for i in range(count)]
    entries = [0, *code.functions]
    reached: set[int] = set()
    todo = list(entries)
    while todo:
        at = todo.pop()
        if at not in reached:
            reached.add(at)
            todo += after[at]
    starts = {*entries, *(n for i in reached if _leaves(code.instructions[i]) for n in after[i])}
    order = sorted(starts)
    number = {start: k for k, start in enumerate(order)}
    blocks = []
    for start in order:
        end = start + 1
        while not _leaves(code.instructions[end - 1]) and end in reached and end not in starts:
            end += 1
        blocks.append(Block(start, end, tuple(sorted({number[n] for n in after[end - 1]})), start in entries))
    return blocks


def _jumps(instruction: Instruction) -> bool:
    """Whether it goes on somewhere else: with an address within the code CALL.REL.NOINC is a jump, too."""
    if instruction.name == "CALL":
        return _ADDRESS.fullmatch(instruction.operands) is not None
    return instruction.name in _JUMPS


def _leaves(instruction: Instruction) -> bool:
    """Whether a basic block ends with it."""
    return _jumps(instruction) or instruction.name in _INDIRECT | _ENDS


def _successors(code: Code, at: int) -> list[int]:
    """The instructions that may be executed after one."""
    instruction = code.instructions[at]
    name, falls = instruction.name, [at + 1]
    if _jumps(instruction):
        target = int(_ADDRESS.findall(instruction.operands)[-1], 16) // BYTES
        return [target] if _always(instruction) else [*falls, target]
    if name in _INDIRECT:
        targets = list(dict.fromkeys(code.targets.get(at, ())))
        return targets if not instruction.predicate else falls + targets
    if name in _ENDS:
        return falls if instruction.predicate else []
    return falls


def _always(jump: Instruction) -> bool:
    """Whether a jump has no condition, neither before it nor among its operands."""
    return not jump.predicate and _ADDRESS.fullmatch(jump.operands) is not None


def loops(blocks: list[Block]) -> list[Loop]:
    """The loops, in the order of their first blocks."""
    before: list[list[int]] = [[] for _ in blocks]
    for k, block in enumerate(blocks):
        for n in block.next:
            before[n].append(k)
    dominators = _dominators(before, [block.is_entry for block in blocks])
    bodies: dict[int, set[int]] = {}
    for k, block in enumerate(blocks):
        for header in block.next:
            if dominators[k] >> header & 1:
                body = bodies.setdefault(header, {header})
                todo = [k]
                while todo:
                    at = todo.pop()
                    if at not in body:
                        body.add(at)
                        todo += before[at]
    return [
        Loop(header, tuple(sorted(body)), not any(other != header and other in body for other in bodies))
        for header, body in sorted(bodies.items())
    ]


def _dominators(before: list[list[int]], is_entry: list[bool]) -> list[int]:
    """For each block those that every way to it leads through, itself among them, as the bits of a number."""
    everything = (1 << len(before)) - 1
    found = [1 << k if entry else everything for k, entry in enumerate(is_entry)]
    changed = True
    while changed:
        changed = False
        for k, earlier in enumerate(before):
            if is_entry[k]:
                continue
            common = everything
            for e in earlier:
                common &= found[e]
            common |= 1 << k
            changed |= common != found[k]
            found[k] = common
    return found
