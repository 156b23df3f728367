"""How far work is that takes a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

QUIET = 1.0
"""Seconds before anything is said."""
BAR_EVERY, LINE_EVERY = 0.2, 10.0


@contextmanager
def progress(doing: str, done_so_far: str) -> Iterator[Callable[[int, int], None]]:
    """How much is done, on standard error, if it takes longer than a second: a bar on a terminal, else lines.

    Args:
        doing: what is going on, such as "measuring".
        done_so_far: what has been done, such as "measured".
    """
    console = Console(stderr=True)
    began = time.monotonic()
    line = began + QUIET
    # Drawn between two steps, not by a thread of rich's, which would take the interpreter from what is done.
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    task = bar.add_task(doing, total=None)

    def on_progress(done: int, of: int) -> None:
        nonlocal line
        now = time.monotonic()
        if now < line:
            return
        if console.is_terminal:
            bar.start()
            bar.update(task, completed=done, total=of, refresh=True)
        else:
            print(f"{done_so_far} {done} of {of}", file=sys.stderr, flush=True)
        line = now + (BAR_EVERY if console.is_terminal else LINE_EVERY)

    try:
        yield on_progress
    finally:
        if console.is_terminal:  # elsewhere it would leave an empty line
            bar.stop()
