"""Ranks that MPI has started do together what one process does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import ranks_equal_one
from .launch import start

SCRIPT = Path(ranks_equal_one.__file__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def on_2(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in start(2, str(SCRIPT), str(folder))]


@pytest.fixture(scope="module")
def on_4(folder: Path, on_2: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Four ranks, which also go on with what two have begun."""
    shutil.copytree(folder / "from-2", folder / "begun")
    return [json.loads(line) for line in start(4, str(SCRIPT), str(folder))]


@pytest.mark.parametrize("ranks", ["on_2", "on_4"])
def test_ranks_get_what_one_process_gets_from_the_same_batches(ranks: str, request: pytest.FixtureRequest) -> None:
    found = [row for row in request.getfixturevalue(ranks) if "case" in row]
    assert [row["case"] for row in found] == ranks_equal_one.cases(int(ranks[-1]))
    for row in found:
        assert row["weights"] < 1e-12, row  # float64
        assert row["history"] < 1e-12, row
        assert row["moved"] > 1e-3, row
        assert row["again"], row  # to the bit
        assert row["sharded"], row  # likewise
        assert row["alike"], row


def test_what_is_not_alike_on_ranks_is_summed_or_refused() -> None:
    assert start(2, str(SCRIPT.with_name("not_alike.py")), "0") == ["good"] * 2


def test_another_number_of_ranks_goes_on_from_a_checkpoint(on_4: list[dict[str, Any]], folder: Path) -> None:
    (resumed,) = [np.array(row["resumed"]) for row in on_4 if "resumed" in row]
    case = ranks_equal_one.CASES["adam"]
    whole = ranks_equal_one.weights(ranks_equal_one.fit(case, epochs=2)[0])
    alone = ranks_equal_one.weights(ranks_equal_one.fit(case, folder / "from-4", epochs=2, resume=True)[0])
    assert np.abs(resumed - whole).max() < 1e-12  # two ranks, then four
    assert np.abs(alone - whole).max() < 1e-12  # four ranks, then one process
