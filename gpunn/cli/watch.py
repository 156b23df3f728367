"""``gpunn watch``: follow a run that is going, in the terminal and as a page."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gpunn.printing import printable

from .common import add_command, as_json
from .errors import RunError

EXAMPLE = """\
  gpunn watch runs/digits-cnn-1              until the run ends; Ctrl-C leaves it alone
  gpunn watch runs/digits-cnn-1 --page       and as a page on this machine, for a browser"""

SHOWN = 10
"""Of the epochs that were completed before, so many are shown."""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder of gpunn train or a Trainer")
    parser.add_argument("--page", action="store_true", help="serve the run's report as it grows, on 127.0.0.1 alone")
    parser.add_argument("--port", type=_port, metavar="N", help="where (default: a port that is free); implies --page")
    parser.add_argument("--json", action="store_true", help="at the end print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Follow the run, as its own terminal would show it."""
    from gpunn.train import RunFolder
    from gpunn.train.progress import Bar, Lines
    from gpunn.train.status import Follower

    stream = sys.stderr if options.json else sys.stdout
    follower = Follower(RunFolder(options.run_folder))
    follower.look()  # so that what is no run is known before anything is served
    follower = Follower(follower.folder)
    shown = Bar(stream) if stream.isatty() else Lines(stream)
    with ExitStack() as stack:
        stack.callback(shown.close)
        if options.page or options.port is not None:
            from .watch_page import serving

            address = stack.enter_context(serving(follower, options.port or 0))
            print(f"{address} shows {options.run_folder}; Ctrl-C ends the page, not the run", file=sys.stderr)
        _follow(follower, shown)
    status, end = follower.status, printable(_end(follower))
    bad = status.state in ("failed", "died")
    if not bad:
        print(end, file=stream)
    if options.json:
        last = follower.rows[-1] if follower.rows else {}
        print(as_json({"run": str(options.run_folder), "state": status.state, "message": status.message, **last}))
    if bad:
        raise RunError(end)


def _follow(follower: Any, shown: Any) -> None:
    """Show what is new, until the run has ended."""
    place = (0, 0)
    first = True
    while True:
        try:
            rows, notes = follower.look()
        except FileNotFoundError:  # it had nothing that was worth to be kept
            follower.status.state, follower.status.message = (
                "failed",
                "it has left nothing: it ended in its first epoch",
            )
            return
        status = follower.status
        if first and len(rows) > SHOWN:
            shown.note(f"{len(rows) - SHOWN} epochs before these")
            rows = rows[-SHOWN:]
        for note in notes:
            shown.note(printable(note))
        shown.epochs = status.epochs or len(follower.rows)
        for row in rows:
            shown.end(_printable(row))
        if not status.running:
            return
        if status.state == "training":
            if place != (status.epoch, status.epochs):
                place = status.epoch, status.epochs
                shown.start(status.epoch, status.epochs, status.batches, status.batch, status.samples)
            shown.done = status.batch
            if shown.due() or first:
                shown.again()
                shown.show(_printable(status.values), status.rate, status.left)
        elif status.state == "validating":
            shown.validating()
        first = False
        follower.wait()


def _printable(values: dict[str, Any]) -> dict[str, Any]:
    """With names that a terminal shows as they are."""
    return {printable(name, keep=""): value for name, value in values.items()}


def _end(follower: Any) -> str:
    """How the run has ended, in a line."""
    status, folder = follower.status, follower.folder
    epochs = len(follower.rows)
    if status.state == "finished":
        return f"the run has finished: {epochs} epochs; report: {folder.report_path}"
    if status.state == "interrupted":
        return f"the run was interrupted: {status.message}"
    if status.state == "died":
        where = f"in epoch {status.epoch}, after batch {status.batch}" if status.epoch else "before its first epoch"
        hint = f"; it can be resumed from {folder.latest_checkpoint()}" if folder.checkpoints() else ""
        return f"the run has died {where}: its process is gone without a word{hint}"
    return f"the run has failed: {status.message}"


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)
