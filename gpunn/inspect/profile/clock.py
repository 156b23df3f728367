"""How long something takes on a device: by CUDA's events on a GPU, by the host's clock elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpunn import cuda
from gpunn.backend.device import device as Device

LAUNCHES = 50
"""Launches of one kernel in a graph, so that what the host spends does not count."""
BLOCK_SECONDS = 0.02
"""So long calls are made one after the other, before their time is divided by their number."""


class Times(NamedTuple):
    """Microseconds of one call: the median, the 10th and the 90th percentile of blocks of so many calls."""

    us: float
    p10: float
    p90: float
    calls: int


def measure(
    run: Callable[[], Any], device: Device, seconds: float = BLOCK_SECONDS, repeats: int = 20, warm_up: int = 5
) -> Times:
    """How long a call takes, with all that it starts on the device's current stream.

    Args:
        run: the call.
        device: where it works.
        seconds: how long a block of calls takes at least.
        repeats: how many blocks are measured.
        warm_up: calls before.
    """
    for _ in range(warm_up):
        run()
    device.backend.synchronize()
    calls = 1
    while (taken := _block(run, calls, device)) < seconds:
        calls = max(calls + 1, int(calls * seconds / max(taken, 1e-6) * 1.1))
    times = [_block(run, calls, device) / calls * 1e6 for _ in range(repeats)]
    p10, median, p90 = (float(t) for t in np.percentile(times, (10, 50, 90)))
    return Times(median, p10, p90, calls)


def measure_launch(
    launch: Callable[[], Any], device: Device, seconds: float = BLOCK_SECONDS, repeats: int = 8, launches: int = 0
) -> Times:
    """How long the kernels that a call launches take on the device alone: as `measure`, from a graph of such calls.

    They work on the same arrays each time, so what they read is in the cache if it fits there.

    Args:
        launch: the call; what it launches can be captured.
        device: one with kernels. The simulator's times are those of the call itself.
        seconds: as for `measure`.
        repeats: likewise.
        launches: how many calls the graph is made of, `LAUNCHES` by default.
    """
    if device.type != "cuda":
        return measure(launch, device, seconds, repeats, warm_up=1)
    launches = launches or LAUNCHES
    stream = cuda.Stream(device)
    with cuda.stream(stream):
        launch()  # which loads its kernels, and has the stream take the memory that it computes in
        stream.cupy.begin_capture()
        for _ in range(launches):
            launch()
        graph = stream.cupy.end_capture()
        found = measure(graph.launch, device, seconds, repeats, warm_up=1)
    us, p10, p90 = (time / launches for time in found[:3])
    return Times(us, p10, p90, found.calls)


def _block(run: Callable[[], Any], calls: int, device: Device) -> float:
    """Seconds of so many calls."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(calls):
            run()
        device.backend.synchronize()
        return time.perf_counter() - start
    stream = cuda.current_stream(device)
    first, last = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    first.record(stream)
    for _ in range(calls):
        run()
    last.record(stream)
    last.synchronize()
    return first.elapsed_time(last) / 1e3
