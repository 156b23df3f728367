"""A trained network as a file for other programs."""

import re

import numpy as np
import pytest

import gpunn


@pytest.fixture
def run(gpunn_command, tmp_path):
    x = np.random.default_rng(0).random((60, 2)) * [1, 100]
    rows = np.column_stack([x, 1000 + x @ [50, 3]])
    np.savetxt(tmp_path / "t.csv", rows, header="a,b,price", delimiter=",", comments="")
    options = ("--target", "price", "--task", "regression", "--model", "mlp:4", "--epochs", "1", "--out", "run")
    assert gpunn_command("train", "--data", "t.csv", *options).code == 0
    return x


def test_weights(run, gpunn_command):
    found = gpunn_command("export", "run", "--out", "w.pt")
    assert found.out == "w.pt: 17 parameters\n"
    weights = gpunn.load("run/model.safetensors")
    assert {k: v.tolist() for k, v in gpunn.load("w.pt").items()} == {k: v.tolist() for k, v in weights.items()}


def test_the_network_takes_and_gives_what_the_data_has(run, gpunn_command):
    pytest.importorskip("onnx", reason="onnx is not installed")
    assert "x (batch, 2) -> y" in gpunn_command("export", "run").out
    network = gpunn.onnx.load("run/model.onnx")
    assert gpunn_command("predict", "run", "--input", "t.csv", "--out", "p.csv").code == 0
    predicted = np.loadtxt("p.csv", delimiter=",", skiprows=1)[:, 1]
    y = network(gpunn.tensor(run, dtype=gpunn.float32)).detach().numpy().ravel()
    np.testing.assert_allclose(y, predicted, rtol=1e-4)
    assert predicted.mean() > 500


def test_calls_that_are_wrong(run, gpunn_command):
    for arguments, message in (
        (("none",), "none holds no trained network"),
        (("run", "--out", "m.bin"), "--out m.bin: expected the name of a file that ends in .onnx"),
        (("run", "--out", "no/w.pt"), "the folder .*no does not exist"),
    ):
        found = gpunn_command("export", *arguments)
        assert found.code == 2
        assert re.search(message, found.err)
