"""A rank that dies or hangs ends all others within bounded time, with its name, and nothing is damaged.

GPUNN_TRUST says how many are killed; `make trust` takes a hundred.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import gpunn
from gpunn.parallel import watch
from gpunn.parallel.launch import is_lost
from gpunn.parallel.watch import GRACE, LOST, Peer, Watch, verdict
from gpunn.train import load_checkpoint
from tests.train.kills import Server

from .launch import environment, launcher

TRUST = int(os.environ.get("GPUNN_TRUST", "0"))
TIMEOUT = 20
"""Seconds after which a rank hangs for all others; machines on which tests run may be slow."""
OPTIONS = ["--model", "mlp:8", "--epochs", "4", "--batch-size", "200", "--optimizer", "sgd"]
NAMES = ("loss", "val_loss", "accuracy", "val_accuracy", "lr")


def train(cwd: Path, ranks: int, *arguments: str, flavour: str = "openmpi") -> tuple[int, str, float]:
    """Run ranks; the exit code, what they wrote on standard error, and the seconds."""
    command, _ = launcher(flavour)
    began = time.monotonic()
    done = subprocess.run(
        [*command, "-n", str(ranks), sys.executable, str(Path(__file__).with_name("killed.py")), *arguments],
        env=environment(flavour, GPUNN_PARALLEL_TIMEOUT=str(TIMEOUT)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=cwd,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stderr.replace(b"\0", b"").decode(errors="replace"), time.monotonic() - began


def rows(folder: Path) -> list[list[float]]:
    return [[json.loads(line)[n] for n in NAMES] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody has disturbed, of one process."""
    folder = tmp_path_factory.mktemp("whole")
    assert server.run(folder, ["train", "--out", "a", *OPTIONS]) == 0, (folder / "log").read_text()
    return folder / "a"


@pytest.mark.promise("ranks that are killed or stopped end all others with a message, and any number of ranks goes on")
@pytest.mark.parametrize("seed", range(min(TRUST // 2, 100) or 2))
def test_a_lost_rank_ends_all_and_the_run_goes_on(seed: int, server: Server, whole: Path, tmp_path: Path) -> None:
    rng = random.Random(seed)
    ranks, number = (2, signal.SIGKILL) if seed == 0 else (rng.choice([2, 3, 4]), rng.choice([9, 9, signal.SIGSTOP]))
    flavour = "openmpi" if not TRUST or rng.random() < 0.7 else "mpich"
    rank, moment = rng.randrange(ranks), rng.randrange(1, 40)
    code, text, _ = train(
        tmp_path, ranks, str(rank), str(moment), str(int(number)), "train", "--out", "b", *OPTIONS, flavour=flavour
    )
    if code:  # else it was done before that moment
        assert is_lost(code), text
        # mpirun kills all others too, MPICH's at once, Open MPI's after a second: on a busy machine before they say it.
        if "gpunn: rank" in text or (flavour == "openmpi" and seed < 2):
            assert re.search(rf"gpunn: rank {rank} on \S+ \(process \d+\) (has died|hangs: )", text), text
    there = any((tmp_path / "b" / "checkpoints").glob("epoch_*.safetensors"))
    for line in re.findall(r"gpunn: rank .*; rank \d ends.*", text):
        assert "; nothing was saved" in line or (there and ". To go on from the last checkpoint: gpunn train" in line)
    if rank and "; rank 0 ends" in text:
        assert json.loads((tmp_path / "b" / "status.json").read_text())["state"] == "failed"
    for pid in re.findall(rf"rank {rank} on \S+ \(process (\d+)\) hangs", text):
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    for path in (tmp_path / "b" / "checkpoints").glob("epoch_*.safetensors"):
        load_checkpoint(path)
    again = ["train", "--resume", "b"] if there else ["train", "--out", "b", *OPTIONS]
    assert server.run(tmp_path, again) == 0, (tmp_path / "log").read_text()
    for found, wanted in zip(rows(tmp_path / "b"), rows(whole), strict=True):
        assert found == pytest.approx(wanted, rel=1e-4)  # float32; the number of ranks changes how it rounds
    a, b = (gpunn.load(run / "model.safetensors") for run in (whole, tmp_path / "b"))
    for name, value in a.items():
        assert gpunn.allclose(value, b[name], rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_rank_0_is_lost_while_others_wait_for_the_end(number: int) -> None:
    command, _ = launcher("openmpi")
    script = Path(__file__).with_name("not_alike.py")
    done = subprocess.run(
        [*command, "-n", "2", sys.executable, str(script), str(int(number))],
        env=environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert is_lost(done.returncode)
    assert re.search(r"gpunn: rank 0 on \S+ \(process \d+\) (has died|hangs: )", done.stderr.decode())


def test_a_stranger_that_connects_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "HELLO", 0.1)
    there = threading.Event()
    shared: list[Any] = []
    hosts = threading.Thread(
        target=lambda: shared.append(Watch(0, 2, lambda v: (shared.append(v), there.set()), 60.0)), daemon=True
    )
    hosts.start()
    assert there.wait(20)
    port = shared[0][1]
    silent, deep = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
    deep.sendall(b"[" * 4095 + b"\n")
    other = Watch(1, 2, lambda _: shared[0], 60.0)
    hosts.join(20)
    assert len(shared) == 2
    first = threading.Thread(target=shared[1].leave)
    first.start()
    other.leave()
    first.join(20)
    for each in (silent, deep, *shared[1]._sockets.values(), *other._sockets.values()):
        each.close()


def peers(now: float, *counts: int, waiting: tuple[bool, ...]) -> dict[int, Peer]:
    found = {rank: Peer(f"rank {rank}", now) for rank in range(len(counts))}
    for (rank, peer), waits in zip(found.items(), waiting):
        peer.says(now, counts[rank], "a sum", waits)
    return found


def test_who_hangs() -> None:
    late = peers(0.0, 5, 4, waiting=(True, False))
    assert verdict(late, 9.0, 10.0) == ""
    late[0].seen = late[1].seen = 11.0
    assert verdict(late, 11.0, 10.0) == "rank 1 hangs: the others have waited in a sum for 11 seconds"
    late[1].ended = True
    late[0].seen = GRACE + 1
    assert "rank 1 has ended" in verdict(late, GRACE + 1, 10.0)
    silent = peers(0.0, 5, 5, waiting=(False, False))
    silent[0].seen = 20.0
    assert verdict(silent, 20.0, 10.0) == "rank 1 hangs: it has said nothing for 20 seconds"
    stuck = peers(0.0, 5, 5, waiting=(True, True))
    for peer in stuck.values():
        peer.seen = 11.0
    assert "all ranks have waited" in verdict(stuck, 11.0, 10.0)


def test_codes_of_what_is_worth_another_start() -> None:
    assert all(map(is_lost, (LOST, 9, 128 + 9, -9, 128 + 11)))
    assert not any(map(is_lost, (0, 1, 2, 130, 143, 129, 15)))
