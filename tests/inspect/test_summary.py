"""`gpunn summary`: parameters and arithmetic against sums worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

import gpunn
from gpunn import nn
from gpunn.backend.spec import Spec
from gpunn.cli import main
from gpunn.inspect import memory, summary


def test_lenet_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "--model", "lenet", "--input", "1,28,28", "--batch-size", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # k1 k2 in out + out; a convolution takes 2 k1 k2 in out operations a pixel, a linear layer 2 in out.
    expected = {
        "0": ("5*5*1*6 + 6", 156, 2 * 2 * 25 * 6 * 28 * 28),
        "3": ("5*5*6*16 + 16", 2416, 2 * 2 * 25 * 6 * 16 * 10 * 10),
        "7": ("400*120 + 120", 48120, 2 * 2 * 400 * 120),
        "9": ("120*84 + 84", 10164, 2 * 2 * 120 * 84),
        "11": ("84*10 + 10", 850, 2 * 2 * 84 * 10),
    }
    rows = {row["path"]: row for row in found["rows"]}
    assert {p: (rows[p]["sum"], rows[p]["parameters"], rows[p]["flop"]) for p in expected} == expected
    assert list(rows) == [str(i) for i in range(12)]
    assert found["parameters"] == 61706 == sum(row["parameters"] for row in found["rows"])
    assert found["flop"] == sum(row["flop"] for row in found["rows"])
    assert rows["10"]["flop"] == 2 * 84 and rows["6"]["flop"] == 0


def test_shares_of_the_peak_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """The network of tests/plan/test_report.py, which says where these numbers come from."""
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    step = gpunn.TrainStep(model, nn.CrossEntropyLoss(), gpunn.optim.Adam(model.parameters()))
    report = step.forecast(gpunn.rand(32, 64), gpunn.randint(10, (32,)))
    found = summary(model, (32, 64), memory=report)
    first, _, last = found.rows
    # W and b with two moments each in whole cache lines, their gradients, the hidden layer and its gradient.
    assert first.share == (4 * (32_768 + 512) + 16_384) / report.total
    assert last.share == (4 * 5_120 + 2 * 64 + (40 + 40) + 16_384) / report.total
    assert (first.activations, last.activations) == (16_384, 16_384 + 1_280)
    assert found.peak == report.total
    assert "of peak" in str(found) and "of peak" not in str(summary(model, (32, 64)))


class Odd(nn.Module):
    """A layer used twice, work of its own, and a name that looks like markup."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6, bias=False)
        self.scale = nn.Parameter(gpunn.ones(()))
        self.add_module("[red]<b>", nn.Sequential(nn.Tanh()))

    def forward(self, x: Any) -> Any:
        return self._modules["[red]<b>"](self.inner(self.inner(x))) * self.scale


def test_shared_layers_and_work_outside_of_layers() -> None:
    found = summary(Odd(), (3, 6))
    told = [(row.path, row.parameters, row.sum, row.shared, row.flop) for row in found.rows]
    assert told == [
        ("inner", 36, "6*6", False, 2 * 2 * 3 * 36),
        ("inner", 0, "", True, None),
        ("[red]<b>.0", 0, "", False, 18),
        ("", 1, "1", False, 18),
    ]
    assert "[red]<b>.0" in str(found) and "shared" in str(found) and "6*6 = 36" in str(found)


def test_a_model_that_reads_elements_and_one_that_can_not_be_planned() -> None:
    class Reads(Odd):
        def forward(self, x: Any) -> Any:
            return super().forward(x if x.sum().item() == 0 else 1 / 0)

    model = Reads()
    model.scale.data = gpunn.zeros(())
    model.train()
    found = summary(model, (3, 6))
    assert found.flop is None and {row.flop for row in found.rows} == {None} and found.parameters == 37
    assert model.training and not model._forward_hooks
    with pytest.raises(RuntimeError, match=r"in Odd.inner .*given float32\[3, 5\]"):
        summary(Odd(), (3, 5))


def test_nothing_is_computed_or_drawn() -> None:
    with gpunn.device("meta"):
        model = nn.Sequential(nn.Linear(100_000, 200_000), nn.Dropout())
    before = gpunn.get_rng_state()
    assert summary(model, (1000, 100_000)).flop == 2 * 1000 * 100_000 * 200_000
    assert summary(nn.Dropout().train(), (4,)).rows[0].output_shape == [4]
    assert gpunn.get_rng_state() == before


def test_a_summary_of_a_batch_that_can_not_be_trained_on(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """Batch norm has no variance of one value, so there is no step; the layers are told all the same."""
    file = tmp_path / "net.py"
    file.write_text(
        "from gpunn import nn\ndef make(shape, outputs): return nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4))\n"
    )
    call = ["summary", "--model", f"{file}:make", "--input", "8"]
    assert main(call) == 0
    shown = capsys.readouterr().out
    assert "4 + 4 = 8" in shown and "of peak" not in shown
    assert main([*call, "--batch-size", "2"]) == 0
    assert "of peak" in capsys.readouterr().out
    assert main(["summary", "--model", f"{file}:make", "--input", "9"]) == 1
    assert "it would fit with in_features=9 in Sequential.0" in capsys.readouterr().err


def test_unfolding_by_hand() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2))
    first, second = memory.unfoldings(model, Spec((64, 3, 32, 32), gpunn.float32, gpunn.device("cpu")))
    assert first[:4] == ("0", (5, 5), 64 * 3 * 32 * 32 * 4, 25 * 64 * 3 * 32 * 32 * 4)
    assert second[:4] == ("2", (3, 3), 64 * 8 * 32 * 32 * 4, 9 * 64 * 8 * 15 * 15 * 4)
    # What slices take does not grow with the batch.
    more = memory.unfoldings(model, Spec((6400, 3, 32, 32), gpunn.float32, gpunn.device("cpu")))
    assert [u.sliced for u in more] == [first.sliced, second.sliced]
    assert first.sliced < first.unfolded / 5


@pytest.mark.parametrize("model", ["cnn", "mlp:8"])
def test_the_picture(model: str, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    file = tmp_path / "memory.svg"
    assert main(["memory", "--model", model, "--plot", str(file), "--batch-size", "4"]) == 0
    shown = capsys.readouterr().out
    assert ("unfolded at once" in shown) is (model == "cnn") and f"drawn in {file}" in shown
    assert file.read_text().count('id="axes_') == (3 if model == "cnn" else 2)
    assert main(["memory", "--plot", str(tmp_path / "memory.txt")]) == 2
    assert "--plot is a file in a folder that is there" in capsys.readouterr().err
