"""gpunn watch: a run of another process, followed in the terminal and in a browser."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gpunn.cli import watch
from gpunn.cli.watch_page import serving
from gpunn.train import Progress, RunFolder
from gpunn.train.status import Follower, Recorded

ROW = {"loss": 0.5, "lr": 0.1, "seconds": 1.5, "samples_per_second": 20.0}
# A run that goes on until the file "end" is there; its model and its data are as small as can be.
RUN = """
import sys, time
from pathlib import Path
import numpy as np
import gpunn.train.results
from gpunn import nn
from gpunn.train import LambdaCallback, Trainer
gpunn.train.results.write_curves = lambda path, history: None
def wait(trainer, epoch):
    trainer.note("a note <b>")
    while epoch == 3 and not Path("end").exists():
        time.sleep(0.02)
model = nn.Linear(4, 3)
callbacks = [LambdaCallback(on_epoch_begin=wait)]
trainer = Trainer(model, "cross_entropy", "sgd", run_dir="run", progress=False, callbacks=callbacks)
trainer.fit((np.ones((8, 4), np.float32), np.zeros(8, np.int64)), 3)
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("gpunn.train.status.EVERY", 0.05)


@pytest.fixture
def going(tmp_path, monkeypatch):
    """A run in another process, in its third epoch."""
    monkeypatch.chdir(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", RUN], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 60
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not (metrics.exists() and len(metrics.read_text().splitlines()) == 2):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def test_a_run_is_followed_to_its_end(going, gpunn_command, tmp_path, monkeypatch):
    looks = []

    def wait(self):
        looks.append(self.status.state)
        (tmp_path / "end").touch()
        time.sleep(0.02)

    monkeypatch.setattr(Follower, "wait", wait)
    result = gpunn_command("watch", "run", "--json")
    assert result.code == 0
    lines = [line.split("  loss")[0] for line in result.err.splitlines()]
    epochs = [line for line in lines if line.startswith("epoch ") and "batch" not in line]
    assert epochs == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert lines.count("a note <b>") == 3
    assert lines[-1] == "the run has finished: 3 epochs; report: run/report.html"
    assert (result.json["state"], result.json["epoch"]) == ("finished", 3)
    assert looks[0] in ("training", "at work")


def test_a_run_that_is_killed_has_died(going, gpunn_command, monkeypatch):
    monkeypatch.setattr(Follower, "wait", lambda self: (going.send_signal(signal.SIGKILL), going.wait()))
    result = gpunn_command("watch", "run")
    assert result.code == 1
    assert result.err.startswith("gpunn watch: the run has died in epoch ")
    assert "its process is gone without a word; it can be resumed from run/checkpoints/epoch_002.safe" in result.err
    assert "epoch 2/3" in result.out


def ended(folder, *rows, **how):
    folder.path.mkdir()
    folder.config_path.write_text("")
    folder.write_rows([ROW | row for row in rows])
    shown = Recorded(Progress(), folder.status_path)
    shown.start(len(rows), 20, 10, 3, 30)
    if how:
        shown.failed(how["error"])
    shown.close()


def test_how_it_ended(gpunn_command, tmp_path):
    for name, error, code, line in (
        ("a", None, 0, "the run has finished: 12 epochs; report: a/report.html"),
        ("b", KeyboardInterrupt("stopped in epoch 3"), 0, "the run was interrupted: stopped in epoch 3"),
        ("c", ValueError("no \x1b[31m luck"), 1, "gpunn watch: the run has failed: no \\x1b[31m luck"),
    ):
        rows = [{"epoch": e, "odd \x1b name": 0.5, "none": None, "text": "x"} for e in range(1, 13)]
        ended(RunFolder(tmp_path / name), *rows, **({} if error is None else {"error": error}))
        result = gpunn_command("watch", name)
        assert result.code == code
        assert (result.err if code else result.out).splitlines()[-1] == line
        assert result.out.startswith("2 epochs before these\nepoch 3/20  loss 0.5000  odd \\x1b name 0.5000  lr 0.1")
        assert "\x1b" not in result.out


def test_a_run_that_leaves_nothing(gpunn_command, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.config_path.write_text("")
    Recorded(Progress(), folder.status_path).start(1, 2, None, 0, 0)
    monkeypatch.setattr(Follower, "wait", lambda self: folder.config_path.unlink())
    with folder.claimed():
        result = gpunn_command("watch", "run")
    assert result.code == 1
    assert result.err == "gpunn watch: the run has failed: it has left nothing: it ended in its first epoch\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none"], "none holds no run: there is no config.toml"),
        (["run", "--port", "0"], "argument --port: '0' is not a port from 1 to 65535"),
        (["run", "--port", "99999"], "argument --port: '99999' is not a port from 1 to 65535"),
        (["run"], "run/status.json is damaged: JSONDecodeError"),
    ],
)
def test_wrong_calls(arguments, line, gpunn_command, tmp_path):
    folder = RunFolder(tmp_path / "run")
    ended(folder, {"epoch": 1})
    folder.status_path.write_text("{")
    result = gpunn_command("watch", *arguments)
    assert result.code == 2
    assert line in result.err


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The address of the page of a run that goes on, and its folder."""
    monkeypatch.setattr("gpunn.cli.watch_page.LINGER", 0.0)
    folder = RunFolder(tmp_path / "<b>run")
    with folder.claimed():
        folder.config_path.write_text("")
        folder.write_rows([ROW | {"epoch": 1, "<i>": 0.25}])
        Recorded(Progress(), folder.status_path).start(2, 20, 10, 3, 30)
        with serving(Follower(folder), 0) as address:
            yield address, folder


def ask(address, path, host=None, method="GET"):
    connection = http.client.HTTPConnection(address.split("/")[2], timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_the_page_is_served_to_this_machine_alone(page):
    address, _ = page
    assert address.startswith("http://127.0.0.1:")
    port = address.split(":")[2].strip("/")
    answer, text = ask(address, "/")
    assert (answer.status, "<h1>&lt;b&gt;run</h1>" in text) == (200, True)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "frame-ancestors 'none'" in policy
    assert ask(address, "/now", f"localhost:{port}")[0].status == 200
    # A name that an attacker makes lead here, another port, no host at all.
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{int(port) + 1}",
        "",
        f"[::1]:{port}",
    ):
        assert ask(address, "/now", host)[0].status == 421, host
    for path in (
        "/../status.json",
        "/%2e%2e/status.json",
        "/status.json",
        "/etc/passwd",
        "//etc/passwd",
        "/now/x",
        "*",
    ):
        assert ask(address, path)[0].status == 404, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"):
        assert ask(address, "/now", method=method)[0].status == 501, method


def test_only_what_has_changed_is_sent(page):
    address, folder = page
    found = json.loads(ask(address, "/now")[1])
    assert found["line"] == "Epoch 2 of 20, batch 3 of 10"
    assert "&lt;i&gt;" in found["main"]
    assert "<i>" not in found["main"]
    again = json.loads(ask(address, f"/now?{found['version']}")[1])
    assert "main" not in again
    folder.add_row(ROW | {"epoch": 2})
    assert "main" in json.loads(ask(address, f"/now?{found['version']}")[1])


def test_a_port_that_is_taken(page, gpunn_command):
    address, folder = page
    port = address.split(":")[2].strip("/")
    result = gpunn_command("watch", folder.path, "--port", port)
    assert (result.code, result.err) == (2, f"gpunn watch: --port {port}: Address already in use; choose another one\n")


def test_the_page_in_a_browser(page, tab):
    """It shows what is new by itself, keeps what was opened, and says that the run has ended."""
    address, folder = page
    tab.open(address)
    deadline = time.monotonic() + 30

    def until(selector, text):
        while text not in tab.text(selector):
            assert time.monotonic() < deadline, tab.text(selector)
            time.sleep(0.05)

    until("#now", "Epoch 2 of 20, batch 3 of 10")
    until("main", "training loss")
    for width, dark in ((1200, False), (400, True)):
        tab.size(width)
        tab.media(dark=dark)
        assert tab.overflow() == 0
        assert tab.weak_texts() == []
        assert tab.unlabelled() == []
    folder.add_row(ROW | {"epoch": 2, "loss": 0.0625})
    shown = Recorded(Progress(), folder.status_path)
    shown.start(3, 20, 10, 0, 0)
    shown.note("a <script>note</script>")
    until("main", "0.0625")
    until("main", "a <script>note</script>")
    until("#now", "Epoch 3 of 20")
    shown.failed(ValueError("out of luck"))
    folder.release()
    try:
        until("#now", "The run has ended: failed. out of luck")
    finally:
        folder.claim()
    assert tab.errors == []
    assert {url.split("?")[0] for url in tab.requests} == {address, f"{address}now"}


def test_a_terminal_has_a_bar(tmp_path):
    """Drawn by the same hands as that of the run itself."""
    ended(folder := RunFolder(tmp_path / "run"), {"epoch": 1})
    calls = []

    class Shown(Progress):
        def start(self, *place):
            calls.append(place)
            super().start(*place)

        def show(self, values, rate, left):
            calls.append((values, rate, left))

        def end(self, row):
            calls.append(row["epoch"])

    follower = Follower(folder)
    shown = Recorded(Progress(), folder.status_path)
    shown.start(2, 20, 10, 3, 30)
    shown.show({"loss": 0.5}, 40.0, 7.0)
    follower.wait = shown.close
    with folder.claimed():
        follower.wait = lambda: (shown.close(), folder.release())
        watch._follow(follower, Shown())
        folder.claim()
    assert calls == [1, (2, 20, 10, 3, 30), ({"loss": 0.5}, 40.0, 7.0)]
