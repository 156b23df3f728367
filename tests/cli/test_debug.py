"""``gpunn debug``, and ``gpunn train --on-nan``."""

import json

import pytest

RUN = ["train", "--model", "mlp:16", "--optimizer", "sgd", "--lr", "1e25", "--schedule", "none", "--out", "run"]


def test_the_step_that_failed(gpunn_command, tmp_path):
    failed = gpunn_command(*RUN, "--epochs", 2)
    assert failed.code == 1
    assert "the loss became nan in epoch 1, batch 2, at learning rate 1e+25; try a smaller learning rate" in failed.err
    where = "the forward of LinearActivation in layer 3 gave 640 infinite of 640 numbers, then the forward of Softmax"
    assert f". It began in epoch 1, batch 2: {where}" in failed.err
    assert failed.err.rstrip().endswith("To look at that step: gpunn debug run/failed_step.safetensors")
    shown = gpunn_command("debug", "run")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0] == "epoch 1, batch 2, at learning rate 1e+25: the loss is nan"
    assert lines[1].startswith(f"in the training: It began in epoch 1, batch 2: {where}")
    assert lines[2].startswith(f"here, op by op: {where}")
    assert lines[3].split() == [
        "number",
        "phase",
        "layer",
        "op",
        "by",
        "elements",
        "infinite",
        "NaN",
        "lowest",
        "highest",
    ]
    assert [line.split()[0] for line in lines[4:]] == ["1", "2", "3", "4", "5"]
    assert lines[-2].split() == ["4", "forward", "3", "LinearActivation", "640", "640", "0"]
    found = gpunn_command("debug", "run/failed_step.safetensors", "--json").json
    assert (found["epoch"], found["batch"], found["loss"]) == (1, 2, None)
    assert {op["phase"] for op in found["ops"]} == {"forward", "backward", "update"}
    assert len(gpunn_command("debug", "run", "--all").out.splitlines()) == 4 + len(found["ops"])
    assert len(gpunn_command("debug", "run", "--last", 2).out.splitlines()) == 4 + 2
    again = gpunn_command(*RUN[:-4], "--out", "run", "--lr", "0.1", "--epochs", 1)  # the folder holds no run yet
    assert again.code == 0
    assert not (tmp_path / "run" / "failed_step.safetensors").exists()


def test_skipped_and_ignored(gpunn_command):
    skipped = gpunn_command(*RUN, "--epochs", 1, "--on-nan", "skip", "--validation", 0)
    assert skipped.code == 1
    assert "  skipped 22  " in skipped.err
    assert "the loss is nan in batch 1; the model gives no results" in skipped.err
    ignored = gpunn_command(*RUN[:-2], "--epochs", 1, "--on-nan", "ignore", "--json")
    assert ignored.code == 0, ignored.err
    assert json.loads(ignored.out)["train_loss"] is None
    assert gpunn_command("debug", "runs/digits-mlp-1").err.startswith(
        "gpunn debug: runs/digits-mlp-1/failed_step.safetensors is not there: no step of a training failed"
    )


@pytest.mark.parametrize("option", ["--on-nan=never", "--on-nan"])
def test_words_that_are_none(gpunn_command, option):
    assert gpunn_command("train", option).code == 2


def test_a_file_that_is_of_another_run(gpunn_command, tmp_path):
    gpunn_command(*RUN, "--epochs", 2)
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace('"mlp:16"', '"mlp:17"'))
    wrong = gpunn_command("debug", "run")
    assert (wrong.code, wrong.out) == (2, "")
    assert "run/failed_step.safetensors is of another training than run, or damaged: " in wrong.err
    (tmp_path / "run" / "failed_step.safetensors").write_bytes(b"x" * 100)
    assert gpunn_command("debug", "run").code == 2
    assert gpunn_command("debug", tmp_path / "nowhere").code == 2


def test_a_step_in_half_precision_is_done_again_in_it(gpunn_command):
    failed = gpunn_command(*RUN, "--epochs", 1, "--precision", "fp16")
    assert failed.code == 1 and "the loss became nan in epoch 1, batch 2" in failed.err
    found = gpunn_command("debug", "run", "--json").json
    assert found["loss"] is None
    products = [op for op in found["ops"] if op["phase"] == "forward" and op["op"] == "LinearActivation"]
    assert max(op["high"] or 0 for op in products) < 2**16  # the largest number in float16
    assert gpunn_command("evaluate", "run").code == 2  # it holds no weights
