"""Ctrl-C, SIGTERM and SIGHUP: what is kept, what is said, the exit code, and the terminal."""

import os
import pty
import signal
import subprocess
import sys

import pytest

from gpunn.train import RunFolder

CALL = ("train", "--model", "mlp:8", "--epochs", 5, "--out", "run")


def at_epoch_2(monkeypatch, *signals):
    """Let these signals come when the second epoch is done."""
    add_row = RunFolder.add_row

    def add_row_then_signal(self, row):
        add_row(self, row)
        if row["epoch"] == 2:
            for number in signals:
                signal.raise_signal(number)

    monkeypatch.setattr(RunFolder, "add_row", add_row_then_signal)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_checkpoint_and_how_to_go_on(gpunn_command, monkeypatch, number, code):
    at_epoch_2(monkeypatch, number)
    result = gpunn_command(*CALL)
    assert result.code == code
    path = RunFolder("run").latest_checkpoint()
    assert path.name == "epoch_002.safetensors"
    assert f"gpunn train: stopped after epoch 2; to go on from {path}: gpunn train --resume run\n" in result.err


@pytest.mark.parametrize("first, second", [(signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)])
def test_a_second_one_stops_at_once_and_says_so(gpunn_command, monkeypatch, first, second):
    at_epoch_2(monkeypatch, first, second)
    result = gpunn_command(*CALL)
    assert result.code == 128 + second
    path = RunFolder("run").latest_checkpoint()
    assert path.name == "epoch_002.safetensors"
    assert f"stopped at once, in epoch 2; to go on from {path}" in result.err


@pytest.mark.parametrize(
    "number, code, message",
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "the terminal was closed"),
    ],
)
def test_before_the_training(gpunn_command, monkeypatch, tmp_path, number, code, message):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(n) for n in numbers]
    monkeypatch.setattr("gpunn.cli.data.prepare_data", lambda options: signal.raise_signal(number))
    result = gpunn_command(*CALL)
    assert (result.code, result.err) == (code, f"\ngpunn train: {message}\n")
    assert not (tmp_path / "run").exists()
    assert [signal.getsignal(n) for n in numbers] == before


def test_a_signal_that_is_ignored_stays_so(gpunn_command, monkeypatch):
    """As nohup does with SIGHUP: the training goes on to its end."""
    at_epoch_2(monkeypatch, signal.SIGHUP)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert gpunn_command(*CALL).code == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def on_a_terminal(folder):
    """A training with a bar on a terminal, of which epoch 2 has begun; the process, our side, and what was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gpunn", "train", "--model", "mlp:8", "--epochs", "100000", "--out", "run"]
    process = subprocess.Popen(command, cwd=folder, stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    shown = b""
    while b"epoch 2/" not in shown:
        shown += os.read(ours, 4096)
    return process, ours, shown


def test_the_terminal_has_its_cursor_again(tmp_path):
    """With a signal from another process."""
    process, ours, shown = on_a_terminal(tmp_path)
    process.send_signal(signal.SIGTERM)
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
    os.close(ours)
    assert process.wait() == 143
    hide, show = b"\x1b[?25l", b"\x1b[?25h"
    assert hide in shown and shown.rfind(show) > shown.rfind(hide)
    assert b"gpunn train --resume run" in shown


@pytest.mark.slow
def test_a_terminal_that_is_closed(tmp_path):
    """Nothing can be shown there any more; the checkpoint is written all the same."""
    process, ours, _ = on_a_terminal(tmp_path)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert process.wait() == 129
    assert RunFolder(tmp_path / "run").latest_checkpoint()
