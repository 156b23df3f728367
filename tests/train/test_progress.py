"""What is shown while a run goes on."""

import errno
import io
from contextlib import nullcontext

import pytest

from gpunn.train import Bar, LambdaCallback, Lines, Progress
from gpunn.train.progress import described, duration, epoch_line, make_progress

from .conftest import make_trainer

ROW = {
    "epoch": 3, "loss": 0.51234567, "penalty": 0.0123, "objective": 0.52464567, "accuracy": 0.97125,
    "val_loss": 1.5e-5, "lr": 0.05, "seconds": 2.5, "samples_per_second": 12345.6,
}  # fmt: skip


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes forward when it is told to."""

    class Clock:
        now = 100.0

    monkeypatch.setattr("time.perf_counter", lambda: Clock.now)
    return Clock


def test_the_line_of_an_epoch():
    assert epoch_line(ROW, 20) == (
        "epoch 3/20  loss 0.5123  s 0.0123  J 0.5246  accuracy 0.9712  val_loss 1.5e-05  lr 0.05  "
        "12,346 samples/s  2.5 s"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.004, "0.00 s"),
        (0.25, "0.25 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (60, "1:00"),
        (185, "3:05"),
        (7385, "2:03:05"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_numbers():
    assert described({"a": 0.0, "b": 12345.678, "c": -0.5, "d": float("nan")}) == (
        "a 0.0000  b 1.235e+04  c -0.5000  d nan"
    )


def test_lines_within_a_long_epoch(clock):
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start(2, 4, 100, 0, 0)
    clock.now += 9.9
    assert not lines.due()
    clock.now += 0.1
    assert lines.due()
    lines.batch(25, 2500, {"loss": 0.5})
    assert not lines.due()
    # 25 of 100 batches took 10 s; 75 of this epoch and 200 of two more are left
    assert stream.getvalue() == "epoch 2/4  batch 25/100  loss 0.5000  250 samples/s  1:50 left\n"


def test_speed_and_time_left_after_resuming(clock):
    """Only what was done since counts."""
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start(1, 1, 100, 50, 5000)
    clock.now += 10
    lines.batch(60, 6000, {"loss": 0.5})
    assert stream.getvalue() == "epoch 1/1  batch 60/100  loss 0.5000  100 samples/s  40 s left\n"


def test_an_unknown_number_of_batches(clock):
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start(1, 1, None, 0, 0)
    clock.now += 10
    lines.batch(60, 600, {"loss": 0.5})
    assert stream.getvalue() == "epoch 1/1  batch 60  loss 0.5000  60 samples/s\n"


def test_a_bar_on_a_terminal(clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    bar = Bar(stream)
    bar.start(2, 4, 100, 0, 0)
    clock.now += 0.3
    assert bar.due()
    bar.batch(25, 2500, {"loss": 0.5, "accuracy": 0.75})
    bar.validating()
    bar.end({**ROW, "epoch": 2})
    bar.note("a note [with] brackets")
    bar.close()
    text = stream.getvalue()
    for part in ("epoch 2/4", "25/100", "loss 0.5000", "8,333 samples/s", "s left", "validation", "100/100"):
        assert part in text
    assert "12,346 samples/s  2.5 s\n" in text
    assert "a note [with] brackets\n" in text


def test_a_run_in_plain_lines(task, capsys):
    make_trainer(progress=True).fit((task.x, task.y), 2, validation=0.2)
    out, err = capsys.readouterr()
    assert out == ""  # results for programs go there
    assert [line[:16] for line in err.splitlines()] == ["epoch 1/2  loss ", "epoch 2/2  loss "]
    assert "val_accuracy" in err


def test_why_a_run_stopped(task, capsys):
    callback = LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: trainer.stop("enough is enough"))
    make_trainer(progress=True, callbacks=[callback]).fit((task.x, task.y), 5)
    assert capsys.readouterr().err.splitlines()[1] == "stopped after epoch 1: enough is enough"


def test_silence(task, capsys):
    make_trainer(progress=False).fit((task.x, task.y), 2)
    assert capsys.readouterr() == ("", "")


def test_results_are_read_only_when_they_are_shown(task):
    class Counting(Progress):
        every = 0.0

        def show(self, values, rate, left):
            shown.append((self.done, sorted(values)))

    shown = []
    make_trainer(progress=Counting(), l2=0.1).fit((task.x, task.y), 1, batch_size=30)
    names = ["accuracy", "loss", "objective", "penalty"]
    assert shown == [(1, names), (2, names), (3, names)]


def test_which_progress(monkeypatch):
    own = Progress()
    assert make_progress(own) is own
    assert type(make_progress(False)) is Progress
    assert type(make_progress(True)) is Lines
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert type(make_progress(True)) is Bar


@pytest.mark.parametrize("number, lost", [(errno.EIO, True), (errno.ENOSPC, False)])
def test_a_terminal_that_went_away(number, lost):
    """What is written there is lost; other errors are not passed over."""

    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(number, "gone")

    with nullcontext() if lost else pytest.raises(OSError, match="gone"):
        Lines(Gone()).note("text")
