"""How implementations are compared.

One process each. All prepare at once; what is timed has the machine for itself. In each of several rounds every
implementation is timed once, in turn, so that a machine whose speed drifts favours nobody. A block of steps takes at
least 20 ms, and there are at least 20 blocks. A peer's row counts only if its first losses agree with ours. Every row
says how much of its step the floor is: the matrix products alone, where they are timed too as one more implementation,
or what a known GPU takes by its maker's figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpunn.inspect.profile.gpus import Gpu

from .floors import floor
from .implementations import FLOOR
from .workloads import WORKLOADS

TOLERANCE = 1e-4
"""Allowed relative difference of the first losses, in float32."""

PAUSE = 0.1
"""Seconds between two turns: the threads of the last one still look for work for some milliseconds."""


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: how often each implementation has its turn.
        blocks: timed blocks a turn.
        block_seconds: the least a block takes.
        budget_seconds: blocks are cut, down to one a turn, where all of them would take longer than this.
    """

    rounds: int = 5
    blocks: int = 4
    block_seconds: float = 0.02
    budget_seconds: float = 10.0


QUICK = Effort(rounds=2, blocks=2, block_seconds=0.01, budget_seconds=1)
"""A first look, not a result."""


class Worker:
    """The process of one implementation.

    Attributes:
        failed: whether its last answer is an error; behind some, such as of a device, nothing works there any more.
    """

    def __init__(self, name: str):
        self.name = name
        self.failed = False
        # A file, since a pipe that nobody empties would stop a talkative process; `stop` closes it.
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gpunn.bench.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, order: str, **arguments: Any) -> dict[str, Any]:
        """Send an order, wait for the answer; ``{"error": ...}`` if the process died."""
        self.send(order, **arguments)
        return self.answer()

    def send(self, order: str, **arguments: Any) -> None:
        """Send an order; `answer` waits for what comes of it."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"order": order, **arguments}) + "\n")
            self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The answer to the last order; ``{"error": ...}`` if the process died."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.failed = not line
        if not line:
            self.process.wait()
            self.errors.seek(0)
            last = self.errors.read().strip().splitlines()[-1:]
            return {"error": f"the process of {self.name} ended: {''.join(last)}"}
        found: dict[str, Any] = json.loads(line)
        self.failed = "error" in found
        return found

    def stop(self) -> None:
        """End the process."""
        with self.process as process, self.errors:  # which closes the pipes and waits
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write('{"order": "stop"}\n')
                process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def compare(
    workload: str,
    batch_sizes: Sequence[int],
    implementations: Sequence[str],
    *,
    device: str = "cpu",
    optimizer: str = "sgd",
    effort: Effort = Effort(),
    gpu: Gpu | None = None,
    on_row: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """Time training steps; one row for each batch size and implementation.

    A row has ``workload, batch_size, implementation, optimizer, device, microseconds`` (median), ``p10``, ``p90``,
    ``samples_per_second``, ``flop_per_second``, ``loss_error`` (the largest relative difference of the first losses
    to those of the first implementation), ``valid``, ``steps_per_block``, ``blocks``, ``prepare_seconds``,
    ``peak_rss_bytes`` (the most that the process had in memory at this batch size, libraries included), ``versions``,
    ``floor`` (what bounds the step: "products", or "arithmetic" or "memory" of the GPU), ``floor_microseconds`` (the
    median of the matrix products alone, at this batch size, or by the GPU's figures, see `gpunn.bench.floors`),
    ``share_of_floor`` (that over ``microseconds``: 1 if the step is nothing but that); or ``error``.

    What has no losses has None for ``loss_error`` and ``valid``; without ``products`` among the implementations and
    without a GPU the last three are None.

    Args:
        gpu: the device, if there are figures of it.
    """
    rows = []
    cases = [(workload, batch) for batch in batch_sizes]
    for row in compare_each(cases, implementations, device=device, optimizer=optimizer, effort=effort, gpu=gpu):
        rows.append(row)
        on_row(row)
    return rows


def compare_each(
    cases: Iterable[tuple[str, int]],
    implementations: Sequence[str],
    *,
    device: str = "cpu",
    optimizer: str = "sgd",
    effort: Effort = Effort(),
    gpu: Gpu | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of `compare` for one (workload, batch size) after another, as they are found."""
    workers = [Worker(name) for name in implementations]
    try:
        for workload, batch in cases:
            for i, worker in enumerate(workers):
                if worker.failed:
                    worker.stop()
                    workers[i] = Worker(worker.name)
            rows = _one_batch_size(workers, workload, batch, device, optimizer, effort)
            _add_floor(rows, gpu)
            yield from rows
    finally:
        for worker in workers:
            worker.stop()


def _one_batch_size(
    workers: list[Worker], workload: str, batch: int, device: str, optimizer: str, effort: Effort
) -> list[dict[str, Any]]:
    for w in workers:
        w.send("prepare", workload=workload, batch=batch, optimizer=optimizer, device=device)
    prepared = [w.answer() for w in workers]
    for w, p in zip(workers, prepared):
        if "error" not in p:
            p.update(w.ask("calibrate", block_seconds=effort.block_seconds))
    times: list[list[float]] = [[] for _ in workers]
    for _ in range(effort.rounds):
        for i, worker in enumerate(workers):
            if "error" in prepared[i]:
                continue
            time.sleep(PAUSE)
            affordable = int(effort.budget_seconds / effort.rounds / prepared[i]["seconds"])
            answer = worker.ask("block", repeats=max(1, min(effort.blocks, affordable)))
            if "error" in answer:
                prepared[i] = answer
                continue
            times[i] += answer["seconds_per_step"]
            prepared[i]["peak_rss"] = answer["peak_rss"]
    reference = prepared[0].get("losses")
    return [
        _row(worker.name, workload, batch, device, optimizer, p, t, reference)
        for worker, p, t in zip(workers, prepared, times)
    ]


def _add_floor(rows: list[dict[str, Any]], gpu: Gpu | None) -> None:
    """Add the floor to all rows of one batch size."""
    timed = [row for row in rows if "microseconds" in row]
    floors = {row["implementation"]: row["microseconds"] for row in timed if row["implementation"] == FLOOR}
    if gpu is not None:
        first = rows[0]
        floors = floor(WORKLOADS[first["workload"]], first["batch_size"], first["optimizer"], gpu)._asdict()
    name = max(floors, key=floors.__getitem__, default=None)
    for row in timed:
        row["floor"] = name
        row["floor_microseconds"] = None if name is None else floors[name]
        row["share_of_floor"] = None if name is None else floors[name] / row["microseconds"]


def _row(
    name: str, workload: str, batch: int, device: str, optimizer: str, prepared: Any, times: list[float], reference: Any
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "workload": workload,
        "batch_size": batch,
        "implementation": name,
        "device": device,
        "optimizer": optimizer,
    }
    if "error" in prepared:
        return {**row, "valid": False, "error": prepared["error"]}
    p10, median, p90 = (float(v) for v in np.percentile(times, (10, 50, 90)))
    error = _largest_difference(prepared["losses"], reference, WORKLOADS[workload].gate)
    return {
        **row,
        "valid": (error is not None and error <= TOLERANCE) if prepared["losses"] else None,
        "microseconds": median * 1e6,
        "p10": p10 * 1e6,
        "p90": p90 * 1e6,
        "samples_per_second": batch / median,
        "flop_per_second": WORKLOADS[workload].flop() * batch / median,
        "loss_error": error,
        "steps_per_block": prepared["steps"],
        "blocks": len(times),
        "prepare_seconds": prepared["prepare_seconds"],
        "peak_rss_bytes": prepared["peak_rss"],
        "versions": prepared["versions"],
    }


def _largest_difference(losses: list[float], reference: list[float] | None, gate: int) -> float | None:
    """The largest difference of two runs' first losses, relative to the very first; None where one has none."""
    if not losses or not reference:
        return None
    return float(np.max(np.abs(np.subtract(losses[:gate], reference[:gate]))) / abs(reference[0]))


def recommend(rows: list[dict[str, Any]], share: float = 0.9) -> dict[str, Any] | None:
    """The smallest batch size that reaches `share` of the largest throughput.

    Larger batches train hardly faster, and take more memory and fewer steps an epoch.
    """
    usable = [r for r in rows if r["implementation"] == "gpunn" and "samples_per_second" in r]
    if not usable:
        return None
    best = max(r["samples_per_second"] for r in usable)
    row = min((r for r in usable if r["samples_per_second"] >= share * best), key=lambda r: r["batch_size"])
    return {
        "batch_size": row["batch_size"],
        "samples_per_second": row["samples_per_second"],
        "share_of_largest": row["samples_per_second"] / best,
        "rule": f"the smallest batch size with at least {share:.0%} of the largest throughput",
    }
