"""The folder that a run leaves behind."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from gpunn import io
from gpunn.train.every import Every
from gpunn.train.history import TIMING
from gpunn.train.json_lines import add_lines, is_epoch, read_lines, write_lines
from gpunn.train.toml import from_toml, to_toml

Row = dict[str, Any]
LOOKS = 5

_CHECKPOINT = re.compile(r"epoch_(\d+)(?:_batch_(\d+))?\.safetensors")


class RunFolder:
    """The files of a run, each written as a whole or, those of lines, by whole lines.

    Where its process is killed, what an epoch has written before its checkpoint is written again, to the same bits, by
    the run that goes on from the checkpoint before; metrics.jsonl, which comes after it, is made anew from it.

    config.toml        what the run was asked to do; under [call] when and by which command; under [fingerprint] what
                       its bits depend on, versions among it
    metrics.jsonl      a row of the history per epoch
    gradients.jsonl    a row per layer and watched step, see `GradientFlow`; only where gradients are watched
    status.json        where the run is, written once a second while it trains, see `gpunn.train.status`
    model.safetensors  the state_dict of the model
    checkpoints/       epoch_003.safetensors: all that is needed to go on after epoch 3;
                       epoch_003_batch_00120.safetensors: the same after 120 batches of epoch 4, after Ctrl-C or as
                       `checkpoint_every` says; they go when the epoch is done
    curves.png         loss, accuracy and the other measures over epochs
    report.json        what the page shows beside: memory, classes, mistakes, predictions
    report.html        all of it to look at
    failed_step.safetensors  where numbers became infinite or NaN, what `gpunn debug` needs to do that step again
    and what `files` has

    path:             the folder; made, with the folders above it, when the run begins
    config:           what goes into config.toml, such as the options of a command; if not given the Trainer's settings
    model:            which weights model.safetensors holds: those of the "best" epoch by `monitor`, or of the "last"
    monitor:          an entry of the history; if not given "val_loss" or, without validation, "loss"
    checkpoint_every: when checkpoints are written beside those after each "epoch": after so many steps, "500steps", or
                      seconds, "30s"
    keep_checkpoints: so many checkpoints of whole epochs are kept, the last ones, and so many of the present epoch;
                      and that of the best epoch
    resume_hint:      how to resume, for the line after Ctrl-C
    files:            names and contents of further files, such as the source of the model
    """

    def __init__(
        self,
        path: str | Path,
        *,
        config: Mapping[str, Any] | None = None,
        model: Literal["best", "last"] = "best",
        monitor: str | None = None,
        checkpoint_every: str = "epoch",
        keep_checkpoints: int = 2,
        resume_hint: str = "call fit() with resume=True",
        files: Mapping[str, bytes] | None = None,
    ):
        if model not in ("best", "last"):
            raise ValueError(f"RunFolder: model is {model!r}; expected 'best' or 'last'")
        if keep_checkpoints < 1:
            raise ValueError(f"RunFolder: keep_checkpoints is {keep_checkpoints}; expected at least 1")
        self.path = Path(path)
        self.config = config
        self.model = model
        self.monitor = monitor
        self.checkpoint_every = Every(checkpoint_every)
        self.keep_checkpoints = keep_checkpoints
        self.resume_hint = resume_hint
        self.files = files or {}
        self._made: list[Path] = []
        self._claims = 0
        self._lock: int | None = None
        self.config_path = self.path / "config.toml"
        self.metrics_path = self.path / "metrics.jsonl"
        self.gradients_path = self.path / "gradients.jsonl"
        self.model_path = self.path / "model.safetensors"
        self.checkpoints_path = self.path / "checkpoints"
        self.curves_path = self.path / "curves.png"
        self.status_path = self.path / "status.json"
        self.facts_path = self.path / "report.json"
        self.report_path = self.path / "report.html"
        self.failed_step_path = self.path / "failed_step.safetensors"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """While it is entered, the folder is there and nobody else trains in it: `claim`, and `release` at the end."""
        self.claim()
        try:
            yield
        finally:
            self.release()

    def claim(self, new: bool = False) -> None:
        """Make the folder, unless it is there, and keep it from others until `release`; once more for each call.

        What killed processes have left there of files that they were writing is removed.

        new: it has to be made

        Raises FileExistsError where another training uses it, or `new` and it is there; NotADirectoryError and
        PermissionError as `check_free`.
        """
        if not self._claims:
            self._check_place()
            self._made = [p for p in (self.path, *self.path.parents) if not p.exists()]
            self.path.mkdir(parents=True, exist_ok=not new)
            self._lock = _locked(self.path)
            for folder in (self.path, self.checkpoints_path):
                io.remove_leftovers(folder)
        self._claims += 1

    def release(self) -> None:
        """Let others have it; folders that were made for it and are empty go."""
        self._claims -= 1
        if self._claims:
            return
        for folder in (self.checkpoints_path, *self._made):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def in_use(self) -> bool | None:
        """Whether somebody trains in it, here or in another process; None where the file system can't tell."""
        try:
            looked = os.open(self.path, os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(looked, fcntl.LOCK_SH | fcntl.LOCK_NB)  # others may look at the same time
        except BlockingIOError:
            return True
        except OSError:
            return None
        finally:
            os.close(looked)
        return False

    def begin(self, settings: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> None:
        """Write down what a new run is, in the claimed folder.

        Raises as `check_free` does.
        """
        self.check_free()
        self.failed_step_path.unlink(missing_ok=True)
        self.gradients_path.unlink(missing_ok=True)  # of a run that was killed in its first epoch
        self._write_config(settings, [_call()], fingerprint)
        for name, content in self.files.items():
            io.write_bytes(self.path / name, content)

    def give_up(self) -> None:
        """Remove what `begin` made, where the run has left nothing that is worth to be kept: it failed at once."""
        if self.metrics_path.exists() or self.checkpoints() or self.failed_step_path.exists():
            return
        own = (self.config_path, self.gradients_path, self.status_path, self.model_path)
        for name in (*(path.name for path in own), *self.files):
            (self.path / name).unlink(missing_ok=True)

    def check_free(self) -> None:
        """Raise FileExistsError where the folder holds a run already, NotADirectoryError where it is a file or lies in
        one, PermissionError where it can't be written.
        """
        self._check_place()
        if self.metrics_path.exists() or self.checkpoints():
            raise FileExistsError(
                f"{self.path} holds a run already; resume it ({self.resume_hint}), choose another folder, or remove it"
            )

    def _check_place(self) -> None:
        there = next(path for path in (self.path, *self.path.parents) if path.exists())
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is a file; expected a folder for the run, or no such path yet")
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(f"{self.path} can't be a folder for the run: {there} can't be written to")

    def go_on(self, settings: Mapping[str, Any]) -> None:
        """The folder's run goes on with these settings, or with what `config` says now."""
        self.failed_step_path.unlink(missing_ok=True)
        calls = self.read_calls()
        self._write_config(settings, [*calls, _call()], self.read_fingerprint())

    def _write_config(
        self, settings: Mapping[str, Any], calls: Sequence[tuple[str, str]], fingerprint: Mapping[str, Any]
    ) -> None:
        config = settings if self.config is None else self.config
        own = {"call": dict(calls), "fingerprint": fingerprint}
        io.write_text(self.config_path, to_toml({**config, **own}))

    def read_config(self) -> dict[str, Any]:
        """What stands in config.toml, without calls and fingerprint.

        Raises FileNotFoundError where there is none, io.FileFormatError where it is no TOML.
        """
        return {name: value for name, value in self._read_config().items() if name not in ("call", "fingerprint")}

    def read_calls(self) -> list[tuple[str, str]]:
        """When the run began, and was resumed, each with the command."""
        return list(self._read_config().get("call", {}).items())

    def read_fingerprint(self) -> dict[str, Any]:
        """The fingerprint in config.toml; empty where there is none."""
        found: dict[str, Any] = self._read_config().get("fingerprint", {})
        return found

    def _read_config(self) -> dict[str, Any]:
        if not self.config_path.exists():
            raise FileNotFoundError(f"{self.path} holds no run: there is no {self.config_path.name}")
        try:
            config = from_toml(self.config_path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise io.FileFormatError(f"{self.config_path} is no TOML file: {error}") from None
        for name in ("call", "fingerprint"):
            if not isinstance(config.get(name, {}), dict):
                raise io.FileFormatError(f"{self.config_path}: {name} is {config[name]!r}; expected a table")
        return config

    def write_rows(self, rows: Sequence[Row]) -> None:
        """Make metrics.jsonl hold these rows."""
        write_lines(self.metrics_path, rows)

    def add_row(self, row: Row) -> None:
        """Add a line to metrics.jsonl."""
        add_lines(self.metrics_path, [row])

    def add_gradients(self, rows: Sequence[Row]) -> None:
        """Add the lines of a watched step to gradients.jsonl."""
        add_lines(self.gradients_path, rows)

    def read_rows(self) -> list[Row]:
        """The rows in metrics.jsonl; a last line that was not finished is left out.

        Raises FileNotFoundError where there is no such file, io.FileFormatError where a line is no object of JSON.
        """
        if not self.metrics_path.exists():
            raise FileNotFoundError(f"{self.path} holds no finished epoch: there is no {self.metrics_path.name}")
        rows = read_lines(self.metrics_path)
        for number, row in enumerate(rows, 1):
            if not is_epoch(row):
                raise io.FileFormatError(
                    f"{self.metrics_path}, line {number}: no epoch with its number, {', '.join(('lr', *TIMING))}"
                )
        return rows

    def read_gradients(self) -> list[Row]:
        """The rows in gradients.jsonl, as `read_rows`; none where there is no such file.

        Raises io.FileFormatError where a line is no object of JSON with the numbers that a row has.
        """
        rows = read_lines(self.gradients_path) if self.gradients_path.exists() else []
        for number, row in enumerate(rows, 1):
            counts = (row.get(name) for name in ("epoch", "batch", "step"))
            if not all(type(n) is int and n >= 0 for n in counts) or not isinstance(row.get("layer"), str):
                raise io.FileFormatError(f"{self.gradients_path}, line {number}: no row of a layer in a step")
        return rows

    def save_checkpoint(self, state: dict[str, Any], best_epoch: int = 0) -> Path:
        """Write a checkpoint, and remove those that it makes superfluous; that of the best epoch stays."""
        path = self.checkpoints_path / _checkpoint_name(state["epoch"], state["batch"])
        self.checkpoints_path.mkdir(parents=True, exist_ok=True)
        io.save(state, path)
        self._remove_superfluous(best_epoch)
        return path

    def go_back(self, rows: Sequence[Row], source: Path, epoch: int, best_epoch: int = 0, batch: int = 0) -> None:
        """Make the files what they were when a checkpoint was written, and remove what came after it.

        rows:   the history up to then
        batch:  how many batches of the next epoch were done
        source: the checkpoint
        epoch:  whose weights model.safetensors holds; they are taken from its checkpoint beside `source`, if it is
                there
        """
        self.write_rows(rows)
        if self.gradients_path.exists():
            place = len(rows) + 1, batch
            write_lines(self.gradients_path, [r for r in self.read_gradients() if (r["epoch"], r["batch"]) <= place])
        weights = source.with_name(_checkpoint_name(epoch))
        if epoch and weights.exists():
            io.save(io.load(weights)["model"], self.model_path)
        if (found := self.checkpoints()) and source.resolve() in (paths := [path.resolve() for path in found]):
            for later in found[paths.index(source.resolve()) + 1 :]:
                later.unlink()
        self._remove_superfluous(best_epoch)

    def _remove_superfluous(self, best_epoch: int) -> None:
        """Leave the last ones of whole epochs, the last ones of the present epoch, and that of the best epoch."""
        found = self.checkpoints()
        whole = [path for path in found if "batch" not in path.name]
        present = found[found.index(whole[-1]) + 1 :] if whole else found
        kept = {*whole[-self.keep_checkpoints :], *present[-self.keep_checkpoints :]}
        for old in found:
            if old not in kept and old.name != _checkpoint_name(best_epoch):
                old.unlink()

    def checkpoints(self) -> list[Path]:
        """All checkpoints, the newest last."""
        found = []
        for path in self.checkpoints_path.glob("*.safetensors"):
            if match := _CHECKPOINT.fullmatch(path.name):
                found.append((int(match[1]), int(match[2] or 0), path))
        return [path for _, _, path in sorted(found)]

    def latest_checkpoint(self) -> Path:
        """The newest checkpoint.

        Raises FileNotFoundError where there is none.
        """
        found = self.checkpoints()
        if not found:
            raise FileNotFoundError(
                f"{self.path} has no checkpoint to resume from: no epoch of the run was completed; begin it anew"
            )
        return found[-1]

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"


def _checkpoint_name(epoch: int, batch: int = 0) -> str:
    return f"epoch_{epoch:03}{f'_batch_{batch:05}' if batch else ''}.safetensors"


def _locked(folder: Path) -> int | None:
    """A lock on a folder, which ends with the process or when it is closed; None where the file system has none.

    Raises FileExistsError where somebody else has it.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(LOOKS):  # one who only looks has it for a moment
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            time.sleep(0.01)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise FileExistsError(
            f"{folder} is in use: another training runs there; wait until it has ended, or choose another folder"
        ) from None
    except OSError:
        os.close(lock)
        return None
    return lock


def _call() -> tuple[str, str]:
    """The time, in UTC, and the command that this program is."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    program = "gpunn" if Path(sys.argv[0]).name in ("gpunn", "__main__.py") else sys.argv[0]
    return now, shlex.join([program, *sys.argv[1:]])
