"""Tables of numbers with one column of labels, as CSV."""

from __future__ import annotations

import csv
import math
from array import array
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpunn.datasets.arrays import Array, Arrays, as_labels
from gpunn.datasets.errors import DataError

if TYPE_CHECKING:
    from _csv import Reader

LABEL_NAMES = ("label", "target", "class", "y")
DELIMITERS = (",", ";", "\t")
MOST_CLASSES_WITHOUT_DOUBT = 100


def from_csv(path: str | Path) -> Arrays:
    """A data set from a table of numbers with one column of labels, delimited by comma, semicolon or tab.

    The first line is a header if one of its names is label, target, class or y (in any case), or none of them is a
    number. The labels are in the column with the first of those names, else in the last column: text gives classes,
    its distinct values in sorted order; whole numbers are class indices from 0; decimal fractions are the targets of
    a regression.

    Raises DataError, with the line, where a cell is no finite number, lines differ in length, or nothing is left.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiter = max(DELIMITERS, key=first.count)
            file.seek(0)
            return _read(csv.reader(file, delimiter=delimiter, strict=True), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8 ({error})") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file ({error})") from error


def _read(reader: Reader, path: str) -> Arrays:
    rows = ((reader.line_num, row) for row in reader if row)  # a blank line is an empty row
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: the file is empty")
    names = [cell.strip() for cell in first[1]]
    if len(names) < 2:
        raise DataError(f"{path}: has one column; expected features and a label, delimited by comma, semicolon or tab")
    header = any(name.lower() in LABEL_NAMES for name in names) or not any(_is_number(name) for name in names)
    if header:
        label = _label_column(names, path)
        columns = [f"column {name!r}" for name in names]
    else:
        label = len(names) - 1
        columns = [f"column {number}" for number in range(1, len(names) + 1)]
    features, labels = array("d"), []
    for line, row in rows if header else chain([first], rows):
        if len(row) != len(columns):
            raise DataError(f"{path}: line {line} has {len(row)} cells; expected {len(columns)}, as in the first line")
        labels.append(row.pop(label).strip())
        try:
            values = list(map(float, row))
        except ValueError:
            values = [math.nan]
        if not labels[-1] or not math.isfinite(sum(values)):
            row.insert(label, labels[-1])
            _check_cells(row, label, columns, f"{path}: line {line}")
        features.extend(values)
    if not labels:
        raise DataError(f"{path}: has a header but no rows")
    y, classes = _labels(labels, f"{path}: {columns[label]}")
    return Arrays(path, np.array(features).reshape(len(labels), -1), y, classes=classes)


def _label_column(names: list[str], path: str) -> int:
    """The column of the labels by its name in the header, else the last one."""
    if "" in names:
        raise DataError(
            f"{path}: column {names.index('') + 1} has no name; if it only counts the rows, leave it out "
            "(pandas: to_csv(..., index=False))"
        )
    lowered = [name.lower() for name in names]
    return next((lowered.index(name) for name in LABEL_NAMES if name in lowered), len(names) - 1)


def _check_cells(row: list[str], label: int, columns: list[str], where: str) -> None:
    """Raise DataError for the first cell of a row that is empty or, outside the labels, no finite number."""
    for column, cell in enumerate(row):
        if not cell.strip():
            raise DataError(f"{where}, {columns[column]} is empty; fill or drop what is missing first")
        if column != label and not (_is_number(cell) and math.isfinite(float(cell))):
            raise DataError(f"{where}, {columns[column]} holds {cell!r}; expected a finite number")


def _labels(labels: list[str], what: str) -> tuple[Array, list[str] | None]:
    numeric = [_is_number(label) for label in labels]
    if not any(numeric):
        return as_labels(np.array(labels), what)
    if not all(numeric):
        text = labels[numeric.index(False)]
        raise DataError(f"{what} mixes numbers with text such as {text!r}; expected one or the other")
    try:
        indices = [int(label) for label in labels]
    except ValueError:
        return as_labels(np.array(labels, float), what)
    distinct = len(set(indices))
    if distinct > max(MOST_CLASSES_WITHOUT_DOUBT, len(indices) // 2):
        raise DataError(
            f"{what} holds {distinct} different whole numbers in {len(indices)} rows; "
            "write them as decimal fractions (3.0) for a regression, or as text for classes"
        )
    return as_labels(np.array(indices), what)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
