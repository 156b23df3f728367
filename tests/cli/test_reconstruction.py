"""Networks that give their input back, from the command."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("model", ["autoencoder:16,4", "vae:16,4"])
def test_a_network_learns_its_inputs(gpunn_command, tmp_path, model):
    run = tmp_path / "run"
    done = gpunn_command("train", "--model", model, "--epochs", "2", "--out", run, "--json")
    assert "reconstruction: the targets are the inputs, (1, 8, 8)" in done.err
    found = done.json
    assert found["test_accuracy"] is None and 0 < found["test_mae"] < found["test_rmse"] < 8  # of pixels from 0 to 16
    again = gpunn_command("evaluate", run, "--json").json
    assert again["loss"] == found["test_loss"] and again["rmse"] == found["test_rmse"]
    rows = gpunn_command("predict", run, "--json").json
    pixels = np.array([[row[f"prediction_{i}"] for i in range(64)] for row in rows])
    assert pixels.shape == (359, 64) and 2 < pixels.mean() < 8  # the mean of all pixels is 4.9
    refused = gpunn_command("predict", run, "--probabilities")
    assert "has numbers as targets, not classes" in refused.err


@pytest.mark.parametrize(
    ("model", "hint"),
    [("autoencoder", "mse or l1 fit"), ("vae", "it has a loss of its own, leave --loss out")],
)
def test_a_loss_of_classes_is_refused(gpunn_command, tmp_path, model, hint):
    done = gpunn_command("train", "--model", model, "--loss", "cross_entropy", "--out", tmp_path / "r")
    assert f"--loss cross_entropy: {model} reconstructs its inputs; {hint}" in done.err
