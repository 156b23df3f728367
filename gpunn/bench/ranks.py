"""On each of several ranks: times training steps and all-reduces. ``mpirun -n N python -m gpunn.bench.ranks JSON``.

The argument is {"workload", "batch", "steps", "rounds", "sizes", "mpi4py"}; rank 0 prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import gpunn
from gpunn import nn, parallel
from gpunn.backend import collective
from gpunn.bench.implementations.gpunn_eager import build
from gpunn.bench.workloads import WORKLOADS


class Timed:
    """A communicator whose sums of gradients are timed."""

    def __init__(self, inner: Any):
        self._inner = inner
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def start(self, backend: Any, flat: Any) -> Any:
        """Begin a sum."""
        began = time.perf_counter()
        started = self._inner.start(backend, flat)
        self.seconds += time.perf_counter() - began
        return started

    def finish(self, backend: Any, flat: Any, started: Any) -> None:
        """Wait for it."""
        began = time.perf_counter()
        self._inner.finish(backend, flat, started)
        self.seconds += time.perf_counter() - began


def main() -> None:
    """Measure, and print what was measured."""
    order = json.loads(sys.argv[1])
    world = parallel.init()
    found: dict[str, Any] = {"ranks": world.size, "machines": world.machines}
    if order.get("workload"):
        found |= steps(world, order)
    found["all_reduce"] = [[size, all_reduce(world, size, order["rounds"])] for size in order.get("sizes", [])]
    if order.get("mpi4py"):
        found["mpi4py"] = beside_mpi4py(world, order["mpi4py"], order["rounds"])
    if world.is_first:
        print(json.dumps(found))


def steps(world: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Seconds of a planned step with SGD and momentum, and of the sums in it, by the slowest rank; medians."""
    workload = WORKLOADS[order["workload"]]
    gpunn.manual_seed(0)
    model = build(workload.layers)
    optimizer = gpunn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = (gpunn.tensor(a[0]) for a in workload.batches(order["batch"], 1, seed=world.rank))
    loss, weight = nn.CrossEntropyLoss(), 1 / world.size
    step = gpunn.TrainStep(
        model,
        lambda output, target: loss(output, target) * weight,
        optimizer,
        before_update=lambda: parallel.sum_gradients(model.parameters()),
    )
    timed = Timed(collective.current())
    collective.use(timed)  # type: ignore[arg-type]
    for _ in range(3):
        step(x, y)
    rounds = []
    for _ in range(order["rounds"]):
        timed.seconds = 0.0
        world.gather(None)
        began = time.perf_counter()
        for _ in range(order["steps"]):
            step(x, y)
        rounds.append([(time.perf_counter() - began) / order["steps"], timed.seconds / order["steps"]])
    collective.use(world.communicator)
    total, communication = np.median(np.array(world.gather(rounds)).max(0), axis=0)
    gradients = sum(p.nbytes for p in model.parameters())
    sums = len(parallel.buckets(list(model.parameters())))
    return {"step": total, "communication": communication, "batch": order["batch"], "bytes": gradients, "sums": sums}


def all_reduce(world: Any, size: int, rounds: int) -> float:
    """The median seconds of a sum of so many bytes, by the slowest rank."""
    reduction = collective.Reduction(gpunn.device("cpu").backend, np.ones(max(1, size // 4), np.float32))

    def once() -> None:
        reduction.sum_over_ranks()
        reduction.wait_for_sum()

    return _median(world, rounds, once)


def beside_mpi4py(world: Any, workload: str, rounds: int) -> dict[str, float]:
    """Seconds of the sums of a workload's gradients by gpunn, bucket by bucket as in a plan, and of one Allreduce of
    mpi4py over all of their bytes, in turn. Medians of the rounds; "share" is that of the ratios mpi4py / gpunn.
    """
    from mpi4py import MPI

    with gpunn.device("meta"):
        parameters = list(build(WORKLOADS[workload].layers).parameters())
    sizes = [sum(p.nbytes for p in bucket) for bucket in parallel.buckets(parameters)]
    backend, flat = gpunn.device("cpu").backend, np.zeros(sum(sizes) // 4, np.float32)
    parts = np.split(np.zeros_like(flat), np.cumsum(sizes)[:-1] // 4)
    reductions = [collective.Reduction(backend, part) for part in parts]

    def ours() -> None:
        for reduction in reductions:
            reduction.sum_over_ranks()
        for reduction in reductions:
            reduction.wait_for_sum()

    def theirs() -> None:
        MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, flat)

    times = np.array([[_median(world, 1, ours), _median(world, 1, theirs)] for _ in range(rounds)])
    mine, other = np.median(times, axis=0)
    return {"gpunn": float(mine), "mpi4py": float(other), "share": float(np.median(times[:, 1] / times[:, 0]))}


def _median(world: Any, rounds: int, function: Callable[[], Any]) -> float:
    found = []
    for _ in range(rounds):
        world.gather(None)
        began = time.perf_counter()
        function()
        found.append(time.perf_counter() - began)
    return float(np.median(np.array(world.gather(found)).max(0)))


if __name__ == "__main__":
    main()
