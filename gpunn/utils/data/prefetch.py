"""Work done ahead of its use, in threads."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

LOOK_UP = 1.0
"""Seconds after which who waits looks whether it is to stop."""
PATIENCE = 5.0
"""Seconds that workers have for what they fetch when nobody wants it any more; whoever is not done then may hang."""


def run_ahead(
    tasks: Iterable[Callable[[], T]],
    workers: int,
    ahead: int,
    timeout_s: float | None,
    begin: Callable[[int], Any] = lambda number: None,
) -> Generator[T, None, None]:
    """The results of the tasks in their order, computed by `workers` threads, at most `ahead` of them in advance.

    An exception of a task is raised in its turn. When the consumer stops, early or not, tasks that have not begun are
    dropped and the threads joined, for at most `PATIENCE` seconds; then, after a timeout, and after Ctrl-C while a
    result is waited for, they are left to end by themselves, and do not keep the program from ending.

    begin: called in each thread first, with its number; what it raises is raised in the place of the thread's results

    Raises RuntimeError where a result is not there `timeout_s` seconds after it was asked for.
    """
    queue: SimpleQueue[Any] = SimpleQueue()
    threads = [threading.Thread(target=_work, args=(queue, begin, n), daemon=True) for n in range(workers)]
    pending: deque[Future[T]] = deque()
    late = False

    def oldest() -> T:
        nonlocal late
        future = pending.popleft()
        late = True  # if waiting is interrupted
        late = not _comes(future, timeout_s)
        if late:
            raise RuntimeError(f"DataLoader: no batch came within timeout={timeout_s} seconds")
        return future.result()

    for number, thread in enumerate(threads):
        thread.name = f"gpunn.DataLoader_{number}"
        thread.start()
    try:
        for task in tasks:
            pending.append(Future())
            queue.put((pending[-1], task))
            if len(pending) > ahead:
                yield oldest()
        while pending:
            yield oldest()
    finally:
        for future in pending:
            future.cancel()
        for _ in threads:
            queue.put(None)
        end = time.monotonic() + (0 if late else PATIENCE)
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))


def _comes(future: Future[Any], timeout_s: float | None) -> bool:
    """Whether a result comes in time.

    CPython sleeps through a Ctrl-C that comes just as it begins to wait for a lock, so it waits for a second at a time.
    """
    end = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while not wait((future,), max(0.0, min(LOOK_UP, end - time.monotonic()))).done:
        if time.monotonic() >= end:
            return False
    return True


def _work(queue: SimpleQueue[Any], begin: Callable[[int], Any], number: int) -> None:
    """Do tasks until there is None in the place of one."""
    fault: BaseException | None = None
    try:
        begin(number)
    except BaseException as error:
        fault = error
    while (item := queue.get()) is not None:
        future, task = item
        if future.set_running_or_notify_cancel():
            try:
                if fault is not None:
                    raise fault
                future.set_result(task())
            except BaseException as error:
                future.set_exception(error)
        del item, future, task  # which would stay until the next one comes
