"""status.json: where a run is, for those who follow it from another process."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpunn import io
from gpunn.train.progress import Progress, Row
from gpunn.train.run_folder import RunFolder

EVERY = 1.0
"""Seconds between two looks at a run, as it is written and as it is read."""
MOST_NOTES = 20
RUNNING = ("training", "validating", "at work")
"""What a run is doing that has not ended."""


@dataclass
class Status:
    """Where a run is.

    state:   "training" or "validating" within an epoch; "at work" before the first and after the last one, while the
             test set is measured; "finished"; "interrupted", by Ctrl-C or a signal; "failed"; "died", where the process
             has ended without a word
    message: why, where it was interrupted or failed
    epoch:   the one in progress, or the last one; 0 before the first
    epochs:  how many there are going to be
    batch:   how many of its batches are done
    batches: how many there are; None where that is not known
    samples: how many samples of the epoch are done
    rate:    samples per second
    left:    seconds until the last epoch's end; None where that is not known
    values:  loss and metrics of the epoch so far
    notes:   lines for people, the last 20
    said:    how many there were
    """

    state: str = "at work"
    message: str = ""
    epoch: int = 0
    epochs: int = 0
    batch: int = 0
    batches: int | None = None
    samples: int = 0
    rate: float = 0.0
    left: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    said: int = 0

    @property
    def running(self) -> bool:
        """Whether the run has not ended."""
        return self.state in RUNNING


class Recorded(Progress):
    """Progress that is shown by another one, and written down once a second."""

    every = EVERY

    def __init__(self, shown: Progress, path: Path):
        super().__init__()
        self._shown = shown
        self._path = path
        self._status = Status()

    def start(self, epoch: int, epochs: int, batches: int | None, done: int, samples: int) -> None:
        """An epoch begins, or goes on."""
        super().start(epoch, epochs, batches, done, samples)
        self._shown.start(epoch, epochs, batches, done, samples)
        self._write(
            state="training", epoch=epoch, epochs=epochs, batch=done, batches=batches, samples=samples, values={}
        )

    def due(self) -> bool:
        """Whether it is time for either."""
        return super().due() or self._shown.due()

    def batch(self, done: int, samples: int, values: Row) -> None:
        """So much of the epoch is done."""
        if self._shown.due():
            self._shown.batch(done, samples, values)
        if super().due():
            self._status.batch, self._status.samples = done, samples
            super().batch(done, samples, values)

    def show(self, values: Row, rate: float, left: float | None) -> None:
        """Write it down."""
        self._write(values={k: float(v) for k, v in values.items()}, rate=rate, left=left)

    def validating(self) -> None:
        """The steps of the epoch are done."""
        self._shown.validating()
        self._write(state="validating", batch=self.batches or self._status.batch)

    def end(self, row: Row) -> None:
        """The epoch is done."""
        self._shown.end(row)
        self._write(state="at work")

    def note(self, text: str) -> None:
        """A line for people."""
        self._shown.note(text)
        self._write(notes=[*self._status.notes, text][-MOST_NOTES:], said=self._status.said + 1)

    def failed(self, error: BaseException) -> None:
        """The run ends by an error."""
        self._shown.failed(error)
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        self._write(state=state, message=str(error) or type(error).__name__)

    def lost(self, text: str) -> None:
        """The process ends because of another rank; called by another thread, so nothing is shown."""
        if self._status.running:
            self._write(state="failed", message=text)

    def close(self) -> None:
        """The run ends."""
        self._shown.close()
        if self._status.running:
            self._write(state="finished")

    def _write(self, **changes: Any) -> None:
        for name, value in changes.items():
            setattr(self._status, name, value)
        # A run goes on if its status can't be written: on a full disk its checkpoint is going to say so.
        with suppress(OSError), io.atomic_path(self._path, lasting=False) as temporary:
            temporary.write_text(io.json_text(asdict(self._status)) + "\n", encoding="utf-8")


def read_status(folder: RunFolder) -> Status:
    """Where a run is.

    Raises FileNotFoundError where there is no run, io.FileFormatError where its status is damaged.
    """
    if not folder.config_path.exists():
        raise FileNotFoundError(f"{folder.path} holds no run: there is no {folder.config_path.name}")
    used = folder.in_use()
    found = _read(folder.status_path)
    if found is None:  # of a run that had no status yet, or has none
        state = "at work" if used else "finished" if folder.report_path.exists() else "died"
        return Status(state)
    if used and not found.running:  # its last words were written, but not all of the rest; or it is being resumed
        found.state = "at work"
    elif used is False and found.running and folder.in_use() is False:  # it has not begun meanwhile
        found.state = "died"
    return found


def _read(path: Path) -> Status | None:
    try:
        found = json.loads(path.read_bytes())
        return Status(
            **{name: _KINDS[name](found[name]) for name in _KINDS},
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise io.FileFormatError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _number(value: Any) -> float:
    """A number; null, which stands for what is not finite, is NaN."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else math.nan


def _or_none(kind: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else kind(value)


_KINDS: dict[str, Callable[[Any], Any]] = {
    "state": str,
    "message": str,
    "epoch": int,
    "epochs": int,
    "batch": int,
    "batches": _or_none(int),
    "samples": int,
    "rate": _number,
    "left": _or_none(_number),
    "values": lambda found: {str(name): _number(value) for name, value in found.items()},
    "notes": lambda found: [str(text) for text in found[:MOST_NOTES]],
    "said": int,
}


class Follower:
    """What has happened in a run since the last look.

    rows: of the history, up to now
    """

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.rows: list[Row] = []
        self.status = Status()
        self._heard = 0

    def look(self) -> tuple[list[Row], list[str]]:
        """New rows and new notes; `status` is where the run is now.

        Raises as `read_status` does, and as `RunFolder.read_rows` for a damaged file.
        """
        # In this order: a run that has ended by now has written all of its rows.
        self.status = read_status(self.folder)
        rows = self.folder.read_rows() if self.folder.metrics_path.exists() else []
        known = len(self.rows) if rows[: len(self.rows)] == self.rows else 0  # it may have gone back to a checkpoint
        new, self.rows = rows[known:], rows
        unheard = self.status.said - self._heard if self.status.said >= self._heard else self.status.said
        self._heard = self.status.said
        return new, self.status.notes[-unheard:] if unheard else []

    def wait(self) -> None:
        """Until the next look is worth it."""
        time.sleep(EVERY)
