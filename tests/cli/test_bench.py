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
    monkeypatch.setattr("gpunn.cli.bench_rows.missing", lambda name: None)
    return names


def _row(workload, batch, name, floor):
    t = MICROSECONDS[name]
    return {
        **{"workload": workload, "batch_size": batch, "implementation": name, "device": "cpu"},
        **{"valid": None if name == "products" else True, "microseconds": t, "p10": t, "p90": t},
        **{"samples_per_second": batch / t * 1e6, "floor_microseconds": floor, "share_of_floor": floor and floor / t},
        "floor": floor and "products",
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


@pytest.fixture
def timed(monkeypatch):
    """The cases that ``gpunn bench workloads`` measures."""
    cases = []

    def compare_each(given, implementations, **settings):
        for case in given:
            cases.append((*case, *implementations))
            yield from (_row(*case, name, 80) for name in implementations)

    monkeypatch.setattr("gpunn.bench.sweep.compare_each", compare_each)
    monkeypatch.setattr("gpunn.cli.workloads.missing", lambda name: None if name in ("torch", "numpy") else name)
    return cases


@pytest.mark.slow
def test_workloads_in_pieces(gpunn_command, timed, tmp_path):
    command = ("bench", "workloads", "--out", "out", "--device", "cpu")
    first = gpunn_command(*command, "--workloads", "W1,W4", "--minutes", "1e-9")
    assert (first.code, timed) == (0, [])
    assert "12 of 12 cases are left: the same command goes on with them" in first.err
    second = gpunn_command(*command, "--workloads", "W1", "--json")
    assert (second.code, len(timed)) == (0, 7)
    assert timed[0] == ("W1", 32, "gpunn", "torch", "products")
    rows = json.loads(second.out.splitlines()[-1])["rows"]
    assert len(rows) == 21
    plot, file = tmp_path / "out" / "batch_size_W1_cpu.json", tmp_path / "out" / "workloads_cpu.jsonl"
    assert json.loads(plot.read_text())["recommended"]["batch_size"] == 2048
    whole = file.read_text()
    file.write_text(whole[:-5])
    killed = gpunn_command(*command, "--workloads", "W1", "--minutes", "1e-9")
    assert "6 of 7 cases are there already" in killed.err
    assert json.loads(plot.read_text())["recommended"] is None  # not by a part of the sizes
    file.write_text(whole)
    third = gpunn_command(*command)
    assert "7 of 31 cases are there already" in third.err
    assert len(timed) == 31
    assert ("W4", 32, "gpunn", "torch") in timed
    assert "W6, ResNet-9 on 3 x 32 x 32: samples per second" in " ".join(third.out.split())
    written = json.loads(plot.read_text())
    assert [row["batch_size"] for row in written["rows"] if row["implementation"] == "gpunn"] == sorted(
        batch for name, batch, *_ in timed if name == "W1"
    )
    other = gpunn_command(*command, "--optimizer", "adam")
    assert other.code == 2
    assert "with optimizer 'sgd' and not 'adam'; take another folder" in other.err


def test_the_floor_of_a_gpu_is_told(gpunn_command, timed, monkeypatch):
    def compare_each(given, implementations, **settings):
        for case in given:
            yield from (_row(*case, name, 25) | {"floor": "memory"} for name in implementations)

    monkeypatch.setattr("gpunn.bench.sweep.compare_each", compare_each)
    result = gpunn_command("bench", "workloads", "--out", "out", "--device", "cpu", "--workloads", "cnn")
    assert "25% memory" in result.out
    assert "by the GPU maker's figures" in result.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--out"),
        (("--out", "out", "--workloads", "W1,W9"), "--workloads: there is no 'W9'"),
        (("--out", "out", "--peers", "keras"), "--peers: there is no 'keras'"),
        (("--out", "out", "--minutes", "0"), "above 0"),
    ],
)
def test_wrong_calls_of_workloads(gpunn_command, timed, options, said):
    result = gpunn_command("bench", "workloads", "--device", "cpu", *options)
    assert (result.code, timed) == (2, [])
    assert said in result.err
