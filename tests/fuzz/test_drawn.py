"""What Hypothesis draws is written in a format, and read again as it was: by each reader, of files of any structure.

GPUNN_TRUST lets it draw as many times as often.
"""

from __future__ import annotations

import csv
import io
import math
import os
import struct
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gpunn
from gpunn.datasets import from_csv
from gpunn.datasets.idx import DTYPES, parse_idx
from gpunn.datasets.npy import parse_npy
from gpunn.train.json_lines import add_lines, read_lines
from gpunn.train.toml import from_toml, to_toml

EXAMPLES = 25 * int(os.environ.get("GPUNN_TRUST", "0")) or 12
pytestmark = pytest.mark.promise("what Hypothesis draws and a format can hold is read as it was written")

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats())
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
ARRAYS = st.sampled_from(["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"]).flatmap(
    lambda dtype: hnp.arrays(dtype, SHAPES)
)
TENSORS = ARRAYS.map(gpunn.from_numpy)


def nested(leaves: Any, keys: Any, *kinds: Callable[[Any], Any]) -> Any:
    """Dicts of lists of tuples of ..."""
    return st.recursive(
        leaves,
        lambda some: st.one_of(
            st.lists(some, max_size=3), st.dictionaries(keys, some, max_size=3), *(kind(some) for kind in kinds)
        ),
        max_leaves=8,
    )


def tuples(some: Any) -> Any:
    return st.lists(some, max_size=3).map(tuple)


STRUCTURES = nested(PLAIN | TENSORS | ARRAYS, TEXT | st.integers(), tuples)


def drawn(strategy: Any) -> Callable[[Any], Any]:
    """A test of values that are drawn, the same ones each time."""

    def decorate(test: Any) -> Any:
        def work(record_property: Any) -> None:
            checked = settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )(given(strategy)(test))
            checked()
            record_property("tried", EXAMPLES)

        work.__name__ = test.__name__
        return work

    return decorate


def same(a: Any, b: Any) -> bool:
    """The same types and, to the bit but for the kinds of NaN, the same values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, gpunn.Tensor):
        return same(a.numpy(), b.numpy())
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


def through(write: Callable[[Path], Any], read: Callable[[Path], Any], name: str = "t") -> Any:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        write(Path(folder) / name)
        return read(Path(folder) / name)


@drawn(STRUCTURES)
def test_safetensors(value: Any) -> None:
    assert same(through(lambda path: gpunn.save(value, path), gpunn.load), value)


@drawn(nested(PLAIN | TENSORS, TEXT | st.integers(), tuples))
def test_pt(value: Any) -> None:
    assert same(through(lambda path: gpunn.save(value, path), gpunn.load, "t.pt"), value)


@drawn(ARRAYS.flatmap(lambda array: st.sampled_from([array, np.asfortranarray(array)])))
def test_npy(array: Any) -> None:
    file = io.BytesIO()
    np.save(file, array)
    assert same(parse_npy(bytearray(file.getvalue()), "t"), array)


@drawn(st.sampled_from(sorted(DTYPES)).flatmap(lambda code: st.tuples(st.just(code), hnp.arrays(DTYPES[code], SHAPES))))
def test_idx(drawn: Any) -> None:
    code, array = drawn
    array = array[None]
    content = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()
    assert same(parse_idx(content, "t"), array.astype(array.dtype.newbyteorder("=")))


VALUES = st.booleans() | NUMBERS | TEXT
TABLES = st.recursive(
    VALUES | st.lists(VALUES, max_size=3), lambda some: st.dictionaries(TEXT, some, max_size=3), max_leaves=8
)


def tables_last(value: Any) -> Any:
    """The order in which TOML has entries."""
    if not isinstance(value, dict):
        return value
    return dict(sorted(((k, tables_last(v)) for k, v in value.items()), key=lambda entry: isinstance(entry[1], dict)))


@drawn(st.dictionaries(TEXT, TABLES, max_size=4))
def test_toml(value: Any) -> None:
    assert same(from_toml(to_toml(value)), tables_last(value))


@drawn(st.lists(st.dictionaries(TEXT, PLAIN, max_size=3), max_size=4))
def test_metrics(rows: Any) -> None:
    """JSON has no infinities and no NaN: null stands for them."""
    found = through(lambda path: [add_lines(path, [row]) for row in rows] or path.touch(), read_lines)
    lacked = [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()} for row in rows]
    assert same(found, lacked)


@drawn(
    st.tuples(
        st.lists(TEXT.filter(str.strip), min_size=1, max_size=3, unique=True),
        st.lists(st.lists(st.floats(-1e30, 1e30), min_size=4, max_size=4), min_size=1, max_size=4),
        st.sampled_from(",;\t"),
    )
)
def test_csv(drawn: Any) -> None:
    names, rows, delimiter = drawn
    names = [f"x{i}{name}" for i, name in enumerate(names)]

    def write(path: Path) -> None:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC)
            writer.writerow([*names, "y"])
            writer.writerows([*row[: len(names)], row[3]] for row in rows)

    found = through(write, lambda path: from_csv(path, task="regression"), "t.csv")
    assert found.columns == [unicodedata.normalize("NFC", name.strip()) for name in names]
    np.testing.assert_array_equal(found.x_train, np.array([row[: len(names)] for row in rows]))
    np.testing.assert_array_equal(found.y_train[:, 0], [row[3] for row in rows])
