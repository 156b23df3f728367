"""Ctrl-C, SIGTERM and SIGHUP that wait for the end of a step."""

from __future__ import annotations

import signal
import threading
from typing import Any

from gpunn.plan.interrupt import nobody_handles


class Interrupt:
    """While it is entered, the first SIGINT (Ctrl-C), SIGTERM or SIGHUP (the terminal was closed) only sets
    `requested`; a second one stops at once.

    Signals reach the main thread alone, and a program with a handler of its own keeps it: in other cases nothing
    changes.

    requested: the number of the signal that came, 0 before
    """

    def __init__(self) -> None:
        self.requested = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            if nobody_handles():
                self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._note)
            for number in (signal.SIGTERM, signal.SIGHUP):
                if _is_ours(signal.getsignal(number)):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: Any) -> None:
        again, self.requested = bool(self.requested), number
        if again:
            stopped = KeyboardInterrupt()
            stopped.signal = number  # type: ignore[attr-defined]
            raise stopped


def _is_ours(handler: Any) -> bool:
    """Whether a signal ends the program, or is handled by the command gpunn."""
    return handler is signal.SIG_DFL or getattr(handler, "__module__", "").startswith("gpunn.")
