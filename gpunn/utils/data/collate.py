"""From a list of samples to a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from gpunn.backend.dtypes import float64
from gpunn.ops.join import stack
from gpunn.tensor import Tensor, from_numpy, tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """Samples of one kind as a batch with a new first dimension.

    Tensors are stacked; NumPy arrays and numbers likewise, as tensors of their dtype; Python floats become float64,
    integers int64, bools bool; text stays a list. Mappings, named tuples and sequences are collated entry by entry and
    keep their type, except that a tuple becomes a list.

    Raises RuntimeError for samples of different shapes or lengths, TypeError for other kinds of samples.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        _same_shape(batch)
        return stack(list(batch), 0)
    if isinstance(first, (np.ndarray, np.generic)) and first.dtype.kind not in "SUOMm":
        if isinstance(first, np.ndarray):
            _same_shape(batch)
        return from_numpy(np.stack(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, float):
        return tensor(batch, dtype=float64)
    if isinstance(first, int):
        return tensor(batch)
    if isinstance(first, Mapping):
        return _mapping_like(first, lambda key: default_collate([sample[key] for sample in batch]))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("default_collate: each sample has to have the same number of entries")
        return _sequence_like(first, [default_collate(entries) for entries in zip(*batch)])
    kind = first.dtype if isinstance(first, np.ndarray) else type(first).__name__
    raise TypeError(
        f"default_collate: a sample is {kind}; expected tensors, NumPy arrays, numbers, text, or mappings and "
        "sequences of them. For others give the DataLoader a collate_fn"
    )


def default_convert(data: Any) -> Any:
    """One sample with its NumPy arrays and numbers as tensors, and everything else as it is."""
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind not in "SUOMm":
        return from_numpy(np.asarray(data))
    if isinstance(data, (str, bytes, Tensor)):
        return data
    if isinstance(data, Mapping):
        return _mapping_like(data, lambda key: default_convert(data[key]))
    if isinstance(data, Sequence):
        return _sequence_like(data, [default_convert(entry) for entry in data])
    return data


def _same_shape(batch: Sequence[Any]) -> None:
    shape = tuple(batch[0].shape)
    for position, sample in enumerate(batch):
        if tuple(sample.shape) != shape:
            raise RuntimeError(
                f"default_collate: samples of a batch have one shape, but {shape} came at position 0 and "
                f"{tuple(sample.shape)} at {position}; pad them, or give the DataLoader a collate_fn"
            )


def _mapping_like(mapping: Mapping[Any, Any], value: Callable[[Any], Any]) -> Any:
    """A mapping of the same type and keys with other values; a dict where the type can't be made so."""
    values = {key: value(key) for key in mapping}
    try:
        if isinstance(mapping, MutableMapping):  # a copy keeps what else the mapping carries, as a default factory
            clone = copy.copy(mapping)
            clone.update(values)
            return clone
        return type(mapping)(values)  # type: ignore[call-arg]
    except TypeError:
        return values


def _sequence_like(sequence: Sequence[Any], values: list[Any]) -> Any:
    """A sequence of the same type with other values; a list for a tuple, and where the type can't be made so."""
    if isinstance(sequence, tuple):
        return type(sequence)(*values) if hasattr(sequence, "_fields") else values
    try:
        return type(sequence)(values)  # type: ignore[call-arg]
    except TypeError:
        return values
