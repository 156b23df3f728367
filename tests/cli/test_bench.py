"""``gpunn bench batch-size`` adds the floor by itself, and reports it; the times are made up."""

import json

import pytest

MICROSECONDS = {"gpunn": 100, "gpunn-eager": 250, "torch": 200, "products": 80}


@pytest.fixture
def called(monkeypatch):
    """The implementations that the command compares."""
    names = []

    def compare(workload, sizes, implementations, **settings):
        names.extend(implementations)
        floor = MICROSECONDS["products"] if "products" in implementations else None
        return [_row(workload, b, name, floor) for b in sizes for name in implementations]

    monkeypatch.setattr("gpunn.cli.bench.compare", compare)
    monkeypatch.setattr("gpunn.cli.bench.missing", lambda name: None)
    return names


def _row(workload, batch, name, floor):
    t = MICROSECONDS[name]
    return {
        **{"workload": workload, "batch_size": batch, "implementation": name, "device": "cpu"},
        **{"valid": None if name == "products" else True, "microseconds": t, "p10": t, "p90": t},
        **{"samples_per_second": batch / t * 1e6, "floor_microseconds": floor, "share_of_floor": floor and floor / t},
    }


def test_floor_of_an_mlp(gpunn_command, called, tmp_path):
    result = gpunn_command("bench", "batch-size", "--batch-sizes", "8", "--peers", "gpunn-eager,torch", "--out", "out")
    assert result.code == 0, result.err
    assert called == ["gpunn", "gpunn-eager", "torch", "products"]
    assert "2.00 x" in result.out  # the best peer is PyTorch, not the products
    assert "80%" in result.out
    assert "does not count" not in result.out
    assert "void" not in result.out
    assert "matrix products alone: those of a training step" in result.out
    written = json.loads((tmp_path / "out" / "batch_size_W1_cpu.json").read_text())
    assert [row["share_of_floor"] for row in written["rows"]] == [0.8, 0.32, 0.4, 1]
    assert {row["floor_microseconds"] for row in written["rows"]} == {80}
    assert written["recommended"]["samples_per_second"] == 80_000


def test_floor_is_no_peer(gpunn_command, called):
    result = gpunn_command("bench", "batch-size", "--batch-sizes", "8")
    assert called == ["gpunn", "products"]
    assert "best peer" not in result.out
    assert "80%" in result.out
    result = gpunn_command("bench", "batch-size", "--peers", "products")
    assert (result.code, result.out) == (2, "")
    assert (
        "there is no 'products'; there are gpunn-native, gpunn-eager, torch, torch-compile, torch-graph, jax"
        in result.err
    )


@pytest.mark.parametrize("workload", ["cnn", "W4"])
def test_no_floor_with_convolutions(gpunn_command, called, workload):
    result = gpunn_command("bench", "batch-size", "--workload", workload, "--batch-sizes", "8", "--peers", "torch")
    assert called == ["gpunn", "torch"]
    assert "2.00 x" in result.out
    assert "products" not in result.out
