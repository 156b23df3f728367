"""Inputs to predict for are read from all that training reads, and from the same without labels."""

import numpy as np
import pytest

from gpunn.datasets import DataError, load_inputs

X = np.arange(24.0).reshape(6, 4)
IMAGES = np.arange(5 * 1 * 3 * 4, dtype=np.uint8).reshape(5, 1, 3, 4)


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """Inputs of the shape (4,) from a source in an empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)

    def inputs(source, shape=(4,), **known):
        return load_inputs(source, shape, **known).x

    return inputs


def table(x, delimiter=","):
    return "".join(delimiter.join(map(str, row)) + "\n" for row in x)


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.Csv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables(inputs, tmp_path, name, delimiter):
    (tmp_path / name).write_text(table(X, delimiter))
    np.testing.assert_array_equal(inputs(name), X)


def test_a_table_with_labels(inputs, tmp_path):
    (tmp_path / "t.csv").write_text("label,d,c,b,a\n" + table(np.hstack([np.ones((6, 1)), X[:, ::-1]])))
    np.testing.assert_array_equal(inputs("t.csv", columns=list("abcd"), target="label"), X)


@pytest.mark.parametrize("name", ["t.npy", "t.NPY"])
def test_arrays(inputs, tmp_path, name):
    for shape, stored in {
        (4,): X,
        (1,): X[:, 0],
        (1, 3, 4): IMAGES,
        (3, 8, 5): np.ones((2, 8, 5, 3)),
    }.items():
        with open(tmp_path / name, "wb") as file:
            np.save(file, stored)
        assert inputs(name, shape).shape == (len(stored), *shape)


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((4,), X[2]),
        ((1, 3, 4), IMAGES[2]),
        ((1, 3, 4), IMAGES[2, 0]),
        ((3, 8, 5), np.arange(120.0).reshape(3, 8, 5)),
        ((3, 8, 5), np.arange(120.0).reshape(8, 5, 3)),
    ],
)
def test_one_sample(inputs, tmp_path, shape, stored):
    np.save(tmp_path / "t.npy", stored)
    x = inputs("t.npy", shape)
    assert x.shape == (1, *shape)
    assert x.sum() == stored.sum()


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": X},
        {"x": X, "y": np.array(["labels of any kind"] * 6)},
        {"x_train": X[:4], "y_train": np.zeros(4), "x_test": X[4:], "y_test": np.zeros(2)},
        {"x_train": X},
    ],
    ids=lambda arrays: " ".join(arrays),
)
@pytest.mark.parametrize("name", ["t.npz", "t.NPZ"])
def test_several_arrays(inputs, tmp_path, name, arrays):
    with open(tmp_path / name, "wb") as file:
        np.savez(file, **arrays)
    np.testing.assert_array_equal(inputs(name), X)


def test_images_are_called_by_their_files(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(tmp_path)
    flat, sorted_in = tmp_path / "flat", tmp_path / "sorted"
    for file in (flat / "b.png", flat / "a.PNG", sorted_in / "train" / "cat" / "1.png", sorted_in / "test" / "dog.png"):
        file.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(np.full((3, 4), len(file.name), np.uint8)).save(file)
    (flat / "notes.txt").touch()
    (flat / ".hidden.png").touch()
    (flat / ".cache").mkdir()
    (flat / ".cache" / "c.png").touch()
    assert load_inputs("flat", (1, 3, 4)).files == ["a.PNG", "b.png"]
    found = load_inputs("sorted", (1, 3, 4))
    assert found.files == ["test/dog.png", "train/cat/1.png"]
    assert found.x[:, 0, 0, 0].tolist() == [7, 5]
    one = load_inputs("flat/b.png", (1, 3, 4))
    assert (one.files, one.x.shape) == (["flat/b.png"], (1, 1, 3, 4))
    assert load_inputs("flat/b.png", (3, 6, 7), size=(6, 7)).x.shape == (1, 1, 6, 7)


def test_data_sets(inputs):
    x = inputs("digits", (1, 8, 8))
    assert x.shape == (1797, 1, 8, 8)


def test_what_is_no_input_is_refused(inputs, tmp_path):
    def refused(name, message):
        with pytest.raises(DataError, match=f"{name}.*{message}"):
            inputs(name)

    with pytest.raises(DataError, match=r"there is no data set, file or folder 'nothing\.csv'"):
        inputs("nothing.csv")
    for bad, message in (
        (X + 1j, "complex128"),
        (np.where(X == 5, np.nan, X), r"holds nan at \[1, 1\]"),
        (X[:0], "holds no sample"),
        (X.astype("U9"), "dtype <U9"),
        (X.astype("M8[s]"), "datetime64"),
        (np.array(3.0), "single number"),
    ):
        np.save(tmp_path / "t.npy", bad)
        np.savez(tmp_path / "t.npz", x=bad)
        refused("t.npy", message)
        refused("t.npz", message)
    (tmp_path / "t.npy").write_bytes(b"text")
    refused("t.npy", "truncated, damaged, or not an NPY file")
    np.savez(tmp_path / "t.npz", x=X)
    (tmp_path / "t.npz").rename(tmp_path / "t.npy")
    refused("t.npy", "truncated, damaged, or not an NPY file")
    np.savez(tmp_path / "t.npz", inputs=X)
    refused("t.npz", "holds the arrays inputs; expected x")
    np.savez(tmp_path / "t.npz", x_train=X, x_test=X[:, :2])
    refused("t.npz", r"shapes \(4,\) and \(2,\)")
    (tmp_path / "t.xlsx").touch()
    refused("t.xlsx", r"its ending is '\.xlsx'")
    (tmp_path / "empty").mkdir()
    refused("empty", "holds no images")
    (tmp_path / "t.csv").write_text("1,2,3,oops\n")
    refused("t.csv", "column 4 holds 'oops'")
