"""`evaluate`, `predict` and `summary`."""

import csv
import io

import numpy as np
import pytest


@pytest.fixture
def run(gpunn_command):
    """A small network, trained on the digits."""
    result = gpunn_command("train", "--epochs", 3, "--model", "mlp:32", "--out", "run", "--json")
    return result.json


def test_evaluate_repeats_the_measurement(gpunn_command, run):
    found = gpunn_command("evaluate", "run", "--json").json
    assert found["accuracy"] == run["test_accuracy"]
    assert found["loss"] == pytest.approx(run["test_loss"], rel=1e-6)
    assert found["samples"] == 359


def test_evaluate_shows_each_class(gpunn_command, run):
    line, head, *rows = gpunn_command("evaluate", "run").out.splitlines()
    assert "accuracy" in line
    assert head.split() == ["class", "recall", "precision", "f1", "support"]
    assert [row.split()[0] for row in rows] == [str(digit) for digit in range(10)]
    assert sum(int(row.split()[-1]) for row in rows) == 359


@pytest.mark.parametrize("name", ["[/x]", "[bold]", "[red]a[/red]", "a" * 100, ":smile:", "<b>&"])
@pytest.mark.parametrize("terminal", [True, False])
def test_evaluate_shows_names_as_they_are(gpunn_command, tmp_path, monkeypatch, name, terminal):
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "200")
    np.savez(tmp_path / "t.npz", x=np.arange(20.0)[:, None], y=[name, "other"] * 10)
    trained = gpunn_command("train", "--data", "t.npz", "--model", "linear", "--epochs", 1, "--out", "run")
    assert trained.code == 0, trained.err
    result = gpunn_command("evaluate", "run")
    assert result.code == 0, result.err
    assert name in result.out
    assert name in trained.err


@pytest.mark.parametrize("terminal", [True, False])
def test_names_that_would_do_something_to_a_terminal(gpunn_command, tmp_path, monkeypatch, terminal):
    """A class whose name clears the screen, rings the bell or breaks the line is shown as an escape."""
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    names = ["a\x1b[2Jb", "c\nd", "e\x07"]
    np.savez(tmp_path / "t.npz", x=np.arange(30.0)[:, None], y=names * 10)
    trained = gpunn_command("train", "--data", "t.npz", "--model", "linear", "--epochs", 1, "--out", "run")
    result = gpunn_command("evaluate", "run")
    for name in ("a\\x1b[2Jb", "c\\nd", "e\\x07"):
        assert name in result.out
    assert "\x1b[2J" not in result.out + trained.err and "\x07" not in result.out + trained.err
    bad = gpunn_command("evaluate", "run", "--data", "no\x1b[2J.npz")
    assert "no\\x1b[2J.npz" in bad.err and "\x1b" not in bad.err


def test_predict_agrees_with_evaluate(gpunn_command, run):
    from gpunn.datasets import digits

    rows = list(csv.DictReader(io.StringIO(gpunn_command("predict", "run").out)))
    classes = np.array([int(row["class"]) for row in rows])
    assert np.mean(classes == digits().y_test) == pytest.approx(run["test_accuracy"])
    assert all(0.1 <= float(row["probability"]) <= 1 for row in rows)


def test_predict_from_an_array_into_a_file(gpunn_command, run, tmp_path):
    from gpunn.datasets import digits

    np.save(tmp_path / "images.npy", digits().x_test[:5])
    result = gpunn_command("predict", "run", "--input", "images.npy", "--out", "p.csv")
    assert result.code == 0, result.err
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 6


def test_predict_refuses_another_shape(gpunn_command, run, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((5, 1, 9, 9)))
    result = gpunn_command("predict", "run", "--input", "images.npy")
    assert result.code == 2
    assert "(1, 9, 9)" in result.err
    assert "(1, 8, 8)" in result.err


def test_summary_counts_parameters(gpunn_command):
    found = gpunn_command("summary", "--model", "lenet", "--input", "1,28,28", "--json").json
    # (k k c_in + 1) c_out for a convolution, (d_in + 1) d_out for a linear layer
    counts = [(25 * 1 + 1) * 6, (25 * 6 + 1) * 16, 401 * 120, 121 * 84, 85 * 10]
    assert [row["parameters"] for row in found["rows"] if row["parameters"]] == counts
    assert found["parameters"] == sum(counts) == 61706
    assert [row["output_shape"] for row in found["rows"]][:3] == [[1, 6, 28, 28], [1, 6, 28, 28], [1, 6, 14, 14]]


def test_summary_is_a_table(gpunn_command):
    out = gpunn_command("summary").out
    assert "53,002 parameters" in out
    assert "Conv2d(1, 32, kernel_size=(3, 3)" in out.replace("\n", " ")
