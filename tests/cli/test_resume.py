"""Runs that are resumed, that stop early, and that can't begin."""

import json
import math
import re

import pytest

import gpunn
from gpunn.train import RunFolder

RUN = ("train", "--model", "mlp:8", "--out", "run")
LR = 2e-3  # of adam, the default


def rates(path="run"):
    return [row["lr"] for row in RunFolder(path).read_rows()]


def test_the_example_of_the_help(gpunn_command):
    """A run with the default schedule, and more epochs of it: those that one run of all of them would have had."""
    gpunn_command(*RUN, "--epochs", 2)
    result = gpunn_command("train", "--resume", "run", "--epochs", 4, "--json")
    assert result.code == 0
    assert result.json["epochs"] == 4
    assert "the schedule of the learning rate is another one than before: it goes on after 42 steps" in result.err
    gpunn_command(*RUN[:-1], "whole", "--epochs", 4)
    assert rates()[2:] == pytest.approx(rates("whole")[2:], rel=1e-12)
    assert RunFolder("run").read_config()["epochs"] == 4


def test_the_longer_run_is_resumed_as_it_is(gpunn_command):
    gpunn_command(*RUN, "--epochs", 1)
    gpunn_command("train", "--resume", "run", "--epochs", 2)
    result = gpunn_command("train", "--resume", "run")
    assert result.code == 0
    assert "nothing is left to train: the run has 2 epochs" in result.err


def test_a_cosine_falls_over_the_new_length(gpunn_command):
    gpunn_command(*RUN, "--epochs", 2, "--schedule", "cosine")
    gpunn_command("train", "--resume", "run", "--epochs", 4)
    wanted = [math.cos(math.pi * t / 2) for t in range(2)] + [math.cos(math.pi * t / 4) for t in (2, 3)]
    assert rates() == pytest.approx([LR * (1 + c) / 2 for c in wanted])


def test_a_schedule_anew(gpunn_command):
    """It has what is left of the epochs, from the given rate on, and the run keeps it when it is resumed again."""
    gpunn_command(*RUN, "--epochs", 2)
    result = gpunn_command("train", "--resume", "run", "--epochs", 4, "--schedule", "cosine", "--lr", 0.01)
    assert "begins anew, at 0.01" in result.err
    assert rates()[2:] == pytest.approx([0.01, 0.005])
    assert RunFolder("run").read_config()["schedule"] == "cosine"


def test_what_a_run_keeps(gpunn_command, tmp_path):
    """Its checkpoints are of one network, optimizer and size of batches; to name the same ones again is fine."""
    gpunn_command(*RUN, "--epochs", 1)
    before = (tmp_path / "run" / "config.toml").read_text()
    for option, value, was in (
        ("--optimizer", "sgd", "adam"),
        ("--model", "mlp:9", "mlp:8"),
        ("--batch-size", 32, 64),
        ("--batch-size", "full", 64),
        ("--activation", "tanh", "relu"),
    ):
        result = gpunn_command("train", "--resume", "run", "--epochs", 2, option, value)
        assert (result.code, result.err) == (
            2,
            f"gpunn train: {option} of run is {was} and can't change when it is resumed; begin a new run\n",
        )
    assert (tmp_path / "run" / "config.toml").read_text() == before
    same = ("--optimizer", "adam", "--model", "mlp:8", "--batch-size", 64)
    assert gpunn_command("train", "--resume", "run", "--epochs", 2, *same).code == 0


@pytest.mark.parametrize("before", ["onecycle", "none"])
def test_a_constant_rate_anew(gpunn_command, before):
    gpunn_command(*RUN, "--epochs", 1, "--schedule", before)
    gpunn_command("train", "--resume", "run", "--epochs", 3, "--schedule", "none", "--lr", 0.007)
    assert rates()[1:] == [0.007, 0.007]


def test_what_patience_says_tests_and_keeps_is_one_epoch(gpunn_command):
    """Without validation too: then it is the epoch with the lowest loss."""
    for options in (("--validation", 0), ("--validation", 0.2)):
        call = ("train", "--model", "mlp:8", "--out", f"run{options[1]}", "--patience", 2, "--epochs", 40, "--lr", 0.5)
        result = gpunn_command(*call, *options, "--json")
        folder = RunFolder(f"run{options[1]}")
        key = "val_loss" if options[1] else "loss"
        losses = [row[key] for row in folder.read_rows()]
        best = losses.index(min(losses)) + 1
        assert result.json["tested_epoch"] == best < result.json["epochs"]
        assert f"in epoch {best})" in result.err
        kept = [path.name for path in folder.checkpoints()]
        assert f"epoch_{best:03}.safetensors" in kept and f"epoch_{len(losses):03}.safetensors" in kept
        state = gpunn.load(folder.checkpoints_path / f"epoch_{best:03}.safetensors")["model"]
        stored = gpunn.load(folder.model_path)
        assert all(gpunn.equal(stored[name], state[name]) for name in stored)
        found = gpunn_command("evaluate", folder.path, "--json").json
        assert found["accuracy"] == result.json["test_accuracy"]


def test_a_folder_with_a_run_is_refused_before_anything_is_announced(gpunn_command):
    gpunn_command(*RUN, "--epochs", 1)
    result = gpunn_command(*RUN, "--epochs", 1)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1 and "holds a run already" in result.err
    for path in ("run/config.toml", "run/config.toml/below"):
        result = gpunn_command(*RUN[:-1], path)
        assert result.code == 2
        assert result.err.splitlines() == [
            "gpunn train: run/config.toml is a file; expected a folder for the run, or no such path yet"
        ]


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("Unable to allocate 8.00 TiB for an array")])
def test_memory_that_runs_out_on_the_way(gpunn_command, tmp_path, monkeypatch, error):
    def run_out(*args):
        raise error

    monkeypatch.setattr("gpunn.train.loop.FitLoop._steps", run_out)
    result = gpunn_command(*RUN)
    assert result.code == 1
    text = f"out of memory: {error}" if str(error) else "out of memory"
    assert f"gpunn train: {text}; smaller batches and networks need less, and gpunn memory tells how much" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_the_step_that_failed_and_no_results(gpunn_command, tmp_path):
    result = gpunn_command(*RUN, "--optimizer", "sgd", "--lr", 1e30)
    assert result.code == 1
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.toml", "failed_step.safetensors", "status.json",
    ]  # fmt: skip
    ignored = gpunn_command("train", "--model", "mlp:8", "--optimizer", "sgd", "--lr", 1e30, "--data", "nowhere.csv")
    assert ignored.code == 2
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("model", ["mlp:1000000,1000000", "mlp:2000000,500000"])
def test_a_network_that_can_not_be_there(gpunn_command, tmp_path, model):
    """10^12 weights are 4 * 10^12 bytes, 3.6 TiB."""
    result = gpunn_command("train", "--model", model)
    assert result.code == 1
    assert re.search(rf"out of memory: {model} has 1,000,\d+,\d+,\d+ parameters, which take 3\.6 TiB", result.err)
    assert f"gpunn memory --model {model} --input 1,8,8 --classes 10" in result.err
    assert list(tmp_path.iterdir()) == []
    assert gpunn_command("memory", "--model", model, "--input", "1,8,8").code == 0
    found = gpunn_command("summary", "--model", model, "--json").json
    first, second = map(int, model.removeprefix("mlp:").split(","))
    assert found["parameters"] == 65 * first + (first + 1) * second + (second + 1) * 10


def test_a_network_of_a_file_without_elements(gpunn_command, tmp_path):
    """One that can be made so takes no memory; one that reads elements gets some."""
    (tmp_path / "net.py").write_text(
        "from gpunn import nn, tensor\n"
        "def large(shape, outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10**12), nn.Linear(10**12, 10))\n"
        "def reads(shape, outputs):\n"
        "    layer = nn.Linear(64, outputs)\n"
        "    layer.weight.data /= layer.weight.norm().item()\n"
        "    return nn.Sequential(nn.Flatten(), layer)\n"
    )
    assert gpunn_command("summary", "--model", "net.py:large", "--json").json["parameters"] == 65 * 10**12 + 10**13 + 10
    assert gpunn_command("summary", "--model", "net.py:reads", "--json").json["parameters"] == 650
    found = json.loads(gpunn_command("memory", "--model", "net.py:reads", "--json").out)
    assert found["parameters"] == 4 * 640 + 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", 7), "--seed of run is 0 and can't change"),  # would validate with what it has learned
        (("--validation", 0.3), "--validation of run is 0.1 and can't change"),
        (("--batch-size", 16), "--batch-size of run is 64 and can't change"),
        (("--activation", "tanh"), "--activation of run is relu and can't change"),
        (("--model", "mlp:9"), "--model of run is mlp:8 and can't change"),
        (("--task", "classification"), "--task of run is none and can't change"),
        (("--out", "other"), "--out does not go with --resume"),
        (("--config", "more.toml"), "--config does not go with --resume"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_a_resumed_run_can_not_change(gpunn_command, options, message):
    gpunn_command(*RUN, "--epochs", 1)
    before = RunFolder("run").config_path.read_text()
    result = gpunn_command("train", "--resume", "run", "--epochs", 2, *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert RunFolder("run").config_path.read_text() == before
    same = ("--seed", 0, "--validation", 0.1, "--batch-size", 64, "--activation", "relu", "--model", "mlp:8")
    assert gpunn_command("train", "--resume", "run", *same).code == 0


@pytest.mark.parametrize("seed", ["-1", "1.5", 2**63, "none"])
def test_seeds_that_are_none(gpunn_command, seed):
    result = gpunn_command(*RUN, "--seed", seed)
    assert result.code == 2
    assert "is not a whole number from 0 to 2^63 - 1" in result.err


def test_checkpoints_as_often_as_one_wants(gpunn_command, tmp_path):
    run = ["train", "--model", "linear", "--epochs", 2, "--out", "run"]
    assert gpunn_command(*run, "--checkpoint-every", "5steps", "--keep-checkpoints", 1).code == 0
    assert 'checkpoint_every = "5steps"\nkeep_checkpoints = 1\n' in (tmp_path / "run" / "config.toml").read_text()
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["epoch_002.safetensors"]
    wrong = gpunn_command(*run, "--checkpoint-every", "30")
    assert wrong.code == 2
    assert "argument --checkpoint-every: '30' is no 'epoch', number of steps such as '500steps'" in wrong.err
