"""Work done ahead of its use, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


def run_ahead(
    tasks: Iterable[Callable[[], T]], workers: int, ahead: int, timeout_s: float | None
) -> Generator[T, None, None]:
    """The results of the tasks in their order, computed by `workers` threads, at most `ahead` of them in advance.

    An exception of a task is raised in its turn. When the consumer stops, early or not, tasks that have not begun are
    dropped and the threads joined; only after a timeout are they left to end by themselves.

    Raises RuntimeError where a result is not there `timeout_s` seconds after it was asked for.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="gpunn.DataLoader")
    pending: deque[Future[T]] = deque()
    late = False

    def oldest() -> T:
        nonlocal late
        future = pending.popleft()
        late = not wait((future,), timeout_s).done
        if late:
            raise RuntimeError(f"DataLoader: no batch came within timeout={timeout_s} seconds")
        return future.result()

    try:
        for task in tasks:
            pending.append(pool.submit(task))
            if len(pending) > ahead:
                yield oldest()
        while pending:
            yield oldest()
    finally:
        pool.shutdown(wait=not late, cancel_futures=True)
