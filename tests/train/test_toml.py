"""What is written as TOML is read back by Python's own reader."""

import math
import sys

import pytest

from gpunn.train.toml import to_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"a": 1, "b": -2.5, "c": True, "d": False, "e": "text"},
        {"big": 2**63 - 1, "tiny": 5e-324, "huge": 1.7e308, "whole": 1.0, "small": 1e-7, "inf": -math.inf},
        {"text": "quotes \" and ' and \\, a\ttab, lines\r\n, \x00\x1b\x7f, é, 漢字, 😀, # no comment"},
        {"": 1, "a key": 2, "dotted.key": 3, 'quo"te': 4, "ключ": 5, "a-b_C9": 6},
        {"list": [], "numbers": [1, 2, 3], "mixed": [1, "a", 2.5, True], "nested": [[1], [2, [3]]]},
        {"top": 1, "table": {"x": 1, "inner": {"y": [1.5]}}, "other": {"z": "w"}},
        {"table": {"x": 1}, "after": "a plain entry that comes after a table"},
        {"empty": {}, "deep": {"er": {}}},
    ],
    ids=range(9),
)
def test_tables_come_back(table):
    back = tomllib.loads(to_toml(table))
    assert back == table
    assert {k: type(v) for k, v in back.items()} == {k: type(v) for k, v in table.items()}


def test_nan_comes_back():
    assert math.isnan(tomllib.loads(to_toml({"x": math.nan}))["x"])


def test_tuples_become_lists_and_none_is_left_out():
    assert tomllib.loads(to_toml({"betas": (0.9, 0.999), "clip": None})) == {"betas": [0.9, 0.999]}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"a": {"b": object()}}, r"a\.b is a object; TOML takes"),
        ({"a": [1, None]}, "a is a NoneType"),
        ({3: 1}, "a key of TOML is text, not 3"),
    ],
)
def test_other_values_are_refused(table, message):
    with pytest.raises(TypeError, match=message):
        to_toml(table)
