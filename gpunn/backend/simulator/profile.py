"""What a launch did, as a GPU would count it: the answer of the mode "profile"."""

from __future__ import annotations

import bisect
import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from . import places
from .places import Place

_KINDS = ("read", "write", "atomic")


@dataclass(frozen=True)
class Access:
    """What the warps of a launch did at one line to one kind of memory, with one width.

    Attributes:
        file: the text or header.
        line: the line in it.
        called_at: file and line of the calls that it was inlined through, the innermost first.
        memory: "global" or "shared".
        kind: "read", "write" or "atomic".
        bytes: that each thread moves at once: 1, 2, 4, 8 or 16.
        requests: how often a warp has done it.
        threads: how often a thread has.
        lines: of global memory, lines of 128 bytes that the requests are made of: each counts once a request.
        sectors: likewise, sectors of 32 bytes that the requests are made of: each counts once a request.
        useful_bytes: of those sectors, the bytes that were asked for; each once a request.
        passes: of shared memory, the cycles that the requests take: in each, every one of the 32 banks gives one word
            of 4 bytes, to all lanes that ask for it. Accesses of 8 bytes are done for half a warp at a time, of 16 for
            a quarter; two such parts at once where all lanes i and i^1, or all lanes i and i^2, ask for the same. (The
            programming guide does not tell the latter; an engineer of NVIDIA does,
            forums.developer.nvidia.com/t/77228.)
        conflicts: how many of the passes come of several words in one bank.
        passes_by_8: of shared memory, the passes if a compiler put together what each thread does side by side, one
            after the other, up to 8 bytes; 0 for what is wider already.
        passes_by_16: likewise, up to 16 bytes.
    """

    file: str
    line: int
    called_at: tuple[tuple[str, int], ...]
    memory: str
    kind: str
    bytes: int
    requests: int
    threads: int
    lines: int
    sectors: int
    useful_bytes: int
    passes: int
    conflicts: int
    passes_by_8: int
    passes_by_16: int


@dataclass(frozen=True)
class Line:
    """How often a line was executed, by a warp and by a thread; the most of its parts, if it has several."""

    file: str
    line: int
    warps: int
    threads: int


@dataclass(frozen=True)
class Touched:
    """What was touched of an array argument, or of several that share memory.

    Attributes:
        name: of the argument.
        bytes: of the array.
        read: bytes that were read at least once, by the blocks that ran.
        written: likewise.
        block_sectors: sectors of 32 bytes that a block touches, each once, on the average of the counted blocks.
    """

    name: str
    bytes: int
    read: int
    written: int
    block_sectors: float


@dataclass(frozen=True)
class Launched:
    """A launch.

    Attributes:
        kernel: its name.
        grid: blocks along x, y, z.
        block: threads of a block along x, y, z.
        shared: bytes of shared memory of a block, static and dynamic.
        code: the text of the kernel.
        options: the compiler's: ``-D`` and ``-I``.
    """

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    code: str = field(repr=False)
    options: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class LaunchProfile(Launched):
    """What a launch did.

    Attributes:
        run_blocks: how many blocks ran.
        counted_blocks: how many blocks were counted; if not all, `lines`, `accesses` and `reuse` are scaled to all.
        lines: how often each line was executed.
        accesses: the accesses to memory of its warps, by line.
        arrays: what was touched of each array.
        reuse: how many sectors of global memory were read that the block had not read before, and then of those that it
            had, how many with 0, 1, 2 to 3, 4 to 7, ... other lines of 128 bytes in between: a cache of n lines would
            have those with fewer than n.
        contention: how many atomic operations of threads fall on the address that gets most of them.
    """

    run_blocks: int
    counted_blocks: int
    lines: list[Line]
    accesses: list[Access]
    arrays: list[Touched]
    reuse: list[int]
    contention: int


class Profiles(list[LaunchProfile]):
    """What launches did, the oldest first. While it is `paused`, they are not counted, and take less time."""

    paused = False


class _AccessCount(ctypes.Structure):
    _fields_ = [
        ("pc", ctypes.c_uint64),
        ("file", ctypes.c_char_p),
        *[(name, ctypes.c_int32) for name in ("line", "kind", "is_shared", "bytes")],
        *[
            (name, ctypes.c_uint64)
            for name in (
                "requests",
                "threads",
                "lines",
                "sectors",
                "useful_bytes",
                "passes",
                "conflicts",
                "passes_by_8",
                "passes_by_16",
            )
        ],
    ]


class _BlockCount(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("pc", "warps", "threads")]


class _ArrayCount(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("read", "written", "block_sectors")]


def _counts(library: Any, what: str, structure: Any) -> list[Any]:
    """The counts of one sort that the profiler has after a launch."""
    function = getattr(library, f"simulator_{what}_counts")
    function.restype = ctypes.c_int64
    first = ctypes.POINTER(structure)()
    return first[: function(ctypes.byref(first))]


class Counted:
    """What the profiler in a loaded module has counted in its last launch.

    Args:
        library: the module.
        path: its file.
        offset: of the module's addresses behind those in the file.
    """

    def __init__(self, library: Any, path: Path, offset: int) -> None:
        self._library, self._path, self._offset = library, path, offset
        self._known: dict[int, Place] = {}

    def launch(self, made: Launched, arrays: Sequence[tuple[str, int]], only_counted: bool) -> LaunchProfile:
        """What the launch did.

        Args:
            made: the launch.
            arrays: what each array is, and its bytes.
            only_counted: no other blocks ran than those that were counted.
        """
        blocks = self._library.simulator_counted_blocks()
        scale = Fraction(math.prod(made.grid), blocks)
        counts = _counts(self._library, "array", _ArrayCount)
        return LaunchProfile(
            **vars(made),
            run_blocks=blocks if only_counted else math.prod(made.grid),
            counted_blocks=blocks,
            lines=self._lines(scale),
            accesses=self._accesses(scale),
            arrays=[
                Touched(name, size, c.read, c.written, c.block_sectors / blocks)
                for (name, size), c in zip(arrays, counts)
            ],
            contention=round(self._library.simulator_contention() * scale),
            reuse=[round(n * scale) for n in _counts(self._library, "reuse", ctypes.c_uint64)],
        )

    def _accesses(self, scale: Fraction) -> list[Access]:
        """The accesses of the warps, by line."""
        counts = _counts(self._library, "access", _AccessCount)
        self._learn([c.pc - self._offset for c in counts if not c.file])
        sums: dict[tuple[Any, ...], list[int]] = {}
        for c in counts:
            (file, line), *calls = self._place(c)
            key = (file, line, tuple(calls), "shared" if c.is_shared else "global", _KINDS[c.kind], c.bytes)
            mine = (
                c.requests,
                c.threads,
                c.lines,
                c.sectors,
                c.useful_bytes,
                c.passes,
                c.conflicts,
                c.passes_by_8,
                c.passes_by_16,
            )
            sums[key] = [a + b for a, b in zip(sums.get(key, [0] * len(mine)), mine)]
        return [Access(*key, *(round(n * scale) for n in total)) for key, total in sorted(sums.items())]

    def _lines(self, scale: Fraction) -> list[Line]:
        """How often each line was executed that was.

        A line is as often executed as its most frequent block; where its function was inlined at several places, or
        for several types, these add up.
        """
        begins = [begin for begin, _ in self._blocks]
        most: dict[tuple[Any, ...], tuple[int, int]] = {}
        for count in _counts(self._library, "block", _BlockCount):
            number = bisect.bisect_right(begins, count.pc - self._offset) - 1
            for place in self._blocks[number][1]:
                copy = tuple(place)
                most[copy] = max(most.get(copy, (0, 0)), (count.warps, count.threads))
        sums: dict[tuple[str, int], tuple[int, int]] = {}
        for copy, (warps, threads) in most.items():
            before = sums.get(copy[0], (0, 0))
            sums[copy[0]] = (before[0] + warps, before[1] + threads)
        return [Line(*key, *(round(n * scale) for n in total)) for key, total in sorted(sums.items())]

    @cached_property
    def _blocks(self) -> list[tuple[int, list[Place]]]:
        found = places.basic_blocks(self._path)
        return [(begin, list({tuple(place): place for place in inside if place}.values())) for begin, inside in found]

    def _learn(self, addresses: Sequence[int]) -> None:
        new = sorted(set(addresses) - self._known.keys())
        if new:
            self._known.update(zip(new, places.places(self._path, new)))

    def _place(self, count: Any) -> Place:
        if count.file:
            return [(Path(count.file.decode(errors="replace")).name, count.line)]
        return self._known[count.pc - self._offset] or [("", 0)]
