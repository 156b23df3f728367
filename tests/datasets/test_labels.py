"""What labels mean: classes by name, or targets."""

import numpy as np
import pytest

from gpunn.datasets import Arrays, DataError
from gpunn.datasets.labels import as_labels, listed


def test_text_is_numbered_in_sorted_order():
    y, classes = as_labels(np.array(["cat", "ant", "cat", "bee"]), "y")
    assert (y.tolist(), y.dtype, classes) == ([2, 0, 2, 1], np.int64, ["ant", "bee", "cat"])


@pytest.mark.parametrize(
    ("stored", "indices", "classes"),
    [
        ([0, 10, 20, 10], [0, 1, 2, 1], ["0", "10", "20"]),
        ([2, 1, 10], [1, 0, 2], ["1", "2", "10"]),  # in the order of numbers, not of text
        ([7, 7, 3], [1, 1, 0], ["3", "7"]),
        ([2024, 0, 123456789], [1, 0, 2], ["0", "2024", "123456789"]),
        ([True, False, True], [1, 0, 1], ["False", "True"]),
        (np.array([[2], [0], [2]], np.uint8), [1, 0, 1], ["0", "2"]),
        (np.array([2**63 + 1, 5], np.uint64), [1, 0], ["5", "9223372036854775809"]),
    ],
    ids=str,
)
def test_whole_numbers_are_classes_without_those_between(stored, indices, classes):
    y, names = as_labels(np.array(stored), "y")
    assert (y.tolist(), y.dtype, names) == (indices, np.int64, classes)


@pytest.mark.parametrize("text", ["Käse", "日本", "пиво", "naïve café", ""])
def test_bytes_are_text_in_utf_8(text):
    stored = np.array([text.encode(), b"ant"])
    y, classes = as_labels(stored, "y")
    assert [classes[i] for i in y] == [text, "ant"]


def test_bytes_in_another_encoding_are_refused():
    with pytest.raises(DataError, match=r"^y holds text that is not in UTF-8 \(.*0xe4"):
        as_labels(np.array(["Käse".encode("latin-1")]), "y")


def test_floats_are_targets():
    y, classes = as_labels(np.array([1.0, 2.0], np.float32), "y")
    assert (y.tolist(), y.dtype, classes) == ([[1], [2]], np.float32, None)
    assert as_labels(np.ones((3, 2)), "y")[0].shape == (3, 2)


def test_the_task_decides_what_whole_numbers_are():
    for stored in (np.array([3, 1, 3]), np.array([3.0, 1.0, 3.0]), np.array([[3], [1], [3]], np.int8)):
        y, classes = as_labels(stored, "y", "regression")
        assert (y.tolist(), classes) == ([[3], [1], [3]], None)
        y, classes = as_labels(stored, "y", "classification")
        assert (y.tolist(), classes) == ([1, 0, 1], ["1", "3"])
    y, classes = as_labels(np.array([[1, 2], [3, 4]]), "y", "regression")
    assert (y.tolist(), y.dtype, classes) == ([[1, 2], [3, 4]], np.float64, None)


def test_the_task_does_not_make_text_numbers_nor_fractions_classes():
    assert as_labels(np.array(["a", "b"]), "y", "regression")[1] == ["a", "b"]
    assert as_labels(np.array([0.5, 1.0]), "y", "classification")[1] is None
    assert as_labels(np.array([1e300, 1.0]), "y", "classification")[1] is None  # beyond the integers


def test_integers_that_may_be_amounts_need_a_task():
    ages, counted, sparse = np.arange(18, 91), np.arange(1, 74), np.arange(0, 220, 20)
    for doubtful in (ages, np.repeat(ages, 100), counted, np.repeat(counted, 4), np.repeat(sparse, 100)):
        with pytest.raises(
            DataError, match=r"\d+ different whole numbers from .* in \d+ samples, .*'regression'.*--task"
        ):
            as_labels(doubtful, "y")
    for clear in (counted, counted - 1, np.delete(counted, slice(9, 40))):
        assert as_labels(np.repeat(clear, 5), "y")[1] == [str(number) for number in clear]
    assert len(as_labels(1000 * np.arange(10), "y")[1]) == 10
    assert len(as_labels(ages, "y", "classification")[1]) == 73
    with pytest.raises(DataError, match=r"the label -1; classes are numbered from 0.*--task"):
        as_labels(np.array([-1, 1]), "y")
    assert as_labels(np.array([-1, 1]), "y", "classification")[1] == ["-1", "1"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.ones((3, 3), int), r"shape \(3, 3\); expected class labels"),
        (np.ones((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.array([1j, 2j]), "complex128"),
        (np.array(["2020-01-01"], "datetime64[D]"), "datetime64"),
        (np.array([2**70]), "dtype object"),
        (np.array([["a", "b"]]), "dtype <U1"),
        (np.array([1.0, np.nan]), r"holds nan at \[1\]"),
    ],
)
def test_labels_that_make_no_sense_are_refused(y, message):
    with pytest.raises(DataError, match=f"^y .*{message}"):
        as_labels(y, "y")


X = np.zeros((3, 2))


def test_classes_of_another_data_set_are_found_by_name():
    new = Arrays("new", X, np.array([0, 1, 0]), X[:1], np.array([1]), classes=["bee", "cow"])
    matched = new.with_classes(["ant", "bee", "cow"])
    assert (matched.y_train.tolist(), matched.y_test.tolist()) == ([1, 2, 1], [2])
    assert matched.classes == ["ant", "bee", "cow"]
    assert new.with_classes(["cow", "bee"]).y_train.tolist() == [1, 0, 1]


def test_samples_of_unknown_classes_are_refused_and_empty_classes_are_not():
    new = Arrays("new", X, np.array([0, 1, 2]), classes=["bee", "cow", "dog"])
    with pytest.raises(DataError, match=r"^new: has samples of the classes cow, dog; expected ant, bee$"):
        new.with_classes(["ant", "bee"])
    of_test = Arrays("new", X, np.zeros(3, int), X, np.full(3, 2), classes=["bee", "cow", "dog"])
    with pytest.raises(DataError, match="classes dog;"):
        of_test.with_classes(["bee", "cow"])
    some = Arrays("new", X, np.array([0, 0, 0]), classes=["bee", "cow", "dog"])
    assert some.with_classes(["ant", "bee"]).y_train.tolist() == [1, 1, 1]


def test_long_lists_are_cut():
    assert listed("abc") == "a, b, c"
    assert listed(range(20), most=3) == "0, 1, 2, and 17 more"


@pytest.mark.parametrize("dtype", [float, np.float32, int, np.uint8, bool])
def test_one_hot_rows_are_refused_unless_they_are_amounts(dtype):
    y = np.eye(3)[[2, 0, 1, 1]].astype(dtype)
    for task in (None, "classification"):
        with pytest.raises(DataError, match=r"y holds one 1 in each row, .* their numbers, y.argmax\(1\)"):
            as_labels(y, "y", task)
    targets, classes = as_labels(y, "y", "regression")
    np.testing.assert_array_equal(targets, y)
    assert classes is None


def test_rows_of_several_ones_and_columns_of_ones_are_no_one_hot_rows():
    for y in ([[1.0, 1], [0, 1]], [[0.5, 0.5], [1, 0]], [[0.0, 0], [1, 0]], [[1.0], [1]]):
        assert as_labels(np.array(y), "y")[1] is None
