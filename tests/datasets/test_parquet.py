"""Tables in Parquet: what the same table in CSV is."""

import sys

import numpy as np
import pytest

from gpunn.datasets import DataError, expansion, load, load_inputs

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


def write(path, **columns):
    import pyarrow

    parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    return path


def test_it_is_what_a_csv_file_is(tmp_path):
    columns = {"a": [0.1, 2.5, 1e-7], "n": [1, -2, 3], "Target": ["x", "y", "x"]}
    path = write(tmp_path / "t.parquet", **columns)
    found = load(path)
    text = "a,n,Target\n" + "".join(f"{a},{n},{t}\n" for a, n, t in zip(*columns.values()))
    (tmp_path / "t.csv").write_text(text)
    expected = load(tmp_path / "t.csv")
    np.testing.assert_array_equal(found.x_train, expected.x_train)
    np.testing.assert_array_equal(found.y_train, [0, 1, 0])
    assert (found.classes, found.columns, found.target) == (["x", "y"], ["a", "n"], "Target")
    assert load(write(tmp_path / "r.PARQUET", a=[1.0, 2.0], b=[0.5, 1.5])).classes is None
    inputs = load_inputs(path, (2,), target="Target", columns=["n", "a"])
    np.testing.assert_array_equal(inputs.x, expected.x_train[:, ::-1])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.0, None], "y": [0, 1]}, "line 3"),
        ({"a": [1.0, float("nan")], "y": [0, 1]}, "line 3"),
        ({"a": [[1.0], [2.0]], "y": [0, 1]}, "line 2"),
        ({"a": [1.0, 2.0]}, "has one column"),
    ],
)
def test_what_is_no_table_of_numbers(tmp_path, columns, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path / "t.parquet", **columns))


def test_files_that_are_none(tmp_path, monkeypatch):
    path = write(tmp_path / "t.parquet", a=[1.0, 2.0], y=[0, 1])
    content = path.read_bytes()
    for damaged in (b"", content[:-9], b"PAR1" + bytes(40), content[:30] + bytes(20) + content[50:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"t\.parquet"):
            load(path)
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "none.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match="reading Parquet needs pyarrow: pip install pyarrow"):
        load(path)


def test_a_value_repeated_without_end(tmp_path, monkeypatch):
    import pyarrow

    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"a": np.zeros(10_000), "y": np.arange(10_000) // 5000}), path)
    monkeypatch.setattr(expansion, "ALWAYS", 1000)
    monkeypatch.setenv("GPUNN_MAX_EXPANSION", "2")
    with pytest.raises(DataError, match=r"would become 16\d,\d+ or more"):
        load(path)
