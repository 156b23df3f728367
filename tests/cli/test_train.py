import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from gpunn.train import RunFolder

QUICK = ("--epochs", 2, "--model", "mlp:16")


@pytest.mark.slow
def test_defaults_read_handwritten_digits(gpunn_command):
    result = gpunn_command("train", "--json")
    assert result.code == 0
    assert result.json["test_accuracy"] >= 0.97
    assert {"test_loss", "train_loss", "epochs", "samples_per_second", "parameters", "run"} <= set(result.json)
    # two convolutions of (k k c_in + 1) c_out parameters, two linear layers of (d_in + 1) d_out, images of 8 x 8
    assert result.json["parameters"] == 10 * 32 + (9 * 32 + 1) * 64 + (64 * 2 * 2 + 1) * 128 + 129 * 10


def test_run_folder_holds_everything(gpunn_command, tmp_path):
    result = gpunn_command("train", *QUICK, "--out", "run", "--json")
    assert result.json["run"] == "run"
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert {"config.toml", "metrics.jsonl", "model.safetensors", "checkpoints", "report.html", "result.json"} <= names
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]


def test_run_folders_are_numbered(gpunn_command):
    assert gpunn_command("train", *QUICK, "--json").json["run"] == "runs/digits-mlp-1"
    assert gpunn_command("train", *QUICK, "--json").json["run"] == "runs/digits-mlp-2"


def test_same_seed_same_bits(gpunn_command, tmp_path):
    for out in ("a", "b"):
        gpunn_command("train", *QUICK, "--out", out, "--seed", 7)
    first, second = ((tmp_path / out / "model.safetensors").read_bytes() for out in ("a", "b"))
    assert first == second
    gpunn_command("train", *QUICK, "--out", "c", "--seed", 8)
    assert (tmp_path / "c" / "model.safetensors").read_bytes() != first


def test_interrupted_and_resumed_run_has_the_same_bits(gpunn_command, tmp_path, monkeypatch):
    arguments = ("train", "--epochs", 4, "--model", "mlp:16", "--out")
    gpunn_command(*arguments, "whole")
    add_row = RunFolder.add_row

    def add_row_then_ctrl_c(self, row):
        add_row(self, row)
        if row["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "add_row", add_row_then_ctrl_c)
        result = gpunn_command(*arguments, "halves")
    assert result.code == 130
    assert "gpunn train --resume halves" in result.err
    assert len((tmp_path / "halves" / "metrics.jsonl").read_text().splitlines()) == 2
    assert gpunn_command("train", "--resume", "halves").code == 0
    whole, halves = ((tmp_path / out / "model.safetensors").read_bytes() for out in ("whole", "halves"))
    assert whole == halves


def test_options_from_a_file_and_the_command_line_wins(gpunn_command, tmp_path):
    (tmp_path / "o.toml").write_text('epochs = 3\nmodel = "mlp:8"\noptimizer = "sgd"\nlr = 0.1\n')
    result = gpunn_command("train", "--config", "o.toml", "--epochs", 1, "--out", "run", "--json")
    assert result.json["epochs"] == 1
    assert result.json["parameters"] == 65 * 8 + 9 * 10
    assert 'optimizer = "sgd"' in (tmp_path / "run" / "config.toml").read_text()


@pytest.mark.parametrize(
    "options",
    [
        ("--optimizer", "sgd", "--momentum", 0.5, "--schedule", "cosine"),
        ("--optimizer", "adamw", "--schedule", "step", "--l2", 1e-3),
        ("--optimizer", "rmsprop", "--schedule", "exponential", "--clip-norm", 1),
        ("--optimizer", "adagrad", "--schedule", "plateau", "--activation", "tanh"),
        ("--batch-size", "full", "--schedule", "none"),
        ("--loss", "mse", "--grad-accumulation", 2),
        ("--loss", "l1", "--validation", 0),
        ("--model", "cnn", "--patience", 1, "--loss", "huber"),
        ("--model", "linear"),
    ],
    ids=lambda o: " ".join(map(str, o)),
)
def test_options_train(gpunn_command, options):
    result = gpunn_command("train", *QUICK, *options, "--json")
    assert result.code == 0, result.err
    assert 0.05 < result.json["test_accuracy"] <= 1
    assert np.isfinite(result.json["test_loss"])


def test_regression_from_csv(gpunn_command, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.3
    rows = ["a,b,c,y", *(",".join(f"{v:.6f}" for v in (*row, t)) for row, t in zip(x, y))]
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    result = gpunn_command("train", "--data", "table.csv", "--model", "linear", "--epochs", 60, "--lr", 0.05, "--json")
    assert result.code == 0, result.err
    assert result.json["test_accuracy"] is None
    assert result.json["test_r2"] > 0.99


def test_model_from_a_file(gpunn_command, tmp_path):
    (tmp_path / "net.py").write_text(
        "from math import prod\nfrom gpunn import nn\n"
        "def make(shape, outputs):\n    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), outputs))\n"
    )
    result = gpunn_command("train", "--model", "net.py:make", "--epochs", 1, "--json")
    assert result.json["parameters"] == 65 * 10


def test_output_is_one_json_object_in_a_pipe(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "gpunn", "train", "--epochs", "1", "--model", "mlp:8", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(run.stdout.splitlines()) == 1
    assert json.loads(run.stdout)["epochs"] == 1
    assert "epoch" in run.stderr
