"""Who fetches batches: threads or processes, each of which knows which one it is."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

from . import prefetch


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker of a DataLoader runs this.

    id:          from 0
    num_workers: how many there are
    seed:        for random numbers of its own: that of the loader's order, and the worker's id
    dataset:     the data set; in a process its own copy
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()
_in_process: Callable[[Any], Any]


def get_worker_info() -> WorkerInfo | None:
    """Which worker of a DataLoader runs this; None outside of one."""
    info: WorkerInfo | None = getattr(_here, "info", None)
    return info


def begin_worker(info: WorkerInfo, init: Callable[[int], Any] | None) -> None:
    """This thread, or the process whose first thread it is, is that worker from here on."""
    _here.info = info
    if init is not None:
        init(info.id)


class Processes:
    """Workers that are processes.

    Args:
        context: how processes are started: "fork", "spawn" or "forkserver", or a context of multiprocessing.
        workers: how many.
        fetch: from a key to a batch. With "spawn" and "forkserver" it is pickled, with data set and collate_fn.
        dataset: for `WorkerInfo`.
        seed: likewise.
        init: called with each worker's id.
    """

    def __init__(
        self,
        context: Any,
        workers: int,
        fetch: Callable[[Any], Any],
        dataset: Any,
        seed: int,
        init: Callable[[int], Any] | None,
    ):
        if isinstance(context, str):
            if context not in (known := multiprocessing.get_all_start_methods()):
                raise ValueError(f"DataLoader: multiprocessing_context is {context!r}; expected {', '.join(known)}")
            context = multiprocessing.get_context(context)
        number = context.Value("i", 0)
        arguments = number, workers, fetch, dataset, seed, init
        self._pool = ProcessPoolExecutor(workers, context, _begin_process, arguments)

    def run(self, keys: Iterable[Any], ahead: int, timeout_s: float | None) -> Generator[Any, None, None]:
        """The batches of the keys in their order, at most `ahead` of them fetched in advance.

        Raises RuntimeError where a batch does not come in time, or a process has died; else what fetching raises.
        """
        pending: deque[Future[Any]] = deque()

        def oldest() -> Any:
            future = pending.popleft()
            if not wait((future,), timeout_s).done:
                raise RuntimeError(f"DataLoader: no batch came within timeout={timeout_s} seconds")
            return future.result()

        try:
            for key in keys:
                pending.append(self._pool.submit(_fetch_in_process, key))
                if len(pending) > ahead:
                    yield oldest()
            while pending:
                yield oldest()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "DataLoader: a worker process has died; it was killed, or could not begin (what 'spawn' and "
                "'forkserver' start has to be importable: no data set, collate_fn or worker_init_fn made in a function)"
            ) from error
        finally:
            for future in pending:
                future.cancel()

    def close(self) -> None:
        """End the processes, each behind the batch that it fetches; who takes too long for that is killed."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        if processes:
            threading.Thread(target=_ended, args=(processes,), name="gpunn.DataLoader_end", daemon=True).start()


def _ended(processes: list[Any]) -> None:
    """Wait until these have ended, for at most `PATIENCE` seconds; kill the others, which would keep the program."""
    end = time.monotonic() + prefetch.PATIENCE
    left = {process.sentinel: process for process in processes}
    while left and (seconds := end - time.monotonic()) > 0:
        for sentinel in connection.wait(list(left), seconds):
            del left[sentinel]
    for process in left.values():
        process.kill()


def _begin_process(
    number: Any,
    workers: int,
    fetch: Callable[[Any], Any],
    dataset: Any,
    seed: int,
    init: Callable[[int], Any] | None,
) -> None:
    global _in_process
    with number.get_lock():
        mine, number.value = number.value, number.value + 1
    _in_process = fetch
    begin_worker(WorkerInfo(mine, workers, (seed + mine) % 2**64, dataset), init)


def _fetch_in_process(key: Any) -> Any:
    return _in_process(key)
