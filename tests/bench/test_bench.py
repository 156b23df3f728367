"""The benchmarks measure what they say; how fast anything is, is not tested."""

import json

import numpy as np
import pytest

from gpunn.bench.protocol import Effort, compare, recommend
from gpunn.bench.workloads import WORKLOADS
from gpunn.cli import main

SHORT = Effort(rounds=1, blocks=1, block_seconds=0.001, budget_seconds=0.1)


def test_flop_of_the_first_workload():
    # 2 (784 512 + 512 512 + 512 10) multiply-adds, three times but for the input's gradient
    products = [784 * 512, 512 * 512, 512 * 10]
    assert WORKLOADS["W1"].flop() == 2 * (3 * sum(products) - products[0])
    assert WORKLOADS["W1"].parameters() == 785 * 512 + 513 * 512 + 513 * 10


def test_weights_and_data_are_the_same_for_everybody():
    w = WORKLOADS["W4"]
    assert all(np.array_equal(a, b) for a, b in zip(w.weights(), w.weights()))
    x, t = w.batches(5, 3)
    assert x.shape == (3, 5, 1, 28, 28)
    assert t.shape == (3, 5)


def test_compare_times_gpunn():
    (row,) = compare("W3", [4], ["gpunn"], effort=SHORT)
    assert row["valid"]
    assert row["loss_error"] == 0
    assert row["samples_per_second"] == pytest.approx(4 / (row["microseconds"] * 1e-6))


@pytest.mark.parametrize("workload", ["W1", "W4", "cnn"])
def test_losses_agree_with_torch(torch, workload):
    rows = compare(workload, [8], ["gpunn", "torch"], effort=SHORT)
    assert [row["valid"] for row in rows] == [True, True], rows


def test_process_that_fails_is_reported():
    (row,) = compare("W3", [4], ["gpunn"], device="nowhere", effort=SHORT)
    assert not row["valid"]
    assert "nowhere" in row["error"]


def test_recommendation_is_the_smallest_that_is_nearly_as_fast():
    rows = [
        {"implementation": "gpunn", "batch_size": b, "samples_per_second": s}
        for b, s in ((1, 10.0), (8, 85.0), (32, 95.0), (128, 100.0), (512, 99.0))
    ]
    assert recommend(rows)["batch_size"] == 32
    assert recommend([]) is None


def test_command_writes_rows_and_plot(tmp_path, capsys):
    arguments = ["bench", "batch-size", "--workload", "W3", "--batch-sizes", "1,4", "--quick", "--json", "--out"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["batch_size"] for row in result["rows"]] == [1, 4]
    assert result["recommended"]["batch_size"] in (1, 4)
    assert (tmp_path / "out" / "batch_size_W3_cpu.json").exists()
    assert (tmp_path / "out" / "batch_size_W3_cpu.png").read_bytes().startswith(b"\x89PNG")


def test_strategies_lower_the_loss(tmp_path, capsys):
    assert main(["bench", "strategies", "--seconds", "0.5", "--json", "--out", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(result["runs"]) == 3
    for run in result["runs"]:
        assert min(run["loss"]) < run["loss"][0]
    one, mini, full = result["runs"]
    assert one["batch_size"] == 1 < mini["batch_size"] < full["batch_size"]
    assert (tmp_path / "strategies.png").exists()
