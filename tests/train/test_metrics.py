"""Metrics against definitions worked out sample by sample."""

import math

import numpy as np
import pytest

from gpunn.train import (
    R2,
    Accuracy,
    Average,
    MeanAbsoluteError,
    MeanSquaredError,
    PerClass,
    PerTarget,
    RootMeanSquaredError,
    TopK,
)
from gpunn.train.metrics import METRICS, as_metrics


def measured(metric, output, target, batch=None):
    metric.reset()
    size = batch or len(output)
    for start in range(0, len(output), size):
        metric.update(output[start : start + size], target[start : start + size])
    return metric.compute()


@pytest.fixture
def scores(rng):
    """Outputs (50, 7) with ties among them, and class indices (50,)."""
    return rng.integers(0, 5, size=(50, 7)).astype(np.float32), rng.integers(0, 7, size=50)


def test_accuracy_of_class_indices(scores):
    output, target = scores
    wanted = sum(row.tolist().index(max(row.tolist())) == t for row, t in zip(output, target)) / 50
    assert measured(Accuracy(), output, target) == wanted
    assert 0 < wanted < 1


def test_accuracy_of_probabilities():
    output = np.array([[3.0, 1.0], [0.0, 1.0], [2.0, 0.0]])
    target = np.array([[0.9, 0.1], [0.6, 0.4], [1.0, 0.0]])
    assert measured(Accuracy(), output, target) == 2 / 3


def test_accuracy_of_pixels():
    output = np.zeros((1, 2, 2, 2))
    output[0, 1, 0] = 1  # class 1 in the upper row
    assert measured(Accuracy(), output, np.array([[[1, 0], [0, 1]]])) == 2 / 4


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_accuracy_of_two_classes(shape):
    logits = np.array([-1.0, 0.2, 0.7, -3.0]).reshape(shape)
    target = np.array([0.0, 0.0, 1.0, 1.0]).reshape(shape)
    assert measured(Accuracy(), logits, target) == 2 / 4
    assert measured(Accuracy(threshold=0.5), logits, target) == 3 / 4


def test_one_output_column_and_a_flat_target():
    assert measured(Accuracy(), np.array([[1.0], [-1.0]]), np.array([1, 1])) == 1 / 2


def test_top_k_counts_the_classes_ahead(scores):
    output, target = scores
    for k in range(1, 8):
        hits = 0
        for row, t in zip(output.tolist(), target.tolist()):
            order = sorted(range(7), key=lambda c: (-row[c], c))
            hits += t in order[:k]
        assert measured(TopK(k), output, target) == hits / 50
    assert measured(TopK(1), output, target) == measured(Accuracy(), output, target)
    assert TopK(3).name == "top3"


def test_top_k_of_equal_outputs_is_chance():
    assert measured(TopK(2), np.zeros((10, 10)), np.arange(10)) == 2 / 10


def test_per_class_by_hand():
    # true class 0: predicted 0, 0, 1;  true class 1: predicted 1;  true class 2: predicted 0, 2;  never true: 3
    predicted, target = np.array([0, 0, 1, 1, 0, 2]), np.array([0, 0, 0, 1, 2, 2])
    found = measured(PerClass(), np.eye(4)[predicted], target)
    assert found["confusion"] == [[2, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert found["support"] == [3, 1, 2, 0]
    assert found["recall"] == [2 / 3, 1.0, 1 / 2, 0.0]
    assert found["precision"] == [2 / 3, 1 / 2, 1.0, 0.0]
    assert found["f1"] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0.0])


def test_per_class_of_two_classes():
    found = measured(PerClass(), np.array([-1.0, 2.0, 3.0]), np.array([0.0, 0.0, 1.0]))
    assert found["confusion"] == [[1, 1], [0, 1]]


def test_errors_by_loops(rng):
    output, target = rng.normal(size=(20, 3)).astype(np.float32), rng.normal(size=(20, 3)).astype(np.float32)
    pairs = [(float(o), float(t)) for o, t in zip(output.ravel(), target.ravel())]
    assert measured(MeanSquaredError(), output, target) == pytest.approx(sum((o - t) ** 2 for o, t in pairs) / 60)
    assert measured(MeanAbsoluteError(), output, target) == pytest.approx(sum(abs(o - t) for o, t in pairs) / 60)
    root = math.sqrt(sum((o - t) ** 2 for o, t in pairs) / 60)
    assert measured(RootMeanSquaredError(), output, target) == pytest.approx(root)


@pytest.mark.parametrize("metric", [MeanSquaredError, RootMeanSquaredError, MeanAbsoluteError])
@pytest.mark.parametrize("deviation", [3.7, np.array([0.01, 3.0, 2000.0])], ids=["one", "of each column"])
def test_errors_of_standardised_targets_in_their_own_units(rng, metric, deviation):
    output, target = rng.normal(size=(2, 20, 3)) * deviation + 100
    standardised = ((values - 100) / deviation for values in (output, target))
    assert measured(metric(deviation), *standardised, batch=7) == pytest.approx(measured(metric(), output, target))


def test_r2_by_its_definition(rng):
    target = rng.normal(size=(30, 2)) * [1, 10]
    output = target + rng.normal(size=(30, 2))
    columns = [
        1 - np.square(target[:, c] - output[:, c]).sum() / np.square(target[:, c] - target[:, c].mean()).sum()
        for c in range(2)
    ]
    assert measured(R2(), output, target, batch=7) == pytest.approx(np.mean(columns), rel=1e-12)


def test_measures_of_each_target_are_those_of_it_alone(rng):
    target = rng.normal(size=(30, 3)) * [1, 10, 0]
    output, units = target + rng.normal(size=(30, 3)), np.array([2.0, 0.5, 3.0])
    found = measured(PerTarget(units), output, target, batch=7)
    for column in range(3):
        one = (output[:, column : column + 1], target[:, column : column + 1])
        assert found["rmse"][column] == pytest.approx(measured(RootMeanSquaredError(units[column]), *one))
        assert found["mae"][column] == pytest.approx(measured(MeanAbsoluteError(units[column]), *one))
        assert found["r2"][column] == pytest.approx(measured(R2(), *one), nan_ok=True)
    assert math.isnan(found["r2"][2])  # the third target does not vary


def test_r2_of_the_mean_is_zero_and_of_the_truth_one(rng):
    target = rng.normal(size=(30, 1))
    assert measured(R2(), np.full_like(target, target.mean()), target) == pytest.approx(0, abs=1e-12)
    assert measured(R2(), target, target) == 1


def test_r2_survives_a_large_mean(rng):
    """Sums of squares about 1e16 times the variance would leave no digit of it."""
    target = rng.normal(size=(100, 1)) + 1e8
    assert measured(R2(), target + 0.5, target, batch=9) == pytest.approx(1 - 0.25 / target.var(), rel=1e-6)


def test_r2_of_a_constant_is_nan():
    assert math.isnan(measured(R2(), np.ones((3, 1)), np.ones((3, 1))))


def test_a_function_is_averaged_over_samples():
    def largest_error(output, target):
        return np.abs(output - target).max()

    metric = Average(largest_error)
    assert metric.name == "largest_error"
    assert measured(metric, np.array([1.0, 2.0, 6.0]), np.zeros(3), batch=2) == pytest.approx((2 * 2 + 6) / 3)


@pytest.mark.parametrize("name", METRICS)
def test_batches_make_no_difference(name, rng):
    output, target = rng.normal(size=(40, 6)), rng.integers(0, 6, size=40)
    if name in ("mse", "rmse", "mae", "r2", "per_target"):
        target = rng.normal(size=(40, 6))
    whole, parts = METRICS[name](), METRICS[name]()
    expected = measured(whole, output, target)
    found = measured(parts, output, target, batch=7)
    if isinstance(expected, dict):
        for measure, values in expected.items():
            np.testing.assert_allclose(found[measure], values, rtol=1e-12)
    else:
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_the_state_carries_over(name, rng):
    output, target = rng.normal(size=(40, 6)), rng.integers(0, 6, size=40)
    if name in ("mse", "rmse", "mae", "r2", "per_target"):
        target = rng.normal(size=(40, 6))
    straight = METRICS[name]()
    first, second = METRICS[name](), METRICS[name]()
    for metric in (straight, first):
        metric.update(output[:23], target[:23])
    second.load_state_dict(first.state_dict())
    for metric in (straight, second):
        metric.update(output[23:], target[23:])
    assert straight.compute() == second.compute()


@pytest.mark.parametrize("name", ["accuracy", "top5", "mse", "rmse", "mae", "r2"])
def test_nothing_measured_is_nan(name):
    assert math.isnan(METRICS[name]().compute())


def test_names_objects_and_functions():
    def own(output, target):
        return 0.0

    assert [m.name for m in as_metrics(["accuracy", TopK(2), own])] == ["accuracy", "top2", "own"]
    assert [m.name for m in as_metrics("mse")] == ["mse"]


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        (["acuracy"], ValueError, r"there is no metric 'acuracy'; did you mean accuracy\?; there are: accuracy, top5"),
        (["mse", "mse"], ValueError, "two metrics are called 'mse'"),
        ([Average(max, "loss")], ValueError, "two metrics are called 'loss'"),
        ([3], TypeError, "not 3"),
    ],
)
def test_bad_metrics(metrics, error, message):
    with pytest.raises(error, match=message):
        as_metrics(metrics)


@pytest.mark.parametrize(
    ("metric", "output", "target"),
    [
        (Accuracy(), (4, 3), (4, 2)),
        (Accuracy(), (4, 3), (5,)),
        (Accuracy(), (4,), (5,)),
        (TopK(2), (4, 3, 2), (4, 2)),
        (TopK(2), (4, 3), (4, 1)),
        (PerClass(), (4, 3), (4, 3, 1)),
        (MeanSquaredError(), (4, 1), (4,)),
        (MeanAbsoluteError(), (4, 3), (4, 1)),
        (R2(), (4,), (4, 1)),
    ],
    ids=lambda p: str(p) if isinstance(p, tuple) else type(p).__name__,
)
def test_shapes_that_do_not_belong_together(metric, output, target):
    with pytest.raises(ValueError, match=r"expected|takes"):
        metric.update(np.zeros(output), np.zeros(target))


def test_negative_classes_do_not_count():
    output, target = np.eye(3)[[0, 1, 2, 0]], np.array([0, -100, 1, -1])
    assert measured(Accuracy(), output, target) == 1 / 2
    assert measured(TopK(1), output, target) == 1 / 2
    assert measured(PerClass(), output, target)["confusion"] == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_a_class_beyond_the_outputs():
    with pytest.raises(ValueError, match="there is the class 3, but outputs for 3 classes only"):
        PerClass().update(np.eye(3), np.array([0, 1, 3]))


def test_top_0():
    with pytest.raises(ValueError, match="k is 0"):
        TopK(0)
