"""The benchmarks measure what they say; how fast anything is, is not tested."""

import json

import numpy as np
import pytest

from gpunn.bench import worker
from gpunn.bench.implementations import PEERS, has_floor
from gpunn.bench.implementations.products import Training as Products
from gpunn.bench.plot import batch_size_plot
from gpunn.bench.protocol import TOLERANCE, Effort, Worker, compare, compare_each, recommend
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


def test_rows_beside_torch(torch):
    rows = compare("W1", [8], ["gpunn", "torch"], effort=SHORT)
    assert [row["valid"] for row in rows] == [True, True], rows


@pytest.mark.parametrize("workload", ["W1", "W4", "cnn"])
def test_losses_agree_with_torch(torch, workload):
    prepared = (worker.Session(name).prepare(workload, 8, "sgd", "cpu") for name in ("gpunn", "torch"))
    ours, theirs = (np.array(answer["losses"][: WORKLOADS[workload].gate]) for answer in prepared)
    assert np.abs(ours - theirs).max() <= TOLERANCE * abs(ours[0])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("workload", ["W1", "W3"])
def test_products_are_those_of_a_training_step(workload, order):
    batch, w = 3, WORKLOADS[workload]
    training = Products(w, batch, 2, "sgd", "cpu")
    training.steps = training._steps(order)
    training.run(2)  # the second step, with the second batch, is what lies in the arrays
    step = training.steps[1]
    assert sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in step) == w.flop() * batch
    assert not any(np.shares_memory(p[2], q[2]) for i, p in enumerate(step) for q in step[:i])

    weights, x = w.weights()[::2], [w.batches(batch, 2)[0][1]]
    for layer, (_, _, z) in zip(weights, step):
        x.append(np.einsum("ni,oi->no", x[-1], layer))
        np.testing.assert_allclose(z.T if order == "F" else z, x[-1], rtol=1e-3, atol=1e-3)
    dz = step[len(weights)][0].T
    assert np.all(dz)
    for i in reversed(range(len(weights))):
        dw = np.einsum("no,ni->oi", dz, x[i])
        np.testing.assert_allclose(training.gradients[i], dw, rtol=1e-3, atol=1e-3 * np.abs(dw).max())
        dz = np.einsum("no,oi->ni", dz, weights[i])


def test_floor_is_where_all_weights_are_linear_on_the_cpu():
    assert [name for name, w in WORKLOADS.items() if has_floor(w, "cpu")] == ["W1", "W2", "W3"]
    assert not any(has_floor(w, device) for w in WORKLOADS.values() for device in ("cuda", "cuda:1", "sim"))
    assert "products" not in PEERS
    with pytest.raises(ValueError, match="W4 on cpu has none"):
        Products(WORKLOADS["W4"], 1, 1, "sgd", "cpu")


def test_rows_beside_the_floor():
    ours, floor = compare("W3", [4], ["gpunn", "products"], effort=SHORT)
    assert list(ours) == list(floor)
    assert (ours["valid"], ours["loss_error"]) == (True, 0)
    assert ours["samples_per_second"] == pytest.approx(4 / (ours["microseconds"] * 1e-6))
    assert (floor["valid"], floor["loss_error"]) == (None, None)
    assert ours["floor_microseconds"] == floor["microseconds"]
    assert ours["share_of_floor"] == pytest.approx(floor["microseconds"] / ours["microseconds"])
    assert floor["flop_per_second"] == pytest.approx(WORKLOADS["W3"].flop() * 4 / (floor["microseconds"] * 1e-6))


def test_rows_without_a_floor():
    ours, failed = compare("W4", [1], ["gpunn", "products"], effort=SHORT)
    assert (ours["valid"], ours["floor_microseconds"], ours["share_of_floor"]) == (True, None, None)
    assert "W4 on cpu has none" in failed["error"]


@pytest.mark.slow
def test_plot_of_the_floor(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("matplotlib.pyplot.close", figures.append)
    times = {"gpunn": 100, "torch": 200, "products": 80}
    rows = [
        {
            **{"workload": "W1", "batch_size": b, "implementation": name, "device": "cpu"},
            **{"valid": None if name == "products" else True, "p10": t, "p90": t},
            **{"samples_per_second": b / t * 1e6, "share_of_floor": 80 / t},
        }
        for b in (1, 8)
        for name, t in times.items()
    ]
    batch_size_plot(rows, {"processor": "P", "cores": 2}, None, tmp_path / "plot.png")
    monkeypatch.undo()
    top, bottom = figures[0].axes
    lines = {line.get_label(): line for line in top.lines}
    assert list(lines) == ["gpunn, planned", "PyTorch, eager", "matrix products alone"]
    assert [line.get_linestyle() for line in lines.values()] == ["-", "-", "--"]
    np.testing.assert_allclose(lines["matrix products alone"].get_ydata(), [1e6 / 80, 8e6 / 80])
    ratios = {line.get_label(): line.get_ydata() for line in bottom.lines}
    np.testing.assert_allclose(ratios["the best peer"], [2, 2])
    np.testing.assert_allclose(ratios["matrix products alone"], [0.8, 0.8])
    assert [text.get_text() for text in bottom.get_legend().texts] == ["the best peer", "matrix products alone"]


@pytest.mark.slow
def test_plot_of_the_floor_of_a_gpu(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("matplotlib.pyplot.close", figures.append)
    rows = [
        {
            **{"workload": "W1", "batch_size": b, "implementation": "gpunn", "device": "cuda", "valid": True},
            **{"p10": 100, "p90": 100, "samples_per_second": b / 100 * 1e6},
            **{"floor": "memory", "floor_microseconds": 25, "share_of_floor": 0.25},
        }
        for b in (1, 8)
    ]
    other = [{**row, "implementation": "torch"} for row in rows]
    batch_size_plot([*rows, *other], {"gpu": "G"}, None, tmp_path / "plot.png")
    monkeypatch.undo()
    top, bottom = figures[0].axes
    lines = {line.get_label(): line.get_ydata() for axes in (top, bottom) for line in axes.lines}
    np.testing.assert_allclose(top.lines[-1].get_ydata(), [1e6 / 25, 8e6 / 25])
    np.testing.assert_allclose(lines["floor by the GPU's figures"], [0.25, 0.25])


def test_process_that_fails_is_reported():
    (row,) = compare("W3", [4], ["gpunn"], device="nowhere", effort=SHORT)
    assert not row["valid"]
    assert "nowhere" in row["error"]


def test_a_process_that_failed_is_followed_by_a_new_one(monkeypatch):
    made = []

    class Noted(Worker):
        def __init__(self, name):
            super().__init__(name)
            made.append(self)

    def cases():
        yield "W3", 2
        made[0].process.kill()
        yield "W3", 2
        yield "W3", 2

    monkeypatch.setattr("gpunn.bench.protocol.Worker", Noted)
    first, second, third = compare_each(cases(), ["gpunn"], effort=SHORT)
    assert first["valid"] and third["valid"]
    assert second["error"].startswith("the process of gpunn ended")
    assert len(made) == 2
    assert all(worker.process.poll() is not None for worker in made)


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
    who = [(row["batch_size"], row["implementation"]) for row in result["rows"]]
    assert who == [(1, "gpunn"), (1, "products"), (4, "gpunn"), (4, "products")]
    assert all(row["share_of_floor"] > 0 for row in result["rows"])
    assert result["recommended"]["batch_size"] in (1, 4)
    assert (tmp_path / "out" / "batch_size_W3_cpu.json").exists()
    assert (tmp_path / "out" / "batch_size_W3_cpu.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_strategies_lower_the_loss(tmp_path, capsys):
    assert main(["bench", "strategies", "--seconds", "0.5", "--json", "--out", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(result["runs"]) == 3
    for run in result["runs"]:
        assert min(run["loss"]) < run["loss"][0]
    one, mini, full = result["runs"]
    assert one["batch_size"] == 1 < mini["batch_size"] < full["batch_size"]
    assert (tmp_path / "strategies.png").exists()


def test_the_peak_of_memory_begins_anew():
    large = np.ones(1 << 23)  # 64 MB
    before = worker._peak_rss()
    del large
    worker._forget_peak()
    assert worker._peak_rss() <= before - 60e6
