"""Whatever is done many times takes no more memory and no more descriptors than when it is done a few times.

GPUNN_TRUST lets everything be done as often as a long program does it; else it is a small part of that.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gpunn
from gpunn import TrainStep, nn, optim
from gpunn.utils.data import DataLoader, TensorDataset

TRUST = bool(int(os.environ.get("GPUNN_TRUST", "0")))
PROMISE = "what is done many times takes no more memory, descriptors and threads: steps, plans, models, loaders"
ROUNDS = 8
RESIDENT = 32 << 20
"""What the process may grow by in all: the allocator of C takes memory in pieces of that order."""


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def flat(work: Callable[[int], None], times: int) -> None:
    """Do it so many times, again and again until caches and free lists are full, and hold the last round to that.

    In it not one of Python's objects may be left of every second time, which a leak would leave at least; and of the
    memory of arrays, the descriptors and the threads nothing but what has a fixed size.
    """
    before, left = (0, 0, 0), []
    for rounds in range(ROUNDS):
        blocks = sys.getallocatedblocks()
        for i in range(times):
            work(rounds * times + i)
        gc.collect()
        left.append(sys.getallocatedblocks() - blocks)
        before = before if rounds else (resident(), descriptors(), threading.active_count())
        if rounds and left[-1] < times // 2:
            break
    assert left[-1] < times // 2, f"of {times:,} times so many objects are left, round after round: {left}"
    assert resident() - before[0] <= RESIDENT
    assert (descriptors(), threading.active_count()) == before[1:]


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Until it holds, but not longer."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


X, Y = gpunn.randn(6, 4), gpunn.randint(3, (6,))


@pytest.mark.promise(PROMISE)
@pytest.mark.parametrize("how", ["planned", "eager", "sim"])
def test_steps(how: str, record_property: Any) -> None:
    device = "sim" if how == "sim" else "cpu"
    model = network().to(device)
    step = TrainStep(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    batch = X.to(device), Y.to(device)
    times = {"planned": (100_000, 200), "eager": (100_000, 100), "sim": (10_000, 40)}[how][not TRUST]
    flat(lambda i: (step.body if how == "eager" else step)(*batch).item(), times)
    record_property("tried", times)


@pytest.mark.slow
@pytest.mark.promise(PROMISE)
@pytest.mark.parametrize("how", ["shapes", "steps", "changes"])
def test_plans(how: str, record_property: Any) -> None:
    """Of one step for many shapes, which keeps some; of many steps; of one whose model changes."""
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1)
    step = TrainStep(model, nn.CrossEntropyLoss(), optimizer)

    def work(i: int) -> None:
        n = 2 + i % 20 if how == "shapes" else 6
        if how == "changes" and i % 2:
            model[3].p = 0.1 + (i % 7) / 10
        made = TrainStep(model, nn.CrossEntropyLoss(), optimizer) if how == "steps" else step
        made(gpunn.ones(n, 4), gpunn.zeros(n, dtype=gpunn.int64))
        made.plans_made.clear()  # a list of them is part of the interface

    times = 1000 if TRUST else 20
    flat(work, times)
    record_property("tried", times)


@pytest.mark.promise(PROMISE)
def test_models(record_property: Any) -> None:
    def work(i: int) -> None:
        model = network()
        model(X).sum().backward()
        optim.Adam(model.parameters()).step()

    times = 1000 if TRUST else 40
    flat(work, times)
    record_property("tried", times)


@pytest.mark.promise(PROMISE)
@pytest.mark.parametrize("workers", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_loaders_with_workers(workers: str, record_property: Any) -> None:
    """Some are left before their end."""
    context = "fork" if workers == "processes" else None
    threads = threading.active_count()

    def ended() -> bool:
        return not multiprocessing.active_children() and threading.active_count() == threads

    def work(i: int) -> None:
        loader = DataLoader(TensorDataset(X, Y), 2, shuffle=True, num_workers=3, multiprocessing_context=context)
        for k, _ in enumerate(loader):
            if i % 3 == k:
                break
        if context:  # which end behind the batch that they fetch
            wait_for(ended)

    times = {"threads": (1000, 40), "processes": (100, 40)}[workers][not TRUST]
    flat(work, times)
    assert ended()
    record_property("tried", times)


@pytest.mark.promise(PROMISE)
def test_files(tmp_path: Path, record_property: Any) -> None:
    value = {"model": network().state_dict(), "epoch": 1}

    def work(i: int) -> None:
        gpunn.save(value, tmp_path / "t")
        gpunn.load(tmp_path / "t")

    times = 1000 if TRUST else 20
    flat(work, times)
    record_property("tried", times)
