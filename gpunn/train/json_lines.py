"""Files of rows, an object of JSON on each line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpunn import io
from gpunn.train.history import TIMING

Row = dict[str, Any]


def write_lines(path: Path, rows: Sequence[Row]) -> None:
    """Make a file hold these rows."""
    io.write_text(path, "".join(io.json_text(row) + "\n" for row in rows))


def add_lines(path: Path, rows: Sequence[Row]) -> None:
    """Add rows to a file."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(io.json_text(row) + "\n" for row in rows))
    except OSError as error:  # a full disk's names no file
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_lines(path: Path) -> list[Row]:
    """The rows in a file; a last line that was not finished is left out.

    Raises io.FileFormatError where a line is no object of JSON.
    """
    return [_row(line, f"{path}, line {n}") for n, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1)]


def is_epoch(row: Row) -> bool:
    """Whether a row is an epoch's: with what each has, and with numbers that are numbers to other programs too."""
    epoch, known = row.get("epoch"), [row.get(name) for name in ("lr", *TIMING)]
    large = (v for v in row.values() if isinstance(v, int) and abs(v) >= 2**63)
    return type(epoch) is int and epoch > 0 and all(type(v) in (int, float) for v in known) and not any(large)


def _row(line: bytes, place: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError among the first
        raise io.FileFormatError(f"{place}: no JSON ({error})") from None
    if not isinstance(row, dict):
        raise io.FileFormatError(f"{place}: {type(row).__name__}; expected an object")
    return row
