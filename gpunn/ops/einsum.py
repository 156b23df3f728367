"""Sums of products in Einstein's notation, made of diagonals, sums, products and matrix products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.autocast import half_precision
from gpunn.autograd.tape import TensorBase

from .base import shape_error
from .diagonal import diagonal
from .reduction import sum

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

Labels = tuple[int, ...]
"""A label for each dimension: 0 to 51 for A to Z and a to z; negative, counted from the right, in an ellipsis."""

SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ELLIPSIS = 52
"""Stands for "..." until it is known how many dimensions that is."""


@half_precision
def einsum(*args: Any) -> Tensor:
    """The sum of products that an equation names: ``einsum("bij,bjk->bik", x, y)`` is a batched matrix product.

    Each letter stands for a dimension, and has one size wherever it occurs (or 1, which broadcasts). Letters that do
    not occur after ``->`` are summed over; a letter that occurs twice in one operand takes the diagonal. "..." stands
    for any number of dimensions, which broadcast. Without ``->`` the result has "...", then the letters that occur once
    in alphabetical order. Instead of an equation, integers can stand: ``einsum(x, [0, 1], y, [1, 2], [0, 2])``.

    Two operands are multiplied at a time, in an order that `numpy.einsum_path` finds.

    Args:
        *args: the equation, and the operands one by one or as one sequence.

    Raises:
        RuntimeError: the equation is malformed, or does not fit the shapes.
        ValueError: there is no operand.
    """
    subscripts, output, operands = _arguments(args)
    if len(subscripts) != len(operands):
        raise _error(f"there are {len(operands)} operands, but subscripts for {len(subscripts)}")
    for i, x in enumerate(operands):
        if x.dtype is not operands[0].dtype:
            raise _error(f"the types differ: operand 0 is {operands[0]._spec!r}, operand {i} is {x._spec!r}")
    spread = [_spread(s, x.ndim, f"operand {i} ({x._spec!r})") for i, (s, x) in enumerate(zip(subscripts, operands))]
    result = _output(spread, output)
    _check_sizes(spread, operands)
    terms = [_diagonals(x, labels) for x, labels in zip(operands, spread)]
    for i, j in _path(tuple(labels for _, labels in terms), tuple(x.shape for x, _ in terms), result):
        first, second = terms[i], terms[j]
        terms = [t for at, t in enumerate(terms) if at not in (i, j)]
        kept = set(result).union(*(labels for _, labels in terms))
        terms.append(_product(first, second, kept))
    x, labels = _sum_over(*terms[0], set(result))
    return _ordered(x, labels, result)


def _product(first: tuple[Tensor, Labels], second: tuple[Tensor, Labels], kept: set[int]) -> tuple[Tensor, Labels]:
    """The product of two terms, summed over the labels that are not kept."""
    (x, a), (y, b) = _broadcast(first, second), _broadcast(second, first)
    x, a = _sum_over(x, a, kept.union(b))
    y, b = _sum_over(y, b, kept.union(a))
    batch = tuple(label for label in a if label in b and label in kept)
    inner = tuple(label for label in a if label in b and label not in kept)
    rows = tuple(label for label in a if label not in b)
    columns = tuple(label for label in b if label not in a)
    if not inner or (batch and not rows and not columns):
        # Nothing for a matrix product to gain: each number is multiplied once.
        both = batch + inner
        left, right = _ordered(x, a, both + rows), _ordered(y, b, both + columns)
        left = left.reshape(left.shape + (1,) * len(columns))
        right = right.reshape(right.shape[: len(both)] + (1,) * len(rows) + right.shape[len(both) :])
        return _sum_over(left * right, both + rows + columns, kept)
    left, right = _ordered(x, a, batch + rows + inner), _ordered(y, b, batch + inner + columns)
    batches = left.shape[: len(batch)]
    row_sizes = left.shape[len(batch) : len(batch + rows)]
    column_sizes = right.shape[len(batch + inner) :]
    n, k, m = prod(row_sizes), prod(left.shape[len(batch + rows) :]), prod(column_sizes)
    z = left.reshape((*batches, n, k)) @ right.reshape((*batches, k, m))
    return z.reshape((*batches, *row_sizes, *column_sizes)), batch + rows + columns


def _broadcast(term: tuple[Tensor, Labels], other: tuple[Tensor, Labels]) -> tuple[Tensor, Labels]:
    """`term` without those dimensions of size 1 that are larger in `other`: the product has them from there."""
    (x, a), (y, b) = term, other
    larger = [d for d, label in enumerate(a) if x.shape[d] == 1 and label in b and y.shape[b.index(label)] != 1]
    if not larger:
        return term
    return x.squeeze(larger), tuple(label for d, label in enumerate(a) if d not in larger)


def _ordered(x: Tensor, labels: Labels, wanted: Labels) -> Tensor:
    """`x` with its dimensions in another order."""
    return x if labels == wanted else x.permute(tuple(labels.index(label) for label in wanted))


def _sum_over(x: Tensor, labels: Labels, kept: set[int]) -> tuple[Tensor, Labels]:
    """`x` summed over the labels that are not kept."""
    gone = tuple(d for d, label in enumerate(labels) if label not in kept)
    if not gone:
        return x, labels
    return sum(x, gone, dtype=x.dtype), tuple(label for label in labels if label in kept)


def _diagonals(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """`x` with each label once."""
    for label, count in Counter(labels).items():
        for _ in range(count - 1):
            i = labels.index(label)
            j = labels.index(label, i + 1)
            x = diagonal(x, 0, i, j)
            labels = (*labels[:i], *labels[i + 1 : j], *labels[j + 1 :], label)
    return x, labels


@lru_cache(maxsize=512)
def _path(labels: tuple[Labels, ...], shapes: tuple[tuple[int, ...], ...], output: Labels) -> list[tuple[int, int]]:
    """Which two terms to multiply at each step; their product becomes the last term."""
    if len(labels) <= 2:
        return [(0, 1)] * (len(labels) - 1)
    symbols = {label: SYMBOLS[i] for i, label in enumerate(sorted(set().union(*labels)))}
    equation = ",".join("".join(symbols[label] for label in s) for s in labels)
    equation += "->" + "".join(symbols[label] for label in output)
    shadows = [np.broadcast_to(np.float32(0), shape) for shape in shapes]  # shapes without memory
    steps, _ = np.einsum_path(equation, *shadows, optimize="greedy")
    pairs = []
    left = len(labels)
    for step in steps[1:]:
        # NumPy may multiply several terms at once, where it sees nothing to gain from an order.
        step = sorted(step)
        for done in range(1, len(step)):
            pairs.append((step[0], step[1]) if done == 1 else (step[done] - done, left - 1))
            left -= 1
    return pairs


def _arguments(args: tuple[Any, ...]) -> tuple[list[list[int]], list[int] | None, list[Any]]:
    """The labels of each operand, those of the output (None if they are implied), and the operands."""
    if args and isinstance(args[0], str):
        equation, *operands = args
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = list(operands[0])
        inputs, arrow, output = equation.partition("->")
        subscripts = [_letters(s, f"operand {i}") for i, s in enumerate(inputs.split(","))]
        implied = None if not arrow else _letters(output, "the output")
    else:
        pairs, rest = args[: len(args) // 2 * 2], args[len(args) // 2 * 2 :]
        operands = list(pairs[::2])
        subscripts = [_numbers(s) for s in pairs[1::2]]
        implied = _numbers(rest[0]) if rest else None
    if not operands:
        raise ValueError("einsum: takes an equation and at least one operand")
    for i, x in enumerate(operands):
        if not isinstance(x, TensorBase):
            raise TypeError(f"einsum: operand {i} is no tensor but {type(x).__name__}")
    return subscripts, implied, operands


def _letters(text: str, where: str) -> list[int]:
    parts = text.replace(" ", "").split("...")
    if len(parts) > 2:
        raise _error(f'there is more than one "..." for {where}')
    for c in "".join(parts):
        if c not in SYMBOLS:
            raise _error(f"{c!r} is no subscript (for {where}); letters are, and ... for any number of dimensions")
    labels = [[SYMBOLS.index(c) for c in part] for part in parts]
    return labels[0] if len(labels) == 1 else [*labels[0], ELLIPSIS, *labels[1]]


def _numbers(sublist: Any) -> list[int]:
    if not isinstance(sublist, Sequence) or isinstance(sublist, str):
        raise _error(f"subscripts are a list of integers after each operand, got {type(sublist).__name__}")
    labels = [ELLIPSIS if s is Ellipsis else int(s) for s in sublist]
    if any(not 0 <= label <= ELLIPSIS for label in labels) or labels.count(ELLIPSIS) > 1:
        raise _error(f"subscripts are integers from 0 to 51 and at most one ellipsis, got {list(sublist)}")
    return labels


def _spread(labels: list[int], ndim: int, where: str) -> Labels:
    """The labels with the ellipsis replaced by one label for each dimension that it stands for."""
    if ELLIPSIS not in labels:
        if len(labels) != ndim:
            raise _error(f"there are {len(labels)} subscripts for {where}, and no ellipsis")
        return tuple(labels)
    missing = ndim - (len(labels) - 1)
    if missing < 0:
        raise _error(f"there are {len(labels) - 1} subscripts for {where}")
    at = labels.index(ELLIPSIS)
    return (*labels[:at], *range(-missing, 0), *labels[at + 1 :])


def _output(inputs: list[Labels], output: list[int] | None) -> Labels:
    """The labels of the result."""
    counts = Counter(label for labels in inputs for label in labels)
    ellipsis = sorted(label for label in counts if label < 0)
    if output is None:
        return (*ellipsis, *sorted(label for label, count in counts.items() if label >= 0 and count == 1))
    for label, count in Counter(output).items():
        if count > 1:
            raise _error(f"{SYMBOLS[label]!r} occurs more than once in the output")
        if label != ELLIPSIS and label not in counts:
            raise _error(f"{SYMBOLS[label]!r} of the output occurs in no operand")
    return tuple(label for o in output for label in (ellipsis if o == ELLIPSIS else (o,)))


def _check_sizes(labels: list[Labels], operands: list[Any]) -> None:
    """Refuse a label of two sizes; between operands 1 fits to any, within one it does not."""
    sizes: dict[int, int] = {}
    for i, (own, x) in enumerate(zip(labels, operands)):
        here: dict[int, int] = {}
        for label, n in zip(own, x.shape):
            name = repr(SYMBOLS[label]) if label >= 0 else '"..."'
            if here.setdefault(label, n) != n:
                raise _error(f"{name} is repeated in operand {i} with sizes {here[label]} and {n}")
            if sizes.setdefault(label, n) == 1:
                sizes[label] = n
            elif n not in (1, sizes[label]):
                raise _error(f"{name} has size {n} in operand {i}, and size {sizes[label]} before")


def _error(message: str) -> RuntimeError:
    return shape_error("einsum", message)
