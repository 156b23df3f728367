"""Regression: targets of any size, errors in their own units, and who decides that it is one."""

import csv
import io
import json
import re

import numpy as np
import pytest

N = 200
FAST = ("--epochs", 8, "--model", "linear", "--lr", 0.2)
QUICK = ("--epochs", 1, "--model", "linear", "--out", "run")


def nearly_linear(mean=100.0, deviation=3.7):
    """Features (200, 3), and targets (200,) of that mean and deviation, of which a hundredth is noise."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(N, 3))
    y = x @ [3.0, -2.0, 1.0] + 0.04 * rng.normal(size=N)
    return x, mean + deviation * (y - y.mean()) / y.std()


def write(path, x, y, form="{:.6f}"):
    rows = [",".join([*(f"{v:.6f}" for v in row), form.format(t)]) for row, t in zip(x, y)]
    path.write_text("\n".join(["a,b,c,price", *rows]) + "\n")


@pytest.mark.parametrize(
    ("mean", "deviation", "options"),
    [
        (100, 3.7, ()),
        *((m, d, FAST) for m, d in ((100, 3.7), (0, 1), (-5e4, 1e3), (0, 1e-3), (1e6, 1.0), (2e9, 3e5))),
    ],
    ids=str,
)
def test_targets_of_any_size_are_learned(gpunn_command, tmp_path, mean, deviation, options):
    write(tmp_path / "t.csv", *nearly_linear(mean, deviation), "{:.9g}" if deviation < 0.1 else "{:.4f}")
    result = gpunn_command("train", "--data", "t.csv", "--out", "run", "--json", *options)
    assert result.code == 0, result.err
    found = result.json
    assert found["test_accuracy"] is None
    assert found["test_r2"] > 0.95
    # 1 - R^2 is the mean square of the error over that of the targets around their mean.
    assert found["test_rmse"] == pytest.approx(deviation * np.sqrt(1 - found["test_r2"]), rel=0.3)
    assert 0.5 * found["test_rmse"] < found["test_mae"] < found["test_rmse"]
    assert "regression: target price with mean" in result.err


def test_evaluate_and_predict_are_in_the_units_of_the_targets(gpunn_command, tmp_path):
    x, y = nearly_linear()
    write(tmp_path / "t.csv", x, y)
    trained = gpunn_command("train", "--data", "t.csv", *FAST, "--epochs", 2, "--out", "run", "--json").json
    found = gpunn_command("evaluate", "run", "--json").json
    for name in ("r2", "rmse", "mae", "loss"):
        assert found[name] == pytest.approx(trained[f"test_{name}"], rel=1e-5)
    rows = csv.DictReader(io.StringIO(gpunn_command("predict", "run", "--input", "t.csv").out))
    error = np.array([float(row["prediction"]) for row in rows]) - y
    whole = gpunn_command("evaluate", "run", "--part", "all", "--json").json
    assert whole["samples"] == N
    assert whole["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)
    assert whole["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-4)
    assert whole["r2"] == pytest.approx(1 - np.sum(error**2) / np.sum((y - y.mean()) ** 2), rel=1e-4)


def test_measures_of_each_epoch_and_the_report(gpunn_command, tmp_path):
    write(tmp_path / "t.csv", *nearly_linear())
    result = gpunn_command("train", "--data", "t.csv", *QUICK)
    assert "errors in the target's units: RMSE" in result.out
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert {"r2", "rmse", "mae", "val_r2", "val_rmse", "val_mae"} <= set(row)
    assert row["val_rmse"] > 0.2  # of targets with deviation 3.7, after one epoch
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Predictions, test data" in report
    assert report.count('class="point"') == 2 * N / 5  # beside what is true, and beside the error


def test_several_targets_have_a_scale_each(gpunn_command, tmp_path):
    x, y = nearly_linear()
    both = np.stack([y, 1e6 * x[:, 0]], 1)
    np.savez(tmp_path / "t.npz", x=x, y=both)
    result = gpunn_command("train", "--data", "t.npz", *FAST, "--out", "run")
    assert re.search(r"regression: targets with mean \S+, \S+ and deviation \S+, \S+, standardised", result.err)
    found = gpunn_command("predict", "run", "--input", "t.npz", "--json").json
    predicted = np.array([[row["prediction_0"], row["prediction_1"]] for row in found])
    assert np.all(np.abs(predicted - both).mean(0) < 0.3 * both.std(0))
    measured = gpunn_command("evaluate", "run", "--part", "all", "--json").json["per_target"]
    np.testing.assert_allclose(measured["mae"], np.abs(predicted - both).mean(0), rtol=1e-4)
    assert [line.split()[0] for line in gpunn_command("evaluate", "run").out.splitlines()[1:]] == ["target", "0", "1"]
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Targets, test data" in report and "target 1: predicted" in report
    np.savez(tmp_path / "one.npz", x=x, y=y)
    result = gpunn_command("evaluate", "run", "--data", "one.npz")
    assert (result.code, result.out) == (2, "")
    assert "one.npz has numbers as targets, run was trained on 2 numbers as targets" in result.err


LABELS = np.arange(N) % 81
"""Whole numbers that may be classes or amounts, too few of each to tell."""


# What the labels are, what is asked for, and what comes of it.
CALLS = {
    "amounts by the loss": (LABELS, ("--loss", "mse"), "regression"),
    "amounts by another loss": (LABELS, ("--loss", "huber"), "regression"),
    "amounts by the task": (LABELS, ("--task", "regression"), "regression"),
    "amounts by both": (LABELS, ("--task", "regression", "--loss", "l1"), "regression"),
    "classes by the loss": (LABELS, ("--loss", "cross_entropy"), "classification"),
    "classes by the task": (LABELS, ("--task", "classification"), "classification"),
    "classes by the task with a loss of numbers": (
        LABELS,
        ("--task", "classification", "--loss", "mse"),
        "classification",
    ),
    "few whole numbers": (LABELS % 3, (), "classification"),
    "few whole numbers with a loss of numbers": (LABELS % 3, ("--loss", "smooth_l1"), "regression"),
    "decimal fractions": (LABELS / 2, (), "regression"),
    "whole numbers written as fractions": (LABELS % 3 + 0.0, (), "regression"),
    "the same as classes": (LABELS % 3 + 0.0, ("--task", "classification"), "classification"),
    "the same by the loss": (LABELS % 3 + 0.0, ("--loss", "bce_with_logits"), "classification"),
    "text": (np.array(["ant", "bee"])[LABELS % 2], (), "classification"),
    "text with a loss of numbers": (np.array(["ant", "bee"])[LABELS % 2], ("--loss", "mse"), "classification"),
}


@pytest.mark.parametrize("kind", ["csv", "npz"])
@pytest.mark.parametrize("name", CALLS)
def test_the_task_is_decided_by_task_loss_and_labels_and_said(gpunn_command, tmp_path, name, kind):
    labels, options, task = CALLS[name]
    if kind == "csv":
        write(tmp_path / "t.csv", nearly_linear()[0], labels.tolist(), "{}")
    else:
        np.savez(tmp_path / "t.npz", x=nearly_linear()[0], y=labels)
    result = gpunn_command("train", "--data", f"t.{kind}", *QUICK, "--validation", 0, *options, "--json")
    assert result.code == 0, result.err
    assert f"{task}: " in result.err
    outputs = len(np.unique(labels)) if task == "classification" else 1
    assert result.json["parameters"] == 4 * outputs
    assert (result.json["test_accuracy"] is None) == (task == "regression")
    assert gpunn_command("evaluate", "run", "--part", "train").code == 0
    assert gpunn_command("predict", "run").code == 0


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (LABELS, (), "81 different whole numbers from 0 to 80 in 200 samples, classes or amounts; say which"),
        (-LABELS, (), "the label -80; classes are numbered from 0"),
        (
            LABELS / 2,
            ("--task", "classification"),
            "--task classification: the labels of t.csv are numbers that are no",
        ),
        (LABELS / 2, ("--loss", "cross_entropy"), "--loss cross_entropy: t.csv has numbers as targets, not classes"),
        (LABELS / 2, ("--loss", "bce_with_logits"), "--loss bce_with_logits: t.csv has numbers as targets"),
        (LABELS, ("--loss", "cross_entropy", "--task", "regression"), "--loss cross_entropy: t.csv has numbers"),
        (np.full(N, "ant"), ("--task", "regression"), "--task regression: the labels of t.csv are the classes ant"),
        (LABELS, ("--target", "prize"), "has no column 'prize' for the labels; there are a, b, c, price"),
        (LABELS, ("--image-size", 8), "t.csv: takes no image size"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_contradicts_itself_is_refused(gpunn_command, tmp_path, labels, options, message):
    write(tmp_path / "t.csv", nearly_linear()[0], labels.tolist(), "{}")
    result = gpunn_command("train", "--data", "t.csv", *QUICK, *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert not (tmp_path / "run").exists()


def test_data_sets_with_classes_of_their_own_have_no_other_task(gpunn_command):
    result = gpunn_command("train", "--task", "regression")
    assert result.code == 2
    assert "--task regression: the labels of digits are the classes 0, 1, 2" in result.err
    assert "digits: takes no target column; only tables" in gpunn_command("train", "--target", "y").err


def test_any_column_can_be_the_target(gpunn_command, tmp_path):
    x, y = nearly_linear()
    write(tmp_path / "t.csv", x, y)
    result = gpunn_command("train", "--data", "t.csv", "--target", "b", *QUICK)
    assert "regression: target b with mean" in result.err
    assert gpunn_command("evaluate", "run", "--part", "all", "--json").json["samples"] == N
    (tmp_path / "new.csv").write_text("price,c,a\n100,0,0\n")
    assert len(gpunn_command("predict", "run", "--input", "new.csv", "--json").json) == 1
    (tmp_path / "new.csv").write_text("b,a\n100,0\n")
    assert "lacks the columns 'c', 'price'" in gpunn_command("predict", "run", "--input", "new.csv").err


@pytest.mark.parametrize(
    ("mean", "deviation"), [(1e9, 1.0), (-1.7e9, 1e3), (1e12, 1e3), (100, 3.7), (0, 1e-6), (3e200, 1e199), (0, 1e-200)]
)
def test_predictions_tell_the_targets_apart_whatever_their_mean(gpunn_command, tmp_path, mean, deviation):
    """A large mean takes no digits from them, and evaluate's RMSE is that of what predict says."""
    x, y = nearly_linear(mean, deviation)
    np.savez(tmp_path / "t.npz", x=x, y=y)
    gpunn_command("train", "--data", "t.npz", *FAST, "--out", "run")
    found = gpunn_command("predict", "run", "--input", "t.npz", "--json").json
    predicted = np.array([row["prediction"] for row in found])
    assert len(set(predicted)) > 0.99 * N
    rmse = deviation * np.sqrt(np.mean(((predicted - y) / deviation) ** 2))
    assert gpunn_command("evaluate", "run", "--part", "all", "--json").json["rmse"] == pytest.approx(
        rmse, rel=1e-3, abs=0
    )
    shown = re.search(r"rmse (\S+),", gpunn_command("evaluate", "run", "--part", "all").out)
    assert float(shown[1]) == pytest.approx(rmse, rel=0.06, abs=0)


@pytest.mark.parametrize(("labels", "hint"), [([0.0, 1.0], True), ([1.0, 5.0, 2.0], True), ([0.5, 1.0], False)])
def test_whole_numbers_among_floats_may_be_classes(gpunn_command, tmp_path, labels, hint):
    np.savez(tmp_path / "t.npz", x=nearly_linear()[0], y=np.resize(labels, N))
    said = "--task classification if they are classes"
    assert (said in gpunn_command("train", "--data", "t.npz", *QUICK).err) == hint
    assert said not in gpunn_command("train", "--data", "t.npz", *QUICK[:-1], "b", "--task", "regression").err


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        (
            ["ant", "bee"],
            4,
            "t.csv: 4 samples of 2 classes are too few to hold out 20% of each; a data set with a test",
        ),
        (["ant", "bee"], 6, "t.csv: 4 samples of 2 classes are too few to hold out 10% of each; --validation 0 goes"),
        ([1.5, 2.5], 2, "t.csv: 2 samples are too few to hold out 20% of them; a data set with a test part"),
        ([1.5, 2.5], 4, "t.csv: 3 samples are too few to hold out 10% of them; --validation 0 goes without"),
    ],
)
def test_too_few_samples(gpunn_command, tmp_path, labels, count, message):
    write(tmp_path / "t.csv", nearly_linear()[0][:count], (labels * 3)[:count], "{}")
    result = gpunn_command("train", "--data", "t.csv", *QUICK)
    assert result.code == 2
    assert message in result.err


def test_numbers_that_json_lacks_are_null(gpunn_command, tmp_path):
    """One sample has no variance, so there is no R^2."""
    x, y = nearly_linear()
    write(tmp_path / "t.csv", x, y)
    gpunn_command("train", "--data", "t.csv", *QUICK)
    write(tmp_path / "one.csv", x[:1], y[:1])
    result = gpunn_command("evaluate", "run", "--data", "one.csv", "--json")
    assert result.json["r2"] is None
    assert result.json["rmse"] == pytest.approx(result.json["mae"])
    assert "NaN" not in result.out


def test_a_table_that_has_changed_is_noticed(gpunn_command, tmp_path):
    x, y = nearly_linear()
    write(tmp_path / "t.csv", x, y)
    gpunn_command("train", "--data", "t.csv", *QUICK)
    said = "t.csv has changed since the run: its test set may not be the one of the training"
    assert said not in gpunn_command("evaluate", "run").err
    for new in (slice(1, None), slice(None, None, -1), [*range(N), 0]):
        write(tmp_path / "t.csv", x[new], y[new])
        assert said in gpunn_command("evaluate", "run").err
        assert said in gpunn_command("predict", "run").err
        assert "has changed" not in gpunn_command("evaluate", "run", "--part", "all").err


def test_the_data_of_a_run_that_has_moved_is_measured_on_its_test_set(gpunn_command, tmp_path):
    x, y = nearly_linear()
    write(tmp_path / "t.csv", x, y)
    gpunn_command("train", "--data", "t.csv", *QUICK)
    own = gpunn_command("evaluate", "run", "--json").json
    (tmp_path / "t.csv").rename(tmp_path / "moved.csv")
    moved = gpunn_command("evaluate", "run", "--data", "moved.csv", "--json").json
    assert (moved["part"], moved["samples"], moved["rmse"]) == ("test", N // 5, own["rmse"])
    write(tmp_path / "other.csv", x + 0.01, y)
    assert gpunn_command("evaluate", "run", "--data", "other.csv", "--json").json["samples"] == N


def test_a_run_and_data_for_another_task(gpunn_command, tmp_path):
    x, y = nearly_linear()
    write(tmp_path / "t.csv", x, y)
    gpunn_command("train", "--data", "t.csv", *QUICK)
    write(tmp_path / "text.csv", x, ["ant", "bee"] * (N // 2), "{}")
    result = gpunn_command("evaluate", "run", "--data", "text.csv")
    assert result.code == 2
    assert "text.csv has the classes ant, bee, run was trained on numbers as targets" in result.err
    write(tmp_path / "whole.csv", x, np.rint(y).astype(int).tolist(), "{}")
    assert gpunn_command("evaluate", "run", "--data", "whole.csv", "--json").json["rmse"] > 0
    result = gpunn_command("predict", "run", "--probabilities")
    assert (result.code, result.out) == (2, "")
    assert "--probabilities: run has numbers as targets, not classes" in result.err
