"""The way of one warp through instructions that are written down here, in cycles that are counted by hand."""

from __future__ import annotations

from gpunn.inspect.profile.disassembler import Instruction
from gpunn.inspect.profile.flow import Block
from gpunn.inspect.profile.timeline import warp_cycles

LOAD, BARRIER = 100, 20


def instruction(
    opcode: str, stall: int = 1, result: int | None = None, waits: tuple[int, ...] = (), operands: str = ""
):
    return Instruction(opcode, operands, stall=stall, result=result, waits=sum(1 << w for w in waits))


def cycles(*parts, times=None, next=None) -> float:
    ends = [sum(map(len, parts[: k + 1])) for k in range(len(parts))]
    after = next or [(k + 1,) if k + 1 < len(parts) else () for k in range(len(parts))]
    blocks = [Block(end - len(part), end, n, k == 0) for k, (part, end, n) in enumerate(zip(parts, ends, after))]
    return warp_cycles(
        blocks, parts, times or [1.0] * len(parts), lambda i: LOAD if i.name[:2] == "LD" else 30, BARRIER
    )


ADD = instruction("FADD", stall=4)


def test_stalls_add_up() -> None:
    assert cycles([ADD, ADD, instruction("EXIT", stall=5)]) == 4 + 4 + 5


def test_a_load_is_waited_for_where_its_barrier_is_named() -> None:
    load, use = instruction("LDG.E", result=0), instruction("FADD", stall=4, waits=(0,))
    assert cycles([load, use]) == LOAD + 4
    assert cycles([load, ADD, use]) == LOAD + 4  # the addition is done meanwhile


def test_loads_before_the_first_use_overlap() -> None:
    first, second = (instruction("LDG.E", stall=2, result=k) for k in (0, 1))
    use, other = instruction("FADD", stall=4, waits=(0,)), instruction("FADD", stall=4, waits=(1,))
    assert cycles([first, second, use, other]) == LOAD + 4 + 4  # the second is there two cycles behind the first
    assert cycles([first, use, second, other]) == 2 * (LOAD + 4)


def test_a_barrier_of_the_block_costs() -> None:
    assert cycles([instruction("BAR.SYNC", stall=6), ADD]) == 6 + BARRIER + 4


def test_a_loop_takes_what_it_takes_behind_itself() -> None:
    # The first turn has no load to wait for; each other one waits for that of the turn before.
    body = [instruction("FADD", stall=4, waits=(0,)), instruction("LDG.E", stall=2, result=0), instruction("BRA", 5)]
    once, often = ([body, [ADD]], [(0, 1), ()])
    assert cycles(*once, next=often, times=[1.0, 1.0]) == 4 + 2 + 5 + 4
    turn = LOAD - 2 - 5 + 4 + 2 + 5  # from its start: until the load is there, the addition, the load, the branch
    assert cycles(*once, next=often, times=[10.0, 1.0]) == 11 + 9 * turn + 4


def test_what_few_warps_do_counts_for_few() -> None:
    assert cycles([ADD], [ADD] * 10, [ADD], times=[1.0, 0.25, 1.0], next=[(1, 2), (2,), ()]) == 4 + 0.25 * 40 + 4


def test_groups_of_asynchronous_copies() -> None:
    copy, group = instruction("LDGSTS.E.128", stall=2), instruction("LDGDEPBAR", stall=2)
    all_landed = instruction("DEPBAR.LE", stall=1, operands="SB0,0x0")
    one_under_way = instruction("DEPBAR.LE", stall=1, operands="SB0,0x1")
    assert cycles([copy, group, copy, group, all_landed]) == 4 + LOAD + 1
    assert cycles([copy, group, copy, group, one_under_way]) == LOAD + 1
