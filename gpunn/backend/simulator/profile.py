"""What a launch did, as a GPU would count it: the answer of the mode "profile"."""

from __future__ import annotations

import bisect
import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
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
        sectors: of global memory, sectors of 32 bytes that the requests are made of: each counts once a request.
        useful_bytes: of those sectors, the bytes that were asked for; each once a request.
        passes: of shared memory, the cycles that the requests take: in each, every one of the 32 banks gives one word
            of 4 bytes, to all lanes that ask for it. Accesses of 8 bytes are done for half a warp at a time, of 16 for
            a quarter; for twice as many where of all lanes either neighbours (l and l ^ 1) or those two apart (l and
            l ^ 2) read the same. (So an engineer of NVIDIA for compute capability 7 in
            https://forums.developer.nvidia.com/t/77228; the programming guide does not say it.)
        conflicts: how many of the passes come of several words in one bank.
    """

    file: str
    line: int
    called_at: tuple[tuple[str, int], ...]
    memory: str
    kind: str
    bytes: int
    requests: int
    threads: int
    sectors: int
    useful_bytes: int
    passes: int
    conflicts: int


@dataclass(frozen=True)
class Line:
    """How often a line was executed, by a warp and by a thread; the most of its parts, if it has several."""

    file: str
    line: int
    warps: int
    threads: int


@dataclass(frozen=True)
class Touched:
    """An array argument (or several that share memory): its size, and the bytes read and written at least once."""

    name: str
    bytes: int
    read: int
    written: int


@dataclass(frozen=True)
class LaunchProfile:
    """What a launch did.

    Attributes:
        kernel: its name.
        grid: blocks along x, y, z.
        block: threads of a block along x, y, z.
        counted_blocks: how many blocks were counted; if not all, `lines` and `accesses` are scaled to all of them.
        lines: how often each line was executed.
        accesses: the accesses to memory of its warps, by line.
        arrays: what was touched of each array.
    """

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    counted_blocks: int
    lines: list[Line]
    accesses: list[Access]
    arrays: list[Touched]


class _AccessCount(ctypes.Structure):
    _fields_ = [
        ("pc", ctypes.c_uint64),
        ("file", ctypes.c_char_p),
        *[(name, ctypes.c_int32) for name in ("line", "kind", "is_shared", "bytes")],
        *[
            (name, ctypes.c_uint64)
            for name in ("requests", "threads", "sectors", "useful_bytes", "passes", "conflicts")
        ],
    ]


class _BlockCount(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("pc", "warps", "threads")]


class _ArrayCount(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("read", "written")]


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

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arrays: Sequence[tuple[str, int]],
    ) -> LaunchProfile:
        """What the launch did.

        Args:
            kernel: its name.
            grid: its sizes.
            block: likewise.
            arrays: what each array is, and its bytes.
        """
        blocks = self._library.simulator_counted_blocks()
        scale = Fraction(math.prod(grid), blocks)
        counts = _counts(self._library, "array", _ArrayCount)
        touched = [Touched(name, size, c.read, c.written) for (name, size), c in zip(arrays, counts)]
        return LaunchProfile(kernel, grid, block, blocks, self._lines(scale), self._accesses(scale), touched)

    def _accesses(self, scale: Fraction) -> list[Access]:
        """The accesses of the warps, by line."""
        counts = _counts(self._library, "access", _AccessCount)
        self._learn([c.pc - self._offset for c in counts if not c.file])
        sums: dict[tuple[Any, ...], list[int]] = {}
        for c in counts:
            (file, line), *calls = self._place(c)
            key = (file, line, tuple(calls), "shared" if c.is_shared else "global", _KINDS[c.kind], c.bytes)
            mine = (c.requests, c.threads, c.sectors, c.useful_bytes, c.passes, c.conflicts)
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
