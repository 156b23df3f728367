"""Trainings that are killed again and again, and resumed, leave what an uninterrupted one leaves, to the bit.

GPUNN_TRUST says how many; `make trust` takes many, and kills them at any time too.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .kills import Server, contents, has_checkpoint, options_of

TRUST = int(os.environ.get("GPUNN_TRUST", "0"))
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@pytest.mark.slow
@pytest.mark.promise("killed runs are resumed, and leave what an uninterrupted run leaves, to the bit")
@pytest.mark.parametrize("kind", ["command", "trainer"])
@pytest.mark.parametrize("seed", range(TRUST // 2 or 2))
def test_killed_runs_leave_the_same(seed: int, kind: str, server: Server, tmp_path: Path) -> None:
    rng, options = random.Random(seed), options_of(seed)

    def piece(name: str) -> Any:
        """What to do next in the run `name`."""
        if kind == "trainer":
            return [seed, name, rng.choice([0, 1, 3])]
        return ["train", "--resume", name] if has_checkpoint(tmp_path / name) else ["train", "--out", name, *options]

    began = time.monotonic()
    assert server.run(tmp_path, piece("a")) == 0, (tmp_path / "log").read_text()
    took, moments = time.monotonic() - began, int((tmp_path / "moments").read_text())
    ends = []
    for _ in range(rng.choice([1, 2, 3])):
        if TRUST and rng.random() < 0.4:
            ends.append(server.run(tmp_path, piece("b"), after=rng.uniform(0.01, 1) * took))
        else:
            ends.append(
                server.run(tmp_path, piece("b"), moment=rng.randrange(1, moments + 1), number=rng.choice(SIGNALS))
            )
        assert ends[-1] <= 0 or ends[-1] > 128, (tmp_path / "log").read_text()
    assert server.run(tmp_path, piece("b")) == 0, (tmp_path / "log").read_text()
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert [name for name in {**a, **b} if a.get(name) != b.get(name)] == [], (options, ends)
