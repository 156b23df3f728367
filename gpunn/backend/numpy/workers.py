"""Threads: a worker a core, each with its own part of a batch.

NumPy lets go of the interpreter inside its loops, so that two threads advance at the same time, if each call takes long
enough: two threads take half of the time where a call has some 100,000 elements, and more than one at 2,000. Products
are computed by one thread each meanwhile: BLAS would hand each of them out to all cores, one after the other.

Parts depend on shapes only, so the bits do not depend on the number of workers.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from . import blas

LEAST_MICROSECONDS = 200.0
"""What takes less is one part."""
MOST_PARTS = 8

Part = Callable[[int, int], None]
"""Does parts start to stop."""


class _Worker:
    """A thread that does what it is given, one after the other."""

    def __init__(self) -> None:
        self._orders: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
        self._answers: SimpleQueue[BaseException | None] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="gpunn worker").start()

    def begin(self, function: Callable[..., Any], *args: Any) -> None:
        """Do that; `end` must follow."""
        self._orders.put((function, args))

    def end(self) -> BaseException | None:
        """Wait until it is done; what it raised."""
        return self._answers.get()

    def _work(self) -> None:
        while True:
            function, args = self._orders.get()
            try:
                function(*args)
            except BaseException as error:  # raised by the caller
                self._answers.put(error)
            else:
                self._answers.put(None)
            del function, args


class _Team:
    """The workers; one caller at a time has them, and another one works alone meanwhile."""

    def __init__(self) -> None:
        self.size = min(len(os.sched_getaffinity(0)), _limit())
        self.lock = threading.Lock()
        self.workers: list[_Worker] = []

    def divide(self, function: Part, count: int) -> None:
        while len(self.workers) < self.size - 1:
            self.workers.append(_Worker())
        parts = min(self.size, count)
        bounds = [i * count // parts for i in range(parts + 1)]
        busy = self.workers[: parts - 1]
        threads = blas.threads()
        blas.set_threads(1)
        errors: list[BaseException | None] = []
        try:
            for worker, start, stop in zip(busy, bounds[1:], bounds[2:]):
                worker.begin(contextvars.copy_context().run, function, start, stop)  # with the caller's np.errstate
            try:
                function(bounds[0], bounds[1])
            finally:
                errors += [worker.end() for worker in busy]
        finally:
            blas.set_threads(threads)
        for error in errors:
            if error is not None:
                raise error


def parts(count: int, microseconds: float) -> int:
    """In how many parts `count` items should be done that take so long together, about: 1, 2, 4 or 8."""
    most = min(count, microseconds / LEAST_MICROSECONDS, MOST_PARTS)
    return 1 << max(int(most).bit_length() - 1, 0)


def divide(function: Part, count: int) -> None:
    """Call `function` for all of 0 to `count`, some of them on each core."""
    team = _team
    if count < 2 or team.size < 2 or not team.lock.acquire(blocking=False):
        function(0, count)
        return
    try:
        team.divide(function, count)
    finally:
        team.lock.release()


def _limit() -> int:
    """The threads that the user allows to BLAS are those that are allowed here."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if (value := os.environ.get(name, "")).isdigit():
            return max(int(value), 1)
    return 1 << 16


def _begin() -> None:
    global _team
    _team = _Team()


_team = _Team()
os.register_at_fork(after_in_child=_begin)  # a child has no threads but its own
