"""Where the instructions of a compiled module come from."""

from __future__ import annotations

import bisect
import re
import subprocess
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from . import compiler
from .elf import Elf

Place = list[tuple[str, int]]
"""File and line of an instruction, and then those of the calls that it was inlined through."""

_BLOCK_BEGINS = "__sanitizer_cov_trace_pc"  # what the compiler calls at the beginning of each basic block
_FUNCTION = 2  # the symbol type STT_FUNC


def places(path: Path, addresses: Iterable[int]) -> list[Place]:
    """The places of some instructions, without those in the runtime's own headers; empty where that leaves none.

    What happens in a wrapper of inline PTX happened where the wrapper was called.

    Args:
        path: the module.
        addresses: those of the instructions in the file.
    """
    asked = "".join(f"{address:#x}\n" for address in addresses)
    call = ["addr2line", "-a", "-i", "-e", str(path)]
    done = subprocess.run(call, input=asked, capture_output=True, text=True)
    found: list[Place] = []
    for line in done.stdout.splitlines():
        if line.startswith("0x"):
            found.append([])
            continue
        file, _, number = line.split(" (discriminator")[0].rpartition(":")
        if number.isdigit() and int(number) and (name := _name(file)):
            found[-1].append((name, int(number)))
    return [[p for p in place if p[0] not in ("ptx.cuh", "ptx_sm90.cuh")] or place for place in found]


@lru_cache(maxsize=1024)
def _name(file: str) -> str:
    """The name of a source file; empty for the runtime's own."""
    path = Path(file)
    own = path.name == "simulator-exports" or path.resolve().parent == compiler.RUNTIME
    return "" if own else path.name


def basic_blocks(path: Path) -> list[tuple[int, list[Place]]]:
    """The basic blocks of a module that was compiled for the mode "profile": where each begins, and all its places."""
    listing = _objdump("-d", "--no-show-raw-insn", path)
    begins = [int(at, 16) for at in re.findall(rf"^\s*(\w+):.*<{_BLOCK_BEGINS}>$", listing, re.MULTILINE)]
    rows = sorted({int(at, 16) for at in re.findall(r"\s0x([0-9a-f]+)(?:\s|$)", _objdump("--dwarf=decodedline", path))})
    block_of = _blocks_of(rows, begins, sorted((s.value, s.size) for s in Elf(path).symbols if s.type == _FUNCTION))
    inside: dict[int, list[Place]] = {begin: [] for begin in begins}
    for address, place in zip(block_of, places(path, block_of)):
        inside[block_of[address]].append(place)
    return list(inside.items())


def _blocks_of(rows: Sequence[int], begins: Sequence[int], functions: Sequence[tuple[int, int]]) -> dict[int, int]:
    """For each address in a function that has blocks, where its block begins."""
    found = {}
    for start, size in functions:
        mine = begins[bisect.bisect_left(begins, start) : bisect.bisect_left(begins, start + size)]
        for row in rows[bisect.bisect_left(rows, start) : bisect.bisect_left(rows, start + size)] if mine else ():
            found[row] = mine[max(bisect.bisect_right(mine, row) - 1, 0)]
    return found


def _objdump(*arguments: object) -> str:
    return subprocess.run(["objdump", *map(str, arguments)], capture_output=True, text=True).stdout
