"""Orders and draws of samples, each a function of a seed and the number of the epoch alone."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpunn.random import SHUFFLE, initial_seed, philox

Indices = NDArray[np.int64]


def seed_of(generator: Any) -> int:
    """The seed that an integer, a Generator or, where it is None, the default generator stands for.

    Raises TypeError for anything else.
    """
    if generator is None:
        return initial_seed()
    if hasattr(generator, "initial_seed"):
        return int(generator.initial_seed())
    try:
        return operator.index(generator) % 2**64
    except TypeError:
        kind = type(generator).__name__
        raise TypeError(f"generator is of type {kind}; expected an integer seed or a gpunn.Generator") from None


def words(seed: int, epoch: int, stream: int = SHUFFLE) -> np.random.BitGenerator:
    """The Philox stream of 64-bit words for one epoch: NumPy keeps it the same, whatever its version."""
    return philox(seed, stream, epoch).bit_generator


def permutation(source: np.random.BitGenerator, n: int) -> Indices:
    """The integers 0 to n - 1 in the order of n random words.

    The lowest bits of each word are overwritten with its number: then sorting the words themselves, which is faster
    than finding the order that would sort them, gives the permutation in those bits, and no two words are equal.
    """
    bits = np.uint64(max(n - 1, 1).bit_length())
    keys = np.asarray(source.random_raw(n), np.uint64) >> bits << bits
    keys |= np.arange(n, dtype=np.uint64)
    keys.sort()
    keys &= (np.uint64(1) << bits) - np.uint64(1)
    return keys.astype(np.int64)


def draws(source: np.random.BitGenerator, n: int, count: int) -> Indices:
    """`count` independent integers from 0 to n - 1: the upper half of a word times n, divided by 2^32 (n <= 2^32)."""
    return ((np.asarray(source.random_raw(count), np.uint64) >> np.uint64(32)) * np.uint64(n) >> np.uint64(32)).astype(
        np.int64
    )


def uniforms(source: np.random.BitGenerator, count: int) -> NDArray[np.float64]:
    """`count` numbers from 0 up to 1, without 1: the upper 53 bits of a word, divided by 2^53."""
    return (np.asarray(source.random_raw(count), np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53
