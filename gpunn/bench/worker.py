"""A process that times one implementation, steered over its standard input: ``python -m gpunn.bench.worker NAME``.

Every line in and out is one JSON object. Orders: ``prepare`` (build, compile, first losses), ``calibrate`` (find how
many steps fill a block), ``block`` (time some of them), ``stop``. An error is answered as ``{"error": ...}``, and the
process goes on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

BATCHES = 4
WARM = 4
"""Steps behind a reset that do not count: a plan is captured in its third. A multiple of all `steps_per_call`."""
GATE = 20
"""How many first losses are reported."""


def main() -> None:
    """Answer orders until there are no more."""
    name = sys.argv[1]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    session = Session(name)
    for line in sys.stdin:
        order = json.loads(line)
        kind = order.pop("order")
        if kind == "stop":
            return
        try:
            answer = getattr(session, kind)(**order)
        except Exception as error:  # reported to the parent, which marks the row
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Session:
    """One implementation at one batch size at a time."""

    def __init__(self, name: str):
        self.name = name
        self.training: Any = None

    def prepare(self, workload: str, batch: int, optimizer: str, device: str) -> dict[str, Any]:
        """Build, and take the first steps."""
        from .implementations import load
        from .workloads import WORKLOADS

        self.training = None  # let go of the last one first
        _forget_peak()
        start = time.perf_counter()
        self.training = t = load(self.name)(WORKLOADS[workload], batch, BATCHES, optimizer, device)
        losses = t.losses(GATE)
        return {"losses": losses, "prepare_seconds": time.perf_counter() - start, "versions": t.versions()}

    def calibrate(self, block_seconds: float) -> dict[str, Any]:
        """Find how many steps fill a block."""
        t = self.training
        self.steps = t.steps_per_call
        while True:
            seconds = self._time()
            if seconds >= block_seconds:
                break
            self.steps = t.steps_per_call * max(
                self.steps // t.steps_per_call + 1, int(self.steps * block_seconds / seconds / t.steps_per_call * 1.1)
            )
        return {"steps": self.steps, "seconds": seconds}

    def block(self, repeats: int) -> dict[str, Any]:
        """Seconds a step, for some blocks, each from the initial weights."""
        return {"seconds_per_step": [self._time() / self.steps for _ in range(repeats)], "peak_rss": _peak_rss()}

    def _time(self) -> float:
        self.training.reset()
        self.training.run(WARM)
        start = time.perf_counter()
        self.training.run(self.steps)
        return time.perf_counter() - start


def _forget_peak() -> None:
    """Let the peak of resident memory begin anew from what there is (Linux, proc(5), clear_refs)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_rss() -> int:
    """The peak of resident memory in bytes, libraries included."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    main()
