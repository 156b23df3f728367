"""Ctrl-C waits for the end of a step, so that parameters are never those of half a step."""

from __future__ import annotations

import signal
import threading
from typing import Any


class _Wait:
    """What the handler of SIGINT knows: whether a step runs in the main thread, and whether Ctrl-C came meanwhile."""

    def __init__(self) -> None:
        self.running = 0
        self.came = False

    def __enter__(self) -> None:
        if threading.get_ident() == _MAIN:
            self.running += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == _MAIN:
            self.running -= 1
            if self.came and not self.running:
                self.came = False
                raise KeyboardInterrupt

    def handle(self, number: int, frame: Any) -> None:
        """Python's own handler, or a note that it is to be called when the step is done."""
        if self.running:
            self.came = True
        else:
            signal.default_int_handler(number, frame)


_MAIN = threading.main_thread().ident
wait = _Wait()
"""A context in which Ctrl-C waits; after `install`."""


def nobody_handles() -> bool:
    """Whether Ctrl-C is handled as Python does by itself, or by `install`."""
    handler = signal.getsignal(signal.SIGINT)
    return handler is signal.default_int_handler or handler == wait.handle


def install() -> None:
    """Let Ctrl-C wait for steps, where nobody has a handler of their own; only the main thread can."""
    if threading.get_ident() == _MAIN and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, wait.handle)
