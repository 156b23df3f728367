"""All networks at all batch sizes, the most telling ones first, in a file that a run that was ended goes on from.

The file has a line for the run (what it is of, and on which machine), and one for each case, a network at a batch size,
with the rows of all implementations. A case is written when it is done, in one line, so a run that is killed loses the
one in progress and no other.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpunn.inspect.profile.gpus import Gpu

from .implementations import FLOOR, has_floor
from .protocol import Effort, compare_each
from .workloads import WORKLOADS

Case = tuple[str, int]
"""A workload and a batch size."""
Row = dict[str, Any]

CASES: dict[str, tuple[Case, ...]] = {
    "cuda": (
        *(("W1", 128), ("W1", 4096), ("W4", 128), ("W5", 128), ("W6", 128), ("W2", 1024), ("W3", 262144)),
        *(("cnn", 128), ("W1", 1), ("W1", 32), ("W1", 1024), ("W1", 65536), ("W2", 64), ("W4", 1024), ("W5", 1024)),
        *(("W6", 512), ("cnn", 1024), ("W3", 16384), ("W4", 32), ("W5", 32), ("W6", 32), ("cnn", 32)),
        *(("W1", 8), ("W1", 512), ("W1", 16384), ("W2", 16384), ("W3", 1024), ("W3", 128), ("W4", 1), ("W4", 8192)),
        *(("W5", 1), ("W5", 512), ("W6", 1), ("W6", 1024), ("W2", 1), ("W2", 256), ("W2", 4096), ("cnn", 1)),
    ),
    "cpu": (
        *(("W1", 32), ("W4", 32), ("cnn", 32), ("W5", 8), ("W6", 4), ("W2", 8), ("W3", 1024)),
        *(("W1", 1), ("W1", 128), ("W4", 128), ("cnn", 128), ("W4", 8), ("cnn", 8), ("W1", 1024), ("W1", 8)),
        *(("W5", 32), ("W2", 64), ("W3", 32), ("W3", 16384), ("W1", 512), ("W2", 1), ("W6", 32), ("W5", 1)),
        *(("W4", 1), ("W4", 1024), ("cnn", 1), ("cnn", 512), ("W5", 128), ("W6", 1), ("W2", 512), ("W1", 2048)),
    ),
    "sim": (("W3", 2), ("W1", 2)),
}
"""For each kind of device all cases, in the order of what they tell: a run may end before the last ones."""


class OtherRun(ValueError):
    """The file is of another run; the message says what differs."""


class Record:
    """What a run has measured, in its file.

    Args:
        path: of the file, which there need not be yet.
        run: what has to be the same for its rows to stand beside those that are there, as JSON has it.
        machine: where it is; written down for who reads it.

    Raises:
        OtherRun: the file is of another run, or of none.
    """

    def __init__(self, path: Path, run: dict[str, Any], machine: dict[str, Any]) -> None:
        self.path = path
        self._done: dict[Case, list[Row]] = {}
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # the last line may be that of a case in which the run was killed
        lines = whole.splitlines()
        if not lines:
            path.write_text("")
            self._append({"run": run, "machine": machine})
            return
        try:
            before = json.loads(lines[0])["run"]
            cases = [json.loads(line) for line in lines[1:]]
            self._done = {(case["workload"], case["batch_size"]): case["rows"] for case in cases}
        except (ValueError, KeyError, TypeError):
            raise OtherRun(f"{path} is no file of such a run") from None
        if differs := [name for name in {**before, **run} if before.get(name) != run.get(name)]:
            there = ", ".join(f"{name} {before.get(name)!r} and not {run.get(name)!r}" for name in differs)
            raise OtherRun(f"{path} is of a run with {there}")
        if whole != text:
            path.write_text(whole)

    def __contains__(self, case: Case) -> bool:
        return case in self._done

    def rows(self, cases: Sequence[Case]) -> list[Row]:
        """The rows of these cases that are there."""
        return [row for case in cases for row in self._done.get(case, ())]

    def add(self, case: Case, rows: list[Row]) -> None:
        """Write down a case."""
        self._append({"workload": case[0], "batch_size": case[1], "rows": rows})
        self._done[case] = rows

    def _append(self, entry: dict[str, Any]) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())


def sweep(
    record: Record,
    cases: Sequence[Case],
    implementations: Sequence[str],
    *,
    device: str,
    optimizer: str,
    effort: Effort,
    gpu: Gpu | None = None,
    seconds: float = float("inf"),
    on_case: Callable[[list[Row]], None] = lambda rows: None,
) -> int:
    """Measure the cases that are not there yet, in their order, each with processes of its own; returns how many are
    left. The matrix products alone are left out of those where they are no floor.

    Args:
        record: what is there, which grows.
        cases: all of them.
        implementations: see `gpunn.bench.protocol`, as all that follows.
        seconds: behind so many no further case begins.
        on_case: called with the rows of each.
    """
    end = time.monotonic() + seconds
    left = [case for case in cases if case not in record]
    while left and time.monotonic() < end:
        case = left.pop(0)
        names = [name for name in implementations if name != FLOOR or has_floor(WORKLOADS[case[0]], device)]
        rows = list(compare_each([case], names, device=device, optimizer=optimizer, effort=effort, gpu=gpu))
        record.add(case, rows)
        on_case(rows)
    return len(left)
