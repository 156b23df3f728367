"""What needs no ranks: one process, parts of batches, the model of all-reduces, NCCL with a stand-in, options."""

from __future__ import annotations

import json
import math
from functools import partial
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim, parallel
from gpunn.cli import main
from gpunn.parallel import cost
from gpunn.parallel.launch import run_again
from gpunn.parallel.nccl import NcclCommunicator
from gpunn.train.metrics import PerClass
from gpunn.train.regression_metrics import R2
from gpunn.utils.data import DataLoader, TensorDataset
from gpunn.utils.data.part import part_of


def network() -> nn.Module:
    gpunn.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 300), nn.ReLU(), nn.Linear(300, 2))


def test_one_process_has_the_same_calls_in_its_plans_and_needs_nothing_installed() -> None:
    assert parallel.init().size == 1
    x, y = gpunn.randn(8, 4), gpunn.randint(2, (8,))
    calls = []
    for sums in (False, True):
        model = network()
        before = partial(parallel.sum_gradients, list(model.parameters())) if sums else None
        step = gpunn.TrainStep(
            model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), before_update=before
        )
        step(x, y)
        calls.append([getattr(call[0], "__name__", "update") for call in step.plan._calls])
    assert calls[0] == calls[1]


def test_parts_of_a_batch_are_the_batch() -> None:
    for n in (1, 3, 8, 19):
        for size in (1, 2, 4, 7):
            parts = [part_of(range(n), rank, size) for rank in range(size)]
            mine = [list(keys) for keys, part in parts if part.samples]
            assert list(chain(*mine)) == list(range(n))
            assert max(p.samples for _, p in parts) - min(p.samples for _, p in parts) <= 1
            assert all(part.first == keys[0] for keys, part in parts if part.samples)
            assert all(len(keys) for keys, _ in parts)


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_together_see_each_sample_once_and_stand_where_one_would(workers: int) -> None:
    def loader() -> DataLoader:
        data = TensorDataset(gpunn.arange(23), gpunn.arange(23))
        return DataLoader(data, 5, shuffle=True, generator=7, num_workers=workers)

    one, ranks = loader(), [loader() for _ in range(3)]
    batches = [x.tolist() for x, _ in one]
    parts = [[(x.tolist(), part) for (x, _), part in each.parts(rank, 3)] for rank, each in enumerate(ranks)]
    together = [list(chain(*(x for x, part in same if part.samples))) for same in zip(*parts)]
    assert together == batches
    assert all(each.state_dict() == one.state_dict() for each in ranks)


def test_sharded_optimizer_state_is_divided_as_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    p = [gpunn.zeros(n) for n in (100, 100, 200, 100, 300)]
    assert parallel.owners(p, 2) == [0, 0, 0, 1, 1]
    assert parallel.owners(p, 1) == [0] * 5
    with parallel.imagined(4):
        assert parallel.world().size == 4
    arguments = ["memory", "--model", "mlp:64", "--input", "100", "--batch-size", "40", "--ranks", "4", "--json"]
    found = []
    for more in ([], ["--shard-optimizer"]):
        assert main([*arguments, *more]) == 0
        found.append(json.loads(capsys.readouterr().out))
    weight, bias, last, last_bias = 100 * 64 * 4, 64 * 4, 64 * 10 * 4, 64
    assert found[0]["optimizer"] == 2 * (weight + bias + last + last_bias)
    assert found[1]["optimizer"] == 2 * weight  # more than half of all lies in one weight, which is not divided
    assert found[0]["batch"] == 10 * 100 * 4 + 10 * 8


def test_merged_metrics_are_those_of_all_samples() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 2)), rng.standard_normal((20, 2))
    parts = [R2() for _ in range(3)]
    for metric, rows in zip(parts, (slice(0, 12), slice(12, 20), slice(0, 0))):
        if rows.stop > rows.start:
            metric.update(x[rows], y[rows])
    merged, whole = R2(), R2()
    merged.merge([metric.state_dict() for metric in parts])
    whole.update(x, y)
    assert merged.compute() == pytest.approx(1 - np.mean(((y - x) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)))
    assert merged.compute() == pytest.approx(whole.compute())
    first, second = PerClass(), PerClass()
    first.update(np.eye(3)[[0, 1]], np.array([0, 2]))
    first.merge([first.state_dict(), second.state_dict()])
    assert first.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_alpha_and_beta_come_back_from_the_times_that_they_make() -> None:
    alpha, beta = 2e-6, 5e-10
    ring = [(n, p, 2 * (p - 1) * (alpha + n / p * beta)) for n in (1 << 10, 1 << 20) for p in (2, 4, 8)]
    tree = [(n, p, 2 * math.log2(p) * (alpha + n * beta)) for n in (1 << 10, 1 << 20) for p in (2, 4, 8)]
    for shape, times in (("ring", ring), ("tree", tree)):
        found = cost.best_fit(times)
        assert (found.shape, found.alpha, found.beta) == (shape, pytest.approx(alpha), pytest.approx(beta))
        assert found.seconds(1 << 20, 4) == pytest.approx(next(s for n, p, s in times if (n, p) == (1 << 20, 4)))
    assert cost.fit([(8, 2, 1e-6), (1 << 20, 2, 1e-6)], "ring").beta >= 0


def test_nccl_waits_by_events_and_sums_in_place() -> None:
    told: list[Any] = []

    class Stream:
        def __init__(self, name: str, **_: Any):
            self.name = self.ptr = name

        def record(self) -> str:
            told.append(("record", self.name))
            return f"event of {self.name}"

        def wait_event(self, event: str) -> None:
            told.append(("wait", self.name, event))

    current = Stream("current")
    array = type("ndarray", (), {"dtype": np.dtype("float32"), "size": 12, "data": SimpleNamespace(ptr=64)})
    cuda = SimpleNamespace(Stream=lambda **o: Stream("sums", **o), get_current_stream=lambda: current)
    names = ("FLOAT32", "FLOAT64", "FLOAT16", "BFLOAT16", "INT64", "SUM")
    nccl = SimpleNamespace(
        **{f"NCCL_{name}": name for name in names},
        get_unique_id=lambda: "id",
        NcclCommunicator=lambda *a: SimpleNamespace(allReduce=lambda *b: told.append(("sum", *b)), made=told.append(a)),
    )
    comm = SimpleNamespace(rank=0, size=2, Dup=lambda: None, bcast=lambda x: x)
    sums = NcclCommunicator(None, comm, None, SimpleNamespace(cuda=cuda, ndarray=array), nccl)  # type: ignore[arg-type]
    sums.finish(None, array(), sums.start(None, array()))
    sums.all_reduce(None, array())
    assert told == [
        (2, "id", 0),
        ("record", "current"),
        ("wait", "sums", "event of current"),
        ("sum", 64, 64, 12, "FLOAT32", "SUM", "sums"),
        ("record", "sums"),
        ("wait", "current", "event of sums"),
        ("sum", 64, 64, 12, "FLOAT32", "SUM", "current"),
    ]


def test_a_lost_rank_is_started_again_and_a_failed_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for codes, wanted in (([137, 75, 0], 0), ([1], 1), ([9, 9, 9], 9)):
        left, commands = list(codes), []
        monkeypatch.setattr(
            "gpunn.parallel.launch.run_ranks", lambda n, c, left=left, seen=commands: (seen.append(c), left.pop(0))[1]
        )
        assert run_again(2, ["first"], lambda: ["again"], 2) == wanted
        assert commands == [["first"], *[["again"]] * (len(codes) - 1)]


def test_options_that_start_ranks_are_handed_on_to_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Names that are cut short were: each process started another one, without an end."""
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--rest", "1"])
    assert "unrecognized arguments: --rest" in capsys.readouterr().err


def test_timeouts_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUNN_PARALLEL_TIMEOUT", "soon")
    with pytest.raises(ValueError, match="GPUNN_PARALLEL_TIMEOUT is 'soon'; expected a number of seconds"):
        parallel.init()


def test_learning_rates_are_scaled_and_warmed_up_as_asked_for(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "linear", "--optimizer", "sgd", "--lr", "0.1", "--batch-size", "256", "--epochs", "3"]
    options += ["--scale-lr", "linear", "--warmup", "2", "--schedule", "none", "--validation", "0", "--eager"]
    assert main(["train", *options, "--out", str(tmp_path / "run")]) == 0
    assert "learning rate 0.1 x 4 = 0.4, for steps on 256 samples (linear)" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = -(-1438 // 256)
    assert [row["lr"] for row in rows] == pytest.approx([0.4 * steps / (2 * steps), 0.4, 0.4])
    assert main(["train", *options[:-5], "--schedule", "plateau", "--out", str(tmp_path / "other")]) == 2
    assert "--warmup does not go with --schedule plateau" in capsys.readouterr().err
