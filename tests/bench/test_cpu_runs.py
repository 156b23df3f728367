"""Medians of several runs, and the tables that show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import cpu_runs
from benchmarks.cpu_runs import RESULTS, ROOT, merge


def row(batch: int, name: str, us: float, valid: bool | None = True) -> dict:
    return {
        "batch_size": batch, "implementation": name, "microseconds": us, "samples_per_second": batch / us * 1e6,
        "flop_per_second": 6e9 / us, "valid": valid, "floor_microseconds": None, "share_of_floor": None,
    }  # fmt: skip


def test_medians_of_runs() -> None:
    runs = [[row(8, "gpunn", us), row(8, "products", floor, None)] for us, floor in ((100, 50), (140, 60), (120, 40))]
    runs[0].append(row(8, "mlx", 900))
    runs[2].append({"batch_size": 8, "implementation": "torch", "valid": False, "error": "no memory"})
    ours, floor, mlx, torch = merge(runs)
    assert ours["microseconds"] == 120 and ours["runs"] == [100, 140, 120] and ours["valid"]
    assert ours["spread"] == pytest.approx(1 / 3) and ours["samples_per_second"] == pytest.approx(8 / 120e-6)
    assert ours["flop_per_second"] == pytest.approx(6e9 / 120)
    assert floor["microseconds"] == 50 and floor["valid"] is None and ours["share_of_floor"] == pytest.approx(50 / 120)
    assert mlx["runs"] == [900] and mlx["spread"] == 0
    assert torch["error"] == "no memory"


def test_the_tables_are_those_of_the_recorded_rows() -> None:
    speed, ratios = cpu_runs.recorded(RESULTS), cpu_runs.ratios(RESULTS)
    for path, renew, numbers in (
        (ROOT / "README.md", cpu_runs._samples, speed),
        (ROOT / "README.zh.md", cpu_runs._samples, speed),
        (RESULTS / "cpu.md", cpu_runs._ratios, ratios),
    ):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert renew(lines, numbers) == lines, "python -m benchmarks.cpu_runs --tables"
        assert renew(lines, {key: 2 * value for key, value in numbers.items() if key[2] == "gpunn"}) != lines


def test_ratios_are_taken_within_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three runs, the second one on a machine that was half as fast when the peers had their turn."""
    monkeypatch.setattr(cpu_runs, "CASES", {"W1": (8,)})
    us = {"gpunn": (100, 120, 90), "gpunn-native": (50, 40, 60), "torch": (100, 300, 120), "jax": (90, 240, 130)}
    rows = [{"batch_size": 8, "implementation": name, "runs": runs} for name, runs in us.items()]
    rows += [{"batch_size": 8, "implementation": "mlx", "runs": [1]}, {"batch_size": 8, "implementation": "jax-step"}]
    monkeypatch.setattr(cpu_runs, "PEERS", ("torch", "jax", "mlx"))
    (tmp_path / "batch_size_W1_cpu.json").write_text(json.dumps({"rows": rows}))
    found = cpu_runs.ratios(tmp_path)
    assert found == {("W1", 8, "gpunn"): 120 / 90, ("W1", 8, "gpunn-native"): 120 / 60}
