"""What each kernel of a planned training step takes on the device: where the time of a step goes."""

from __future__ import annotations

from collections.abc import Iterator

from gpunn.bench.implementations.gpunn_plan import Training
from gpunn.bench.workloads import WORKLOADS

from .setup import Row, Setup

STEPS = (("W1", 128), ("W1", 4096), ("W4", 128), ("cnn", 128), ("W5", 128), ("W2", 1024))
REPEATS = 50
"""Launches of one kernel in a graph, so that what the host spends does not count."""


def launches(setup: Setup) -> Iterator[Row]:
    """A row for each launch of a step, in their order, and one for the step as a whole.

    A kernel is launched again and again on the same arrays, so what it reads is in the cache if it fits there, as it is
    in a step where the kernel before has just written it. What follows depends on what came before, so a launch of the
    optimizer is repeated too: the parameters are good for nothing afterwards.
    """
    for name, batch in (("W3", 2),) if setup.tiny else STEPS:
        try:
            yield from _step(setup, name, batch)
        except Exception as error:
            yield {"workload": name, "batch_size": batch, "error": f"{type(error).__name__}: {error}"[:300]}


def _step(setup: Setup, name: str, batch: int) -> Iterator[Row]:
    training = Training(WORKLOADS[name], batch, 1, "adam", str(setup.device))
    training.run(4)
    found = training.planned.plan.segments
    row: Row = {"workload": name, "batch_size": batch}
    whole = setup.measure(lambda: training.run(1))
    yield {**row, "kernel": "the step", "graphs": sum(segment.captured for segment in found), **whole}
    if len(found) == 1 and found[0].captured:
        yield {**row, "kernel": "the graph", **setup.measure(found[0].graph.launch)}
    for i, launch in enumerate(launch for segment in found for launch in segment.launches):
        shape = {"grid": list(launch.grid), "block": list(launch.block)}
        yield {**row, "launch": i, "kernel": launch.name, **shape, **setup.measure_in_graph(launch.run, REPEATS)}
