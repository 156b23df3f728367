import numpy as np
import pytest

from gpunn.datasets import Arrays, DataError, standardise, stratified_split
from gpunn.datasets.arrays import as_inputs, moments

X = np.arange(12, dtype=np.uint8).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])
CLASSES = ["a", "b", "c"]


def test_what_the_arrays_say_of_themselves():
    data = Arrays("set", X, Y, X[:2], Y[:2], CLASSES)
    assert (data.task, data.input_shape, data.outputs) == ("classification", (2,), 3)
    regression = Arrays("set", X, np.ones((6, 4)))
    assert (regression.task, regression.outputs, regression.classes) == ("regression", 4, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:0], Y[:0]), "train set is empty"),
        ((X, Y[:5]), "6 inputs but 5 labels"),
        ((X, Y, X), "one of them is missing"),
        ((X, Y, X[:, :1], Y), r"test set have shape \(1,\).*training set, \(2,\)"),
        ((X[:, :0], Y), "and not empty"),
        ((np.where(X == 5, np.nan, X), Y), r"x_train holds nan at \[2, 1\]"),
        ((np.where(X == 5, np.inf, X), Y), "x_train holds inf"),
        ((X.astype(object), Y), "dtype object"),
        ((X, Y - 1), "the label -1; expected 0 to 2"),
        ((X, Y + 1), "the label 3; expected 0 to 2"),
        ((X, Y.astype(float)), "expected int64 class indices"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(DataError, match=f"^set: .*{message}"):
        Arrays("set", *arguments, classes=CLASSES)


def test_targets_of_a_regression_are_a_column_of_floats_each():
    with pytest.raises(DataError, match=r"y_train is float64 \(6,\); expected floats of shape \(n, targets\)"):
        Arrays("set", X, np.ones(6))


def test_moments_of_a_table_are_per_feature_and_those_of_images_per_channel():
    rng = np.random.default_rng(0)
    table = rng.normal(1e6, 3, (3000, 4))  # more than one slice; a large mean, where naive formulas cancel
    mean, std = moments(table)
    np.testing.assert_allclose(mean, table.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, table.std(0), rtol=1e-9)

    images = rng.integers(0, 256, (20, 3, 5, 4), np.uint8)
    mean, std = moments(images)
    assert mean.shape == std.shape == (3, 1, 1)
    np.testing.assert_allclose(mean[:, 0, 0], [images[:, channel].mean() for channel in range(3)], rtol=1e-12)
    np.testing.assert_allclose(std[:, 0, 0], [images[:, channel].std() for channel in range(3)], rtol=1e-12)

    flat = images.reshape(20, -1)
    np.testing.assert_allclose(moments(flat), [flat.mean(), flat.std()], rtol=1e-12)


def test_only_the_training_set_has_a_part_in_the_moments():
    data = Arrays("set", X, Y, np.full((3, 2), 200, np.uint8), Y[:3], CLASSES)
    assert (float(data.mean), float(data.std)) == pytest.approx((5.5, np.sqrt((12**2 - 1) / 12)))  # of 0, 1, ..., 11


def test_standardise_gives_mean_0_and_deviation_1():
    x = np.random.default_rng(1).normal(1.7e9, 5, (500, 3))  # seconds since 1970: float32 alone would lose them
    out = standardise(x, *moments(x))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(out.std(0), 1, rtol=1e-4)


def test_standardise_of_bytes_is_scaling():
    out = standardise(np.array([[0, 51, 255]], np.uint8), 0, 255)
    np.testing.assert_array_equal(out, np.array([[0, 0.2, 1]], np.float32))


def test_a_feature_that_never_varies_becomes_zero():
    x = np.array([[7.0, 1.0], [7.0, 3.0]])
    np.testing.assert_array_equal(standardise(x, *moments(x)), [[0, -1], [0, 1]])


@pytest.mark.parametrize("value", [0.1, 1 / 3, -1e-30, 1.7e9 + 0.1])
@pytest.mark.parametrize("count", [3, 300, 5000])
def test_the_mean_of_equal_numbers_is_rounded_and_they_do_not_vary(value, count):
    mean, std = moments(np.full((count, 2), value))
    np.testing.assert_allclose(mean, [value, value], rtol=1e-12)
    assert std.tolist() == [1, 1]


def test_what_varies_little_beside_its_mean_still_varies():
    x = 1e9 + np.array([[0.0], [0.01]])
    np.testing.assert_allclose(moments(x)[1], [0.005], rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-40, 1.0, 1e36, 1e200, 1e307])
def test_numbers_of_any_size_have_moments(scale):
    """Those of -3, 1, 2, 4 are 1 and the root of (16 + 0 + 1 + 9) / 4. Their squares leave the range of float64."""
    x = np.array([[-3.0, 5], [1, 6], [2, 7], [4, 8]]) * [scale, 1]
    mean, std = moments(x)
    np.testing.assert_allclose(mean, [scale, 6.5], rtol=1e-15)
    np.testing.assert_allclose(std, [scale * np.sqrt(26 / 4), np.sqrt(5 / 4)], rtol=1e-15)
    standardised = np.array([-4, 0, 1, 3]) / np.sqrt(26 / 4)
    np.testing.assert_allclose(standardise(x, mean, std)[:, 0], standardised, rtol=1e-6, atol=1e-15)


def test_powers_of_two_change_no_bit_of_the_moments():
    x = np.random.default_rng(2).normal(3, 2, (3000, 4))
    for power in (-900, -3, 1, 700):
        for ours, scaled in zip(moments(x), moments(np.ldexp(x, power))):
            np.testing.assert_array_equal(np.ldexp(ours, power), scaled)


@pytest.mark.parametrize("x", [1e39, -1e300, np.float32(1e38), 1.79e308])
def test_standardise_refuses_what_float32_does_not_hold(x):
    with pytest.raises(DataError, match="are too far from the mean for float32"):
        standardise(np.array([[0.0], [x]], np.asarray(x).dtype), 1.0, 1e-3)


@pytest.mark.parametrize("std", [0, -1, np.nan, [1, 0]])
def test_standardise_refuses_a_deviation_that_is_none(std):
    with pytest.raises(DataError, match="std has to be positive"):
        standardise(X, 0, std)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ((5,), (5, 1)),
        ((5, 7), (5, 7)),
        ((5, 28, 28), (5, 1, 28, 28)),
        ((5, 28, 28, 1), (5, 1, 28, 28)),
        ((5, 32, 32, 3), (5, 3, 32, 32)),
        ((5, 3, 32, 32), (5, 3, 32, 32)),
        ((5, 3, 8, 3), (5, 3, 8, 3)),
    ],
)
def test_images_come_channels_first(stored, expected):
    x = np.arange(np.prod(stored)).reshape(stored)
    inputs = as_inputs(x, "x")
    assert inputs.shape == expected
    if stored[-1] == 3 and stored[1] != 3:
        np.testing.assert_array_equal(inputs[2, 1], x[2, :, :, 1])


def test_a_stratified_split_takes_the_same_part_of_each_class_and_is_always_the_same():
    y = np.repeat([0, 1, 2], [100, 50, 10])
    rest, held_out = stratified_split(y, 0.2, seed=3)
    assert np.bincount(y[held_out]).tolist() == [20, 10, 2]
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, held_out])), np.arange(160))
    np.testing.assert_array_equal(held_out, stratified_split(y, 0.2, seed=3)[1])
    assert held_out.tolist() != stratified_split(y, 0.2, seed=4)[1].tolist()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_a_split_leaves_something_on_both_sides(fraction):
    with pytest.raises(DataError, match="fraction"):
        stratified_split(Y, fraction)
    with pytest.raises(DataError, match="too few"):
        stratified_split(Y, 0.1)
