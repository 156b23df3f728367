"""Threads: a worker a core, each with its own part of a batch.

NumPy lets go of the interpreter inside its loops, so that two threads advance at the same time, if each call takes long
enough: two threads take half of the time where a call has some 100,000 elements, and more than one at 2,000.

BLAS has threads of its own, which go on looking for work for milliseconds after a product, on the cores that workers
need. So there is one or the other: inside a scope of `cores` products are computed by one thread each, and workers do
parts of a batch; outside of it everything is done by the caller, and by BLAS. Parts depend on shapes only, so the bits
do not depend on the number of workers.
"""

from __future__ import annotations

import contextvars
import ctypes
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from . import blas
from .workspace import reserve

if TYPE_CHECKING:
    from queue import SimpleQueue

LEAST_MICROSECONDS = 100.0
"""What takes less is one part."""
MOST_PARTS = 4

Part = Callable[[int, int], None]
"""Does parts start to stop."""


class _Worker:
    """A thread that does what it is given, one after the other."""

    def __init__(self) -> None:
        from queue import SimpleQueue

        self._orders: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
        self._answers: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="gpunn worker")
        self._thread.start()
        self._core = -1

    def begin(self, core: int, function: Callable[..., Any], *args: Any) -> None:
        """Do that on a core; `end` must follow.

        Left to itself the kernel wakes a thread where the one that wakes it is running, and may leave both there for
        milliseconds while other cores have nothing to do.
        """
        if core != self._core and self._thread.native_id is not None:
            with suppress(OSError):  # the cores that the process may use were changed
                os.sched_setaffinity(self._thread.native_id, {core})
            self._core = core
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
        self.cores = sorted(os.sched_getaffinity(0))
        self.size = min(len(self.cores), _limit(), MOST_PARTS)
        self.lock = threading.Lock()
        self.workers: list[_Worker] = []

    def prepare(self, workspace: int) -> None:
        """Start the workers, and let each have so much to compute in."""
        while len(self.workers) < self.size - 1:
            self.workers.append(_Worker())
        for worker in self.workers:
            worker.begin(self.cores[-1], contextvars.copy_context().run, reserve, workspace)
        for worker in self.workers:
            worker.end()

    def divide(self, function: Part, count: int) -> None:
        while len(self.workers) < self.size - 1:
            self.workers.append(_Worker())
        parts = min(self.size, count)
        bounds = [i * count // parts for i in range(parts + 1)]
        busy = self.workers[: parts - 1]
        mine, allowed = _current_core(), os.sched_getaffinity(0)
        cores = [core for core in self.cores if core != mine]
        if mine in allowed:
            os.sched_setaffinity(0, {mine})  # and the caller stays where it is
        errors: list[BaseException | None] = []
        try:
            for worker, core, start, stop in zip(busy, cores, bounds[1:], bounds[2:]):
                run = contextvars.copy_context().run  # with the caller's np.errstate
                worker.begin(core, run, function, start, stop)
            try:
                function(bounds[0], bounds[1])
            finally:
                errors += [worker.end() for worker in busy]
        finally:
            os.sched_setaffinity(0, allowed)
        for error in errors:
            if error is not None:
                raise error


class _Scopes:
    """How many scopes of `cores` are open, and what the first one has entered."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open = 0
        self.inside: AbstractContextManager[None] = nullcontext()


class cores:
    """A scope in which `divide` uses all cores, and a product one."""

    def __enter__(self) -> None:
        with _scopes.lock:
            if not _scopes.open:
                _scopes.inside = blas.one_thread if _team.size > 1 else nullcontext()
                _scopes.inside.__enter__()
            _scopes.open += 1

    def __exit__(self, *_: object) -> None:
        with _scopes.lock:
            _scopes.open -= 1
            if not _scopes.open:
                _scopes.inside.__exit__(None, None, None)


_scopes = _Scopes()


def prepare(workspace: int) -> int:
    """Let all cores have so much to compute in; what they have together."""
    with _team.lock:
        _team.prepare(workspace)
    return memory(workspace)


def memory(workspace: int) -> int:
    """What all cores have together to compute in, where each has that much."""
    return _team.size * workspace


def parts(count: int, microseconds: float) -> int:
    """In how many parts `count` items should be done that take so long together, about: 1, 2 or 4."""
    most = min(count, microseconds / LEAST_MICROSECONDS, MOST_PARTS)
    return 1 << max(int(most).bit_length() - 1, 0)


def divide(function: Part, count: int) -> None:
    """Call `function` for all of 0 to `count`, inside a scope of `cores` some of them on each core."""
    team = _team
    if count < 2 or team.size < 2 or not _scopes.open or not team.lock.acquire(blocking=False):
        function(0, count)
        return
    try:
        team.divide(function, count)
    finally:
        team.lock.release()


def in_parts(function: Callable[[slice, int], None], pieces: int, count: int) -> None:
    """Call ``function(some, k)`` for parts k of `count` items, as equal as possible, on all cores."""

    def several(start: int, stop: int) -> None:
        for k in range(start, stop):
            function(slice(k * count // pieces, (k + 1) * count // pieces), k)

    divide(several, pieces)


def product_parts(count: int, n: int, i: int, o: int) -> int:
    """In how many parts of `count` a product of these sizes is done; BLAS divides it by itself outside of a scope."""
    return parts(count, n * i * o * 20e-6) if _scopes.open else 1


def _current_core() -> int:
    """The core that the caller runs on, -1 where the system does not say."""
    return int(_sched_getcpu()) if _sched_getcpu is not None else -1


_sched_getcpu = getattr(ctypes.CDLL(None), "sched_getcpu", None)


def threads_allowed() -> int:
    """The cores that the process may use, or the fewer threads that the user allows to BLAS."""
    return min(len(os.sched_getaffinity(0)), _limit())


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
