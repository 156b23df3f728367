import numpy as np
import pytest

from gpunn.datasets import DataError, from_npz

X = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
Y = np.array([0, 1, 2, 0, 1, 2])


def test_the_arrays_of_keras(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=X, y_train=Y[:, None], x_test=X[:2], y_test=Y[:2, None])
    data = from_npz(tmp_path / "set.npz")
    assert (data.name, data.input_shape, data.classes) == (str(tmp_path / "set.npz"), (1, 2, 2), ["0", "1", "2"])
    np.testing.assert_array_equal(data.x_train[:, 0], X)
    assert (data.y_train.tolist(), data.y_test.tolist()) == (Y.tolist(), [0, 1])


def test_x_and_y_alone_have_no_test_set(tmp_path):
    np.savez_compressed(tmp_path / "set.npz", x=X.astype(np.float32), y=Y / 2)
    data = from_npz(tmp_path / "set.npz")
    assert (data.task, data.outputs, data.x_test, data.y_test) == ("regression", 1, None, None)
    assert data.x_train.dtype == np.float32  # as stored
    np.testing.assert_array_equal(data.y_train[:, 0], Y / 2)


def test_text_labels_get_one_numbering_in_both_sets(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=X[:3], y_train=["b", "c", "b"], x_test=X[:2], y_test=["c", "a"])
    data = from_npz(tmp_path / "set.npz")
    assert (data.classes, data.y_train.tolist(), data.y_test.tolist()) == (["a", "b", "c"], [1, 2, 1], [2, 0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds the arrays none; expected x_train"),
        ({"a": X, "b": Y}, "holds the arrays a, b; expected x_train"),
        ({"x": X, "y": Y, "weights": Y}, "holds the arrays weights, x, y"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "holds the arrays x_test"),
        ({"x": X, "y": Y[:4]}, "6 inputs but 4 labels"),
        ({"x": X[:0], "y": Y[:0]}, "train set is empty"),
        ({"x": X, "y": Y - 1}, "y holds the label -1"),
        ({"x": np.full((6, 2), np.nan), "y": Y}, "x_train holds nan"),
        ({"x": np.array(["text"] * 6), "y": Y}, "expected integers or floats"),
        ({"x": X, "y": np.array(3)}, "y is a single value"),
        ({"x": np.array(3), "y": Y}, "x is a single number"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y / 2}, "have to be of one kind"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :1], "y_test": Y}, "test set have shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=rf"set\.npz: .*{message}"):
        from_npz(tmp_path / "set.npz")


def test_pickled_objects_are_not_loaded(tmp_path):
    np.savez(tmp_path / "set.npz", x=np.array([{}, {}], object), y=[0, 1])
    with pytest.raises(DataError, match="Python objects, which could run code"):
        from_npz(tmp_path / "set.npz")


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).integers(0, 9, (100, 50)), y=np.zeros(100, int))
    whole = path.read_bytes()
    for damaged in (b"", whole[:50], whole[: len(whole) // 2], b"text", whole[:300] + b"\0" * 50 + whole[350:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"set\.npz: truncated, damaged, or not an NPZ file"):
            from_npz(path)
    with pytest.raises(DataError, match=r"nothing\.npz: cannot be read \(No such file"):
        from_npz(tmp_path / "nothing.npz")
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(DataError, match="a single array"):
        from_npz(tmp_path / "one.npy")


def test_labels_in_bytes_are_text_in_utf_8(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=X[:3], y_train=["é", "c", "é"], x_test=X[:2], y_test=[b"c", "é".encode()])
    data = from_npz(tmp_path / "set.npz")
    assert (data.classes, data.y_train.tolist(), data.y_test.tolist()) == (["c", "é"], [1, 0, 1], [0, 1])
    np.savez(tmp_path / "set.npz", x=X, y=["é".encode("latin-1")] * 6)
    with pytest.raises(DataError, match=r"set\.npz: y holds text that is not in UTF-8"):
        from_npz(tmp_path / "set.npz")


def test_the_task_decides_what_integers_are(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=X, y_train=10 * Y, x_test=X[:1], y_test=[30])
    assert from_npz(tmp_path / "set.npz").classes == ["0", "10", "20", "30"]
    data = from_npz(tmp_path / "set.npz", "regression")
    assert (data.classes, data.y_train[:3].tolist(), data.y_test.tolist()) == (None, [[0], [10], [20]], [[30]])
    np.savez(tmp_path / "set.npz", x=X, y=10.0 * Y)
    assert from_npz(tmp_path / "set.npz").task == "regression"
    assert from_npz(tmp_path / "set.npz", "classification").classes == ["0", "10", "20"]
