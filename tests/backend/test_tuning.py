"""Picking kernels by measurement, on the simulator with a clock that is planted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpunn.backend.kernel import linear as linear_kernels
from gpunn.backend.kernel import offers, tuning
from gpunn.backend.kernel.gemm import schedule
from gpunn.backend.kernel.picks import Picks
from gpunn.backend.kernel.tuning import tuner_of
from gpunn.backend.sim import SimBackend

from .picked import BACKEND, BEST, INPUTS, OUTPUTS, PRODUCT, ROWS, linear, tuned, written

pytestmark = pytest.mark.usefixtures("picks_folder")


def test_by_default_nothing_is_measured_read_or_written(picks_folder, monkeypatch, rng) -> None:
    for name in ("", "off"):
        monkeypatch.setenv("GPUNN_TUNE", name)
        assert tuner_of(BACKEND, lambda: {"gpu": "sim"}) is None
    monkeypatch.delenv("GPUNN_TUNE")
    backend = SimBackend("fast")
    assert backend.tuner is None
    linear(rng, backend)
    assert not picks_folder.exists()


def test_another_value_names_the_three(monkeypatch) -> None:
    monkeypatch.setenv("GPUNN_TUNE", "fast")
    with pytest.raises(ValueError, match=r"GPUNN_TUNE is 'fast'; expected off .*, cached .* or full"):
        SimBackend("fast")


def test_the_fastest_is_picked_and_stays(picks_folder, monkeypatch, clock, rng) -> None:
    predicted = schedule(ROWS, OUTPUTS, INPUTS, may_transpose=True)
    assert predicted.size != "medium"
    state = rng.bit_generator.state
    plain, _ = linear(rng)
    tuned(BACKEND, monkeypatch)
    clock.of = lambda name, grid: 1.0 if name == "linear_forward_medium" and grid[1] == 4 else 3.0
    rng.bit_generator.state = state
    first, expected = linear(rng)
    np.testing.assert_allclose(first, expected, rtol=0, atol=1e-3)
    assert written(picks_folder)[PRODUCT]["pick"] == BEST
    assert written(picks_folder)[PRODUCT]["us"] == 1e6
    assert (first != plain).any()  # sums are cut into other parts
    assert not [path for path in picks_folder.iterdir() if path.suffix not in (".json", ".lock")]
    for mode in ("cached", "full"):  # in other processes
        clock.asked = 0
        tuned(BACKEND, monkeypatch, mode)
        rng.bit_generator.state = state
        np.testing.assert_array_equal(linear(rng)[0], first)
        assert clock.asked == 0
    tuned(BACKEND, monkeypatch, "off")
    rng.bit_generator.state = state
    np.testing.assert_array_equal(linear(rng)[0], plain)


def test_cached_measures_nothing(picks_folder, monkeypatch, clock, rng) -> None:
    state = rng.bit_generator.state
    plain, _ = linear(rng)
    tuner = tuned(BACKEND, monkeypatch, "cached")
    rng.bit_generator.state = state
    np.testing.assert_array_equal(linear(rng)[0], plain)
    assert (clock.asked, picks_folder.exists()) == (0, False)
    assert tuner is not None and list(tuner.picks()) == [PRODUCT]


@pytest.mark.parametrize(("less", "wins"), [(0.04, False), (0.06, True)])
def test_a_little_faster_is_not_enough(less, wins, picks_folder, monkeypatch, clock, rng) -> None:
    tuned(BACKEND, monkeypatch)
    clock.of = lambda name, grid: 1 - less if name == "linear_forward_medium" and grid[1] == 4 else 1.0
    ways = offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True)
    linear(rng)
    row = written(picks_folder)[PRODUCT]
    assert row["predicted"] == next(iter(ways)) != BEST
    assert (row["pick"] == BEST) is wins
    assert row["tried"] == len(ways)


def test_noise_of_single_rounds_does_not_pick(picks_folder, monkeypatch, clock, rng) -> None:
    """In three of seven rounds a way seems to take nothing."""
    ways = offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True)
    two = {name: ways[name] for name in (next(iter(ways)), BEST)}
    monkeypatch.setattr(offers, "schedules", lambda *sizes, **more: two)
    tuned(BACKEND, monkeypatch)
    rounds = {"medium": 0}

    def of(name: str, grid: tuple[int, ...]) -> float:
        if name != "linear_forward_medium" or grid[1] != 4:
            return 1.0
        rounds["medium"] += 1
        return 1e-6 if rounds["medium"] <= 3 else 1.0

    clock.of = of
    linear(rng)
    assert rounds["medium"] == tuning.ROUNDS
    assert written(picks_folder)[PRODUCT]["pick"] == written(picks_folder)[PRODUCT]["predicted"]


def test_a_wrong_way_never_wins(picks_folder, monkeypatch, clock, rng) -> None:
    """One that leaves out half of each sum, and one that leaves out tiles, would be the fastest."""
    ways = dict(offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True))
    whole = ways[BEST]
    ways["half"] = whole._replace(part_depth=32)
    ways["not all tiles"] = whole._replace(grid=(1, 3))
    monkeypatch.setattr(offers, "schedules", lambda *sizes, **more: ways)
    tuned(BACKEND, monkeypatch)
    clock.of = lambda name, grid: 0.1 if name == "linear_forward_medium" and grid[1] == 4 else 1.0
    with pytest.warns(UserWarning, match="is not taken, since its result is wrong by") as told:
        result, expected = linear(rng)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
    assert [str(line.message).split(" is not taken")[0] for line in told] == [
        f"{PRODUCT}: half",
        f"{PRODUCT}: not all tiles",
    ]
    assert written(picks_folder)[PRODUCT]["pick"] == BEST


def test_a_prediction_that_is_wrong_does_not_win_either(picks_folder, monkeypatch, clock, rng) -> None:
    whole = offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True)[BEST]
    half = whole._replace(part_depth=32)
    monkeypatch.setattr(linear_kernels, "schedule", lambda *sizes, **more: half)
    monkeypatch.setattr(offers, "schedules", lambda *sizes, **more: {"half": half, BEST: whole})
    tuned(BACKEND, monkeypatch)
    with pytest.warns(UserWarning, match=f"{PRODUCT}: half is not taken"):
        result, expected = linear(rng)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
    row = written(picks_folder)[PRODUCT]
    assert (row["pick"], row["predicted"], row["us_of_predicted"], row["tried"]) == (BEST, "half", None, 1)


def test_a_way_that_fails_is_told(picks_folder, monkeypatch, clock, rng) -> None:
    launch = BACKEND.launcher

    def broken(text: str, name: str, *rest: Any, **types: Any) -> None:
        if name == "linear_forward_medium":
            raise RuntimeError("too many resources requested for launch")
        launch(text, name, *rest, **types)

    monkeypatch.setattr(BACKEND, "launcher", broken)
    tuned(BACKEND, monkeypatch)
    with pytest.warns(UserWarning, match=r"medium, \d parts.* is not taken, since it failed: too many resources"):
        result, expected = linear(rng)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
    assert "medium" not in written(picks_folder)[PRODUCT]["pick"]


# The file -------------------------------------------------------------------------------------------------------------


def spoil(path: Path, how: str) -> None:
    if how == "foreign":
        content = json.loads(path.read_text())
        content["measured on"]["gpu"] = "NVIDIA H200"
        path.write_text(json.dumps(content))
    elif how == "cut off":
        path.write_text(path.read_text()[:-20])
    elif how == "of another kind":
        path.write_text('{"picks": {"a": 3}}')
    elif how == "no text":
        path.write_bytes(b"\xff\xfe\x00")
    elif how == "a folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("foreign", r"was measured on \{'gpu': 'NVIDIA H200', .*, and this is \{'gpu': 'sim'"),
        ("cut off", "is damaged"),
        ("of another kind", "is damaged"),
        ("no text", "is damaged"),
        ("a folder", "can't be read"),
    ],
)
def test_a_file_that_is_of_no_use(how, line, picks_folder, monkeypatch, clock, rng) -> None:
    state = rng.bit_generator.state
    plain, _ = linear(rng)
    tuned(BACKEND, monkeypatch)
    clock.of = lambda name, grid: 1.0 if name == "linear_forward_medium" and grid[1] == 4 else 3.0
    linear(rng)
    (path,) = picks_folder.glob("*.json")
    spoil(path, how)
    before = path.read_bytes() if path.is_file() else b""
    clock.asked = 0
    for mode in ("cached", "full"):
        with pytest.warns(UserWarning, match=line) as told:
            tuned(BACKEND, monkeypatch, mode)
            rng.bit_generator.state = state
            np.testing.assert_array_equal(linear(rng)[0], plain)
        assert len(told) == 1 and str(path) in str(told[0].message)
    assert clock.asked == 0
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize("what", ["folder", "lock", "disk"])
def test_a_file_that_cannot_be_written(what, picks_folder, monkeypatch, clock, rng) -> None:
    """Nothing is picked that would be forgotten."""
    state = rng.bit_generator.state
    plain, _ = linear(rng)
    clock.of = lambda name, grid: 1.0 if name == "linear_forward_medium" and grid[1] == 4 else 3.0
    tuner = tuned(BACKEND, monkeypatch)
    assert tuner is not None
    if what == "folder":
        picks_folder.write_text("a file")
    elif what == "lock":
        tuner.kept.path.with_suffix(".lock").mkdir(parents=True)
    else:

        def full_disk(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full_disk)
    rng.bit_generator.state = state
    with pytest.warns(UserWarning, match="can't be written .*; GPUNN_CACHE names another folder") as told:
        np.testing.assert_array_equal(linear(rng)[0], plain)
    assert len(told) == 1
    assert (clock.asked == 0) is (what != "disk")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BACKEND.matmul(np.ones((20, 30), "f"), np.ones((30, 40), "f"))
    if what != "folder":
        assert not list(picks_folder.glob("*.json")) and not list(picks_folder.glob(".*"))


def test_a_pick_that_there_is_no_more(picks_folder, monkeypatch, clock, rng) -> None:
    tuned(BACKEND, monkeypatch)
    linear(rng)
    (path,) = picks_folder.glob("*.json")
    path.write_text(path.read_text().replace(f'"{written(picks_folder)[PRODUCT]["pick"]}"', '"huge, 9 parts"'))
    tuned(BACKEND, monkeypatch)
    with pytest.warns(UserWarning, match=f"{PRODUCT} has no 'huge, 9 parts'; it is picked as predicted"):
        result, expected = linear(rng)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)


def test_the_faster_process_counts(monkeypatch, clock, rng) -> None:
    """Another process has measured the same in the meantime, and is computing with what it has picked."""
    tuner = tuned(BACKEND, monkeypatch)
    assert tuner is not None
    Picks(tuner.kept.identity).add(PRODUCT, {"pick": "medium, 7 parts"})
    linear(rng)
    assert clock.asked > 0
    assert tuner.picks()[PRODUCT] == "medium, 7 parts"


def test_several_processes_write_at_once(tmp_path) -> None:
    program = """if True:
        import sys
        from pathlib import Path
        from gpunn.backend.kernel import picks
        picks.cache_folder = lambda name: Path(sys.argv[1])
        file = picks.Picks({"gpu": "sim"})
        print(*(file.add(f"product {i}", {"pick": f"{sys.argv[2]}"}) for i in range(60)))
        print(*(file.add(f"{sys.argv[2]} {i}", {"pick": "own"}) for i in range(60)))"""
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in "abc"
    ]
    lines = [process.communicate(timeout=60)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    shared = {line[0] for line in lines}
    assert len(shared) == 1  # all of them go on with the same picks
    assert all(line[1] == " ".join(["own"] * 60) for line in lines)
    kept = json.loads((tmp_path / "sim.json").read_text())["picks"]
    assert len(kept) == 4 * 60
    assert [kept[f"product {i}"]["pick"] for i in range(60)] == shared.pop().split()
