"""Tables of numbers with one column of labels, as CSV or Parquet."""

from __future__ import annotations

import csv
import math
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from gpunn.datasets.arrays import Arrays
from gpunn.datasets.errors import DataError
from gpunn.datasets.expansion import check_expansion
from gpunn.datasets.labels import Array, Task, as_labels, composed, listed

if TYPE_CHECKING:
    from _csv import Reader

TABLES = (".csv", ".parquet")
"""The endings of tables."""
LABEL_NAMES = ("label", "target", "class", "y")


@dataclass(frozen=True)
class Layout:
    """What the columns of a table are.

    names:    of all columns, None where the first line is no header
    width:    the number of columns
    label:    the column of labels, None where there is none
    features: the other columns, in the order that is wanted
    """

    names: list[str] | None
    width: int
    label: int | None
    features: list[int]

    def column(self, index: int) -> str:
        """A column, for a message."""
        return f"column {index + 1}" if self.names is None else f"column {self.names[index]!r}"


def from_csv(
    path: str | Path,
    *,
    target: str | None = None,
    task: Task | None = None,
    columns: Sequence[str] | None = None,
) -> Arrays:
    """A data set from a table of numbers with one column of labels, delimited by comma, semicolon or tab; or in
    Parquet, read by pyarrow, whose values are taken as a CSV file would have them, below the names of the columns.

    The first line is a header if one of its names is label, target, class or y (in any case), or none of them is a
    number; where it may be a sample as well, that is an error. A number is what NumPy's loadtxt reads as one. Text as
    labels gives classes, its distinct values in sorted order; whole numbers (7, not 7.0) likewise; decimal fractions
    are the targets of a regression.

    target:  the column of labels, by its name or, counted from 1, by its number; if not given the column with the
             first of those four names, else the last one
    task:    what whole numbers as labels are, "classification" or "regression", see `as_labels`
    columns: the names of all other columns, in the order in which they are wanted

    Raises DataError, with the line, where a cell is no finite number, lines differ in length, or nothing is left;
    and, with their names, where columns are missing, not expected or twice there.
    """
    path, target, columns = str(path), target and composed(target), columns and [composed(name) for name in columns]
    with _open(path) as reader:
        first, rows = _first(reader, path)
        names = _header(first[1], target, columns, path)
        if len(first[1]) < 2:
            raise DataError(
                f"{path}: has one column; expected features and a label, delimited by comma, semicolon or tab"
            )
        label = _label(names, len(first[1]), target, path)
        layout = Layout(names, len(first[1]), label, _features(names, len(first[1]), label, columns, path))
        x, labels = _read(rows if names else chain([first], rows), layout, path)
    y, classes = _as_labels(labels, f"{path}: {layout.column(label)}", task)
    features = None if names is None else [names[i] for i in layout.features]
    return Arrays(path, x, y, classes=classes, columns=features, target=None if names is None else names[label])


def features_from_csv(
    path: str | Path, count: int, *, target: str | None = None, columns: Sequence[str] | None = None
) -> Array:
    """The features (n, count) of a table as `from_csv` reads it; labels may be there or not, all or some.

    count:   the number of features
    columns: their names, in the order in which they are wanted

    Raises DataError as `from_csv` does.
    """
    path, target, columns = str(path), target and composed(target), columns and [composed(name) for name in columns]
    with _open(path) as reader:
        first, rows = _first(reader, path)
        width, names = len(first[1]), _header(first[1], target, columns, path)
        label = None
        if names is not None and columns is not None:
            label = names.index(target) if target in names and target not in columns else None
        elif width == count + 1:
            label = _label(names, width, target, path)
        elif width != count:
            raise DataError(f"{path}: has {width} columns; expected {count} features")
        layout = Layout(names, width, label, _features(names, width, label, columns, path))
        x, _ = _read(rows if names else chain([first], rows), layout, path, labelled=False)
    return x


class _Parquet:
    """The rows of a Parquet file, as `csv.reader` gives those of a CSV file: the names of the columns first."""

    def __init__(self, path: str):
        try:
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise DataError(f"{path}: reading Parquet needs pyarrow: pip install pyarrow") from error
        if os.path.getsize(path) == 0:
            raise DataError(f"{path}: the file is empty")
        self.file = ParquetFile(path)
        expanded = sum(
            self.file.metadata.row_group(i).total_byte_size for i in range(self.file.metadata.num_row_groups)
        )
        self.path, self.stored = path, os.path.getsize(path)
        check_expansion(path, self.stored, expanded)
        self.line_num = 0

    def __iter__(self) -> Iterator[list[str]]:
        self.line_num += 1
        yield list(self.file.schema_arrow.names)
        read = 0
        for batch in self.file.iter_batches():
            # A value that is repeated takes next to nothing in the file, of which its metadata tell.
            read += max(batch.nbytes, 8 * batch.num_rows * batch.num_columns)
            check_expansion(self.path, self.stored, read)
            for row in zip(*(column.to_pylist() for column in batch.columns)):
                self.line_num += 1
                yield ["" if value is None else value if isinstance(value, str) else repr(value) for value in row]


@contextmanager
def _open_parquet(path: str) -> Iterator[_Parquet]:
    try:
        yield _Parquet(path)
    except OSError as error:
        if error.strerror:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        raise DataError(f"{path}: truncated, damaged, or not a Parquet file ({error})") from error
    except DataError:
        raise
    except ValueError as error:  # pyarrow's errors are of this kind
        raise DataError(f"{path}: truncated, damaged, or not a Parquet file ({error})") from error


def _open(path: str) -> AbstractContextManager[Reader | _Parquet]:
    return _open_parquet(path) if path.lower().endswith(".parquet") else _open_csv(path)


@contextmanager
def _open_csv(path: str) -> Iterator[Reader]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = re.sub(r'"[^"]*"', "", _first_row(file))  # as it would be without texts in quotes
            file.seek(0)
            # Beside semicolons or tabs, commas may be decimal ones.
            delimiter = max(";", "\t", key=first.count) if ";" in first or "\t" in first else ","
            yield csv.reader(file, delimiter=delimiter, strict=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8 ({error})") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file ({error})") from error


def _first_row(file: IO[str]) -> str:
    """The lines up to the first end of one that is not in quotes."""
    lines, quotes = [], 0
    for line in file:
        lines.append(line)
        quotes += line.count('"')
        if quotes % 2 == 0:
            break
    return "".join(lines)


Row = tuple[int, list[str]]
"""The number of a line, and its cells."""


def _first(reader: Reader | _Parquet, path: str) -> tuple[Row, Iterator[Row]]:
    """The first line and an iterator over the others; Excel's line ``sep=;``, which says what parts cells, is none."""
    rows = (
        (reader.line_num, row)
        for row in reader
        if row and not (reader.line_num == 1 and row == ["sep=", ""])  # a blank line is an empty row
    )
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: the file is empty")
    return first, rows


def _header(cells: list[str], target: str | None, columns: Sequence[str] | None, path: str) -> list[str] | None:
    """The names of the columns, None where these cells are numbers; an error where names are expected."""
    names = [composed(cell.strip()) for cell in cells]
    numbers = [name for name in names if _is_number(name)]
    # Columns may be numbered, but beside decimal fractions a y is a yes.
    telling = LABEL_NAMES if all(name.isdigit() for name in numbers) else LABEL_NAMES[:-1]
    known = any(name.lower() in telling for name in names) or (target in names and target not in numbers)
    expected = columns is not None and set(columns) <= set(names)  # names that are numbers are known by this alone
    if known or expected or not numbers:
        return names
    if columns is not None:
        raise DataError(f"{path}: has no header; expected one with {listed(columns)}")
    if len(names) > 2 and names == [str(i) for i in range(len(names))]:
        raise DataError(
            f"{path}: its first line counts from 0 to {names[-1]}, as a header of numbered columns or as a sample; "
            "leave such a header out (pandas: to_csv(..., header=False)), or put a line of names above the sample"
        )
    return None


def _label(names: list[str] | None, width: int, target: str | None, path: str) -> int:
    """The column of labels."""
    if names is not None and "" in names:
        raise DataError(
            f"{path}: column {names.index('') + 1} has no name; if it only counts the rows, leave it out "
            "(pandas: to_csv(..., index=False))"
        )
    if target is None:
        lowered = [name.lower() for name in names or ()]
        return next((lowered.index(name) for name in LABEL_NAMES if name in lowered), width - 1)
    if names is not None and target in names:
        return names.index(target)
    if target.isascii() and target.isdigit() and 1 <= int(target) <= width:
        return int(target) - 1
    there = f"the columns 1 to {width}, without names" if names is None else listed(names)
    raise DataError(f"{path}: has no column {target!r} for the labels; there are {there}")


def _features(
    names: list[str] | None, width: int, label: int | None, columns: Sequence[str] | None, path: str
) -> list[int]:
    """All columns but that of the labels, in the order of `columns`."""
    found = [i for i in range(width) if i != label]
    if names is None:
        return found
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: has more than one column called {listed(map(repr, twice))}")
    if columns is None:
        return found
    wrong = [
        f"{what} {listed(map(repr, some))}"
        for what, some in (
            ("lacks the columns", [name for name in columns if name not in names]),
            ("has the unknown columns", [names[i] for i in found if names[i] not in columns]),
        )
        if some
    ]
    if wrong:
        raise DataError(f"{path}: {' and '.join(wrong)}; expected {listed(columns)}")
    return [names.index(name) for name in columns]


def _read(rows: Iterator[Row], layout: Layout, path: str, *, labelled: bool = True) -> tuple[Array, list[str]]:
    """The features (n, f) in their order, and the labels as text, none where there is no such column.

    labelled: whether each row has to have a label
    """
    features, labels, label, count = array("d"), [], layout.label, 0
    for line, row in rows:
        where, count = f"{path}: line {line}", count + 1
        if len(row) != layout.width:
            raise DataError(f"{where} has {len(row)} cells; expected {layout.width}, as in the first line")
        cells = row if label is None else row[:label] + row[label + 1 :]
        if label is not None:
            labels.append(row[label].strip())
        values = _numbers(cells)
        if values is None or (label is not None and labelled and not labels[-1]) or not math.isfinite(sum(values)):
            _check_cells(row, layout, where, labelled)
        features.extend(values or ())
    if not count:
        raise DataError(f"{path}: has a header but no rows")
    if label is not None and layout.names and layout.names[label] in labels and any(map(_is_number, layout.names)):
        raise DataError(
            f"{path}: its first line may be a header or a sample: {layout.names[label]!r} is a label in other lines "
            "too; put a line of names above it"
        )
    x = np.array(features).reshape(count, len(layout.features))
    stored = sorted(layout.features)
    return (x if stored == layout.features else x[:, [stored.index(i) for i in layout.features]]), labels


def _check_cells(row: list[str], layout: Layout, where: str, labelled: bool) -> None:
    """Raise DataError for the first cell of a row that is empty or, outside the labels, no finite number."""
    for column, cell in enumerate(row):
        if not cell.strip() and (labelled or column != layout.label):
            raise DataError(f"{where}, {layout.column(column)} is empty; fill or drop what is missing first")
        if column != layout.label and not (_is_number(cell) and math.isfinite(float(cell.strip()))):
            point = " with a decimal point" if _is_number(cell.replace(",", ".")) else ""
            raise DataError(f"{where}, {layout.column(column)} holds {cell!r}; expected a finite number{point}")


def _as_labels(labels: list[str], what: str, task: Task | None) -> tuple[Array, list[str] | None]:
    numeric = [_is_number(label) for label in labels]
    if not any(numeric) or (task == "classification" and not all(numeric)):
        return as_labels(np.array(labels), what)
    if not all(numeric):
        text = labels[numeric.index(False)]
        raise DataError(
            f"{what} mixes numbers with text such as {text!r}; expected one or the other, unless the task is "
            "'classification' (on the command line --task)"
        )
    # Those of 19 digits and more do not fit in 64 bits.
    whole = all(label.lstrip("+-").isdigit() and len(label.lstrip("+-0")) < 19 for label in labels)
    return as_labels(np.array([int(label) for label in labels]) if whole else np.array(labels, float), what, task)


def _numbers(cells: list[str]) -> list[float] | None:
    """The cells as numbers, None where one is none."""
    text = "".join(cells)
    # Python takes 1_0 and other digits than 0 to 9 for numbers too.
    if ("_" in text or not text.isascii()) and not all(map(_is_number, cells)):
        return None
    try:
        return list(map(float, cells))
    except ValueError:  # a separator of records is white space for NumPy, and for str.strip
        return [float(cell.strip()) for cell in cells] if all(map(_is_number, cells)) else None


def _is_number(cell: str) -> bool:
    """Whether a cell is a number for NumPy's loadtxt."""
    cell = cell.strip()
    if "_" in cell or not cell.isascii():
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True
