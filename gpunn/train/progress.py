"""How a run shows where it is: a bar on a terminal or in a notebook, plain lines on standard error, or nothing."""

from __future__ import annotations

import errno
import html
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from gpunn.notebook import in_notebook

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID

Row = dict[str, Any]

BAR_EVERY = 0.2  # seconds; drawing the bar takes about 2 ms
LINE_EVERY = 10.0
NOTEBOOK_EVERY = 1.0  # each draw is a message, and an answer of the browser's

LABELS = {"penalty": "s", "objective": "J"}


class Progress:
    """Shows nothing; the others derive from it.

    The training loop asks `due` after each step, which costs a look at the clock, and reads loss and metrics only where
    it is.
    """

    every = float("inf")
    """Seconds between two calls of `batch`."""

    def __init__(self) -> None:
        self._next = float("inf")

    def start(self, epoch: int, epochs: int, batches: int | None, done: int, samples: int) -> None:
        """An epoch begins, or goes on after `done` batches; `batches` is None where their number is not known."""
        self.epoch, self.epochs, self.batches, self.done = epoch, epochs, batches, done
        self._began, self._from, self._samples = time.perf_counter(), done, samples
        self._next = self._began + self.every

    def due(self) -> bool:
        """Whether it is time to call `batch`."""
        return time.perf_counter() >= self._next

    def again(self) -> None:
        """It is not time before `every` seconds have gone by."""
        self._next = time.perf_counter() + self.every

    def batch(self, done: int, samples: int, values: Row) -> None:
        """So many batches and samples of this epoch are done, with these results so far."""
        self.done = done
        self.again()
        now = time.perf_counter()
        elapsed = max(now - self._began, 1e-9)
        left = None
        if self.batches is not None and done > self._from:
            remaining = (self.epochs - self.epoch + 1) * self.batches - done
            left = elapsed / (done - self._from) * remaining
        self.show(values, (samples - self._samples) / elapsed, left)

    def show(self, values: Row, rate: float, left: float | None) -> None:
        """Show results within an epoch: `rate` in samples/s, `left` in seconds until the last epoch's end."""

    def validating(self) -> None:
        """The steps of the epoch are done; validation begins."""

    def end(self, row: Row) -> None:
        """The epoch is done, with this row of the history."""

    def note(self, text: str) -> None:
        """One line that is neither."""

    def failed(self, error: BaseException) -> None:
        """Training ends by an error or an interrupt, before `close`."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Lasting:
    """A stream whose terminal may go away: what is written after that is lost, and no error.

    Other streams' errors are raised.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, as to the stream."""
        with _unless_gone():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        with _unless_gone():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise


class Lines(Progress):
    """One line for each epoch, and one every ten seconds within a long one."""

    every = LINE_EVERY

    def __init__(self, stream: TextIO | None = None):
        super().__init__()
        self._stream = stream

    def _write(self, text: str) -> None:
        print(text, file=Lasting(self._stream or sys.stderr), flush=True)

    def show(self, values: Row, rate: float, left: float | None) -> None:
        """A line within an epoch."""
        of = f"/{self.batches}" if self.batches is not None else ""
        rest = f"  {duration(left)} left" if left is not None else ""
        self._write(
            f"epoch {self.epoch}/{self.epochs}  batch {self.done}{of}  {described(values)}  {rate:,.0f} samples/s{rest}"
        )

    def end(self, row: Row) -> None:
        """The line of an epoch."""
        self._write(epoch_line(row, self.epochs))

    def note(self, text: str) -> None:
        """The line itself."""
        self._write(text)


class Bar(Progress):
    """A bar for the epoch in progress, with loss, metrics, samples/s and the time left; above it a line per epoch."""

    every = BAR_EVERY

    def __init__(self, stream: TextIO | None = None):
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichBar
        from rich.table import Column

        self._console = Console(file=cast(TextIO, Lasting(stream or sys.stderr)))
        # Drawn by the loop itself, not by a thread of rich's, which would take the interpreter from the steps.
        self._bar: RichBar = RichBar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn(
                "{task.fields[values]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
            ),
            console=self._console,
            auto_refresh=False,
            transient=True,
            expand=True,
            # What is printed meanwhile appears above the bar; but what goes to a file or a program stays apart.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task: TaskID | None = None

    def start(self, epoch: int, epochs: int, batches: int | None, done: int, samples: int) -> None:
        """Begin a new bar."""
        super().start(epoch, epochs, batches, done, samples)
        self._remove()
        self._task = self._bar.add_task(f"epoch {epoch}/{epochs}", total=batches, completed=done, values="")
        self._bar.start()
        self._bar.refresh()

    def show(self, values: Row, rate: float, left: float | None) -> None:
        """Redraw the bar."""
        # What a narrow terminal has no room for comes last.
        first = {"loss": values["loss"]} if "loss" in values else {}
        parts = [described(first), f"{rate:,.0f} samples/s", f"{duration(left)} left" if left is not None else ""]
        parts.append(described({name: value for name, value in values.items() if name not in first}))
        self._draw("  ".join(part for part in parts if part))

    def validating(self) -> None:
        """Fill the bar."""
        self.done = self.batches or self.done
        self._draw("validation")

    def end(self, row: Row) -> None:
        """Put the line of the epoch above the bar."""
        self._remove()
        self.note(epoch_line(row, self.epochs))

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away; the lines stay."""
        self._remove()
        self._bar.stop()

    def _draw(self, values: str) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=self.done, values=values)
            self._bar.refresh()

    def _remove(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


class Notebook(Progress):
    """In a notebook: one place that is drawn anew, with a bar for all epochs and the last line; notes stay below it."""

    every = NOTEBOOK_EVERY

    def __init__(self) -> None:
        super().__init__()
        from IPython.display import HTML, display

        self._html = HTML
        self.epoch, self.epochs, self.batches, self.done = 1, 1, None, 0
        self._notes: list[str] = []
        self._line = ""
        self._handle: Any = display(HTML(""), display_id=True)

    def start(self, epoch: int, epochs: int, batches: int | None, done: int, samples: int) -> None:
        """An epoch begins: nothing new to see until the next draw."""
        super().start(epoch, epochs, batches, done, samples)
        if epoch == 1:
            self._draw("")

    def show(self, values: Row, rate: float, left: float | None) -> None:
        """Redraw the place."""
        rest = f"  {duration(left)} left" if left is not None else ""
        self._draw(f"epoch {self.epoch}/{self.epochs}  {described(values)}  {rate:,.0f} samples/s{rest}")

    def end(self, row: Row) -> None:
        """Remember the line of the epoch; draw it if it is time to, or the last one."""
        self._line = epoch_line(row, self.epochs)
        self.done = 0
        self.epoch += 1
        if self.due() or self.epoch > self.epochs:
            self._draw(self._line)

    def note(self, text: str) -> None:
        """A line that stays."""
        self._notes.append(text)
        self._draw(self._line)

    def close(self) -> None:
        """Leave the last line."""
        self._draw(self._line)

    def _draw(self, line: str) -> None:
        share = self.done / self.batches if self.batches else 0.0
        done = min(self.epoch - 1 + share, self.epochs)
        bar = f'<progress max="{self.epochs}" value="{done:.3f}" aria-label="epochs"></progress>'
        lines = "".join(f"<div>{html.escape(text)}</div>" for text in (line, *self._notes) if text)
        self._handle.update(self._html(f'<div style="color:inherit">{bar}{lines}</div>'))


def make_progress(progress: bool | Progress) -> Progress:
    """A bar in a notebook or on a terminal, else lines; nothing for False; an object as it is."""
    if isinstance(progress, Progress):
        return progress
    if not progress:
        return Progress()
    if in_notebook():
        return Notebook()
    if sys.stderr.isatty():
        with suppress(ImportError):  # rich draws it
            return Bar()
    return Lines()


def epoch_line(row: Row, epochs: int) -> str:
    """One epoch in one line."""
    hidden = ("epoch", "seconds", "samples_per_second", "lr")
    values = described({name: value for name, value in row.items() if name not in hidden})
    return (
        f"epoch {row['epoch']}/{epochs}  {values}  lr {row['lr']:.3g}  "
        f"{row['samples_per_second']:,.0f} samples/s  {duration(row['seconds'])}"
    )


def described(values: Row) -> str:
    """Results as "loss 0.1234  accuracy 0.9712"."""
    parts = []
    for name, value in values.items():
        if not isinstance(value, (int, float)):  # in a file what is not finite is null
            continue
        fixed = f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.4g}"
        text = str(value) if isinstance(value, int) else fixed
        parts.append(f"{LABELS.get(name, name)} {text}")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds as "0.42 s", "12 s", "3:05" or "2:03:05"."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
