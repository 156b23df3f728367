"""TOML. Python reads it since 3.11, but has nothing to write it with."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from gpunn.optional import needed

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def from_toml(text: str) -> dict[str, Any]:
    """What a TOML text says.

    Raises:
        ValueError: it is none.
        ImportError: this is Python 3.10, and tomli is not installed.
    """
    found: dict[str, Any] = needed("tomllib" if sys.version_info >= (3, 11) else "tomli", "reading TOML").loads(text)
    return found


def to_toml(table: Mapping[str, Any]) -> str:
    """A table of str, bool, int, float, lists of them, and tables of the same kind, as TOML 1.0 text.

    An entry that is None is left out, since TOML has no such value.

    Raises TypeError, with the place, for anything else.
    """
    return "\n".join(_lines(table, ())) + "\n"


def _lines(table: Mapping[str, Any], place: tuple[str, ...]) -> list[str]:
    entries = {key: value for key, value in table.items() if value is not None}
    lines = [f"{_key(key)} = {_value(v, (*place, key))}" for key, v in entries.items() if not isinstance(v, Mapping)]
    for key, value in entries.items():
        if isinstance(value, Mapping):
            path = (*place, key)
            lines += ([""] if lines else []) + [f"[{'.'.join(map(_key, path))}]", *_lines(value, path)]
    return lines


def _key(key: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of TOML is text, not {key!r}")
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _value(value: Any, place: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
        return repr(float(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(entry, place) for entry in value)}]"
    raise TypeError(f"{'.'.join(place)} is a {type(value).__name__}; TOML takes str, bool, int, float, lists, tables")


def _string(text: str) -> str:
    """A basic string: escapes are those of JSON, except that DEL is escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
