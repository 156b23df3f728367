"""Padding: more elements around a tensor, or fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gpunn.autograd.tape import apply

from .base import shape_error
from .indexing import Index
from .slicing import Place, Slice
from .view import clone

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

MODES = ("constant", "reflect", "replicate", "circular")


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """More elements before and after those along the last dimensions.

    Along a dimension, ``a b c d`` with two more on each side becomes ``v v a b c d v v`` (constant),
    ``c b a b c d c b`` (reflect), ``a a a b c d d d`` (replicate) or ``c d a b c d a b`` (circular).

    Args:
        input: any tensor.
        pad: how many before and after, for the last dimension, then for the one before, and so on; a negative number
            takes elements away.
        mode: one of the four.
        value: the constant, 0 unless given.

    Raises:
        RuntimeError: the numbers are odd in number or too many, nothing would be left, the tensor is too small to be
            reflected or wrapped around, or a value is given for another mode than constant.
        NotImplementedError: there is no such mode.
    """
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise shape_error(
            "pad", f"takes a number before and one after for each last dimension of {input._spec!r}, got {list(pad)}"
        )
    if mode not in MODES:
        raise NotImplementedError(f"pad: mode is one of {', '.join(MODES)}, got {mode!r}")
    sides = [(0, 0)] * (input.ndim - len(pad) // 2) + list(zip(pad[-2::-2], pad[::-2]))
    for d, (n, (before, after)) in enumerate(zip(input.shape, sides)):
        if n + min(before, 0) + min(after, 0) < 0 or n + before + after < 0:
            raise shape_error("pad", f"({before}, {after}) takes more than the {n} elements along dimension {d}")
    if mode == "constant":
        return _constant(input, sides, 0 if value is None else value)
    if value:
        raise shape_error("pad", f"mode {mode!r} takes no value, got {value}")
    result = input
    for d, (before, after) in enumerate(sides):
        if before or after:
            result = apply(Index((d,)), result, _source(mode, d, input, before, after))
    return result if result is not input else clone(input)


def _constant(input: Tensor, sides: list[tuple[int, int]], value: float) -> Tensor:
    shape = input.shape
    result = input
    if any(before < 0 or after < 0 for before, after in sides):
        kept = tuple((max(-before, 0), n - max(-after, 0), 1) for n, (before, after) in zip(shape, sides))
        result = apply(Slice(kept), result)
    size = tuple(n + before + after for n, (before, after) in zip(shape, sides))
    if result.shape == size:
        return clone(result)
    inner = tuple((max(before, 0), max(before, 0) + n, 1) for n, (before, _) in zip(result.shape, sides))
    return apply(Place(inner, size, value), result)


def _source(mode: str, dim: int, input: Tensor, before: int, after: int) -> Tensor:
    """For each element that comes out along `dim`, the one of input that it repeats."""
    from gpunn.tensor import from_numpy

    n = input.shape[dim]
    # As in PyTorch, only what is left after taking away is wrapped around, but all is reflected.
    first, last = (max(-before, 0), n - max(-after, 0)) if mode == "circular" else (0, n)
    most = {"reflect": n - 1, "circular": last - first, "replicate": max(before, after) if n else 0}[mode]
    if max(before, after) > most:
        raise shape_error("pad", f"{mode} adds at most {most} to {n} elements (dimension {dim}), not {before}, {after}")
    i = np.arange(-before, n + after)
    if mode == "replicate":
        source = np.clip(i, 0, n - 1)
    elif mode == "circular":
        source = first + (i - first) % max(last - first, 1)
    else:
        source = n - 1 - np.abs(n - 1 - np.abs(i))
    return from_numpy(source).to(input.device)
