"""Whether products are computed sooner by one thread, because another process is busy on the cores.

OpenBLAS's threads wait for each other without sleeping. Where one of them has lost its core for some milliseconds, all
do, and a product can take ten times as long. One thread by itself then takes less. Which is better is measured, and the
bits do not depend on it: products are cut into the same slices.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import perf_counter
from typing import Any

WINDOW = 0.02
"""Seconds of products that make one measurement."""
SUSPICIOUS = 0.7
"""Below this share of the best speed of all threads one by itself is tried."""
SHARE = 0.5
"""What the last measurement counts for in an average."""
FORGET = 0.995
"""What remains of the best speed after a measurement: the machine may have become slower for good."""
TRIAL = 4
"""Measurements before a choice is judged; the first counts for nothing, as OpenBLAS's threads look for work so long."""
FEWEST, MOST = 8, 64
"""Measurements for which a choice is kept before the other one is tried again."""


class OneThread:
    """A scope in which BLAS uses one thread. Scopes may overlap, in several threads of Python.

    Args:
        threads: tells how many threads BLAS uses.
        set_threads: sets it.
    """

    def __init__(self, threads: Callable[[], int], set_threads: Callable[[int], None]):
        self._threads, self._set_threads = threads, set_threads
        self._lock, self._open, self._outside = Lock(), 0, 1

    def __enter__(self) -> None:
        with self._lock:
            if not self._open:
                self._outside = self._threads()
                if self._outside > 1:
                    self._set_threads(1)
            self._open += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._open -= 1
            if not self._open and self._outside > 1:
                self._set_threads(self._outside)

    def is_open(self) -> bool:
        """Whether somebody is inside."""
        return self._open > 0

    def threads_outside(self) -> int:
        """How many threads BLAS uses where nobody is inside."""
        with self._lock:
            return self._outside if self._open else self._threads()


class Watch:
    """Runs products with all threads, or with one while that is faster.

    Args:
        one_thread: the scope of one.
        clock: tells the time in seconds.
    """

    def __init__(self, one_thread: OneThread, clock: Callable[[], float] = perf_counter):
        self._one_thread, self._clock = one_thread, clock
        self.alone = False
        self._seconds = self._work = 0.0
        self._best = self._together = self._by_itself = 0.0  # speeds, in multiplications a second
        self._since, self._stay, self._blocked = 0, FEWEST, 0

    def run(self, work: int, function: Callable[..., None], *args: Any) -> None:
        """``function(*args)``, which does so many multiplications."""
        if self._one_thread.is_open():
            return function(*args)
        start = self._clock()
        if self.alone:
            with self._one_thread:
                function(*args)
        else:
            function(*args)
        self._seconds += self._clock() - start
        self._work += work
        if self._seconds > WINDOW:
            self._choose(self._work / self._seconds)
            self._seconds = self._work = 0.0

    def _choose(self, speed: float) -> None:
        """Decide who computes from now on, by the last measurement."""
        self._since += 1
        if self.alone:
            if self._since > 1:
                self._by_itself = _average(self._by_itself, speed, self._since == 2)
            if self._since >= TRIAL and self._by_itself < self._together:  # it was not the threads
                self._best, self._blocked = self._together, FEWEST
                self._switch(False)
            elif self._since >= self._stay:  # is it over?
                self._stay = min(2 * self._stay, MOST)
                self._switch(False)
            return
        self._together = _average(self._together, speed, self._since == 1)
        self._best = max(self._best * FORGET, speed)
        self._blocked -= 1
        if self._since > FEWEST:
            self._stay = FEWEST
        if self._since > 1 and self._blocked < 0 and self._together < SUSPICIOUS * self._best:
            self._switch(True)

    def _switch(self, alone: bool) -> None:
        self.alone, self._since = alone, 0


def _average(average: float, value: float, first: bool) -> float:
    return value if first else (1 - SHARE) * average + SHARE * value
