"""Measures one training in a process of its own: ``python -m tests.plan.peaks gpunn|torch WORKLOAD BATCH STEPS``.

The last line is ``PEAK FORECAST`` for gpunn and ``PEAK LEFT`` for PyTorch, in bytes. PEAK is the most that there was at
one time, parameters and batch included: of NumPy's arrays, or on the CPU by the events of PyTorch's profiler. LEFT is
what PyTorch has when all is let go: 0, if no event is missing.
"""

from __future__ import annotations

import json
import sys
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gpunn.bench.optimizers import OPTIMIZERS
from gpunn.bench.workloads import WORKLOADS, Workload

from .allocations import counted


def of_gpunn(workload: Workload, batch: int, steps: int) -> tuple[int, int]:
    """The peak of the trace and the steps, and its forecast."""
    import gpunn
    from gpunn.bench.implementations.gpunn_eager import build

    with counted() as allocations:
        model = build(workload.layers)
        optimizer = gpunn.optim.SGD(model.parameters(), **OPTIMIZERS["sgd"])
        step = gpunn.TrainStep(model, gpunn.nn.CrossEntropyLoss(), optimizer)
        x, y = gpunn.rand(batch, *workload.input_shape), gpunn.tensor(np.arange(batch) % 10)
        forecast = step.forecast(x, y).total
        allocations.peak = allocations.live
        for _ in range(steps):
            step(x, y)
    return allocations.peak, forecast


def of_torch(workload: Workload, batch: int, steps: int) -> tuple[int, int]:
    """The peak of all, and what is left."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        train_torch(workload, batch, steps)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = [e for e in json.loads(path.read_text())["traceEvents"] if e["name"] == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    live = list(accumulate(event["args"]["Bytes"] for event in events))
    return max(live), live[-1]


def train_torch(workload: Workload, batch: int, steps: int) -> None:
    """Build and train; the gradients go before the forward, where PyTorch needs least."""
    import torch

    from gpunn.bench.implementations.torch_eager import build

    model = build(workload.layers)
    optimizer = torch.optim.SGD(model.parameters(), **OPTIMIZERS["sgd"], fused=True)
    x, y = torch.rand(batch, *workload.input_shape), torch.arange(batch) % 10
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


if __name__ == "__main__":
    framework, name, *numbers = sys.argv[1:]
    measure = {"gpunn": of_gpunn, "torch": of_torch}[framework]
    print(*measure(WORKLOADS[name], *map(int, numbers)))
