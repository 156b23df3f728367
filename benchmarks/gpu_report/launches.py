"""What each kernel of a planned training step takes on the device: where the time of a step goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import count
from unittest.mock import patch

from gpunn.bench.implementations.gpunn_plan import Training
from gpunn.bench.workloads import WORKLOADS
from gpunn.inspect.profile import profile_step
from gpunn.plan.rules import product_update

from .setup import Row, Setup

STEPS = (("W1", 128), ("W1", 4096), ("W4", 128), ("cnn", 128), ("W5", 128), ("W2", 64), ("W2", 1024))


def launches(setup: Setup) -> Iterator[Row]:
    """A row for each launch of a step, in their order, and some for the step as a whole; see `profile_step`.

    What a launch reads is in the cache if it fits there, as it is in a step where the kernel before has just written
    it.
    """
    for name, batch in (("W3", 2),) if setup.tiny else STEPS:
        try:
            yield from _step(setup, name, batch)
        except Exception as error:
            yield {"workload": name, "batch_size": batch, "error": f"{type(error).__name__}: {error}"[:300]}


def _step(setup: Setup, name: str, batch: int) -> Iterator[Row]:
    training = Training(WORKLOADS[name], batch, 1, "adam", str(setup.device))
    effort = {"steps": 2, "seconds": 0.0} if setup.tiny else {"steps": 8}
    found = profile_step(training.planned, training.x[0], training.t[0], **effort)
    row: Row = {"workload": name, "batch_size": batch}
    yield {**row, "kernel": "the step", **setup.measure(lambda: training.run(1))}
    others = {"as a chain": patch.dict(os.environ, GPUNN_STREAMS="1")}  # no launches side by side
    if any("linear_adam_step" in call.name for part in found.parts for call in part.calls):
        others["with updates apart from products"] = patch.object(product_update, "CACHED_BYTES", 1 << 62)
    for how, changed in others.items():
        with changed:
            other = Training(WORKLOADS[name], batch, 1, "adam", str(setup.device))
            other.run(4)
        yield {**row, "kernel": f"the step {how}", **setup.measure(partial(other.run, 1))}
    if found.graph:
        yield {**row, "kernel": "the graph", "us": found.graph}
    number = count()
    for part in found.parts:
        told = {"phase": part.phase, "layer": part.layer, "op": part.op}
        for call in part.calls:
            shape = {"grid": list(call.grid), "block": list(call.block)}
            times = {"us": call.microseconds, "p10": call.p10, "p90": call.p90}
            yield {**row, "launch": next(number), "kernel": call.name, **told, **shape, **times}
