"""Collections of samples."""

from __future__ import annotations

import bisect
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from itertools import accumulate
from typing import Any, Generic, TypeVar, cast

import numpy as np

from gpunn.backend.dtypes import dtype as DType
from gpunn.random import SPLIT, Generator, default_generator
from gpunn.tensor import Tensor, from_numpy
from gpunn.utils.data.order import Indices, permutation, seed_of, words

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Base class of data sets with an index: a subclass has `__getitem__(index)`, and `__len__` as a rule.

    With `__getitems__(indices) -> list of samples` the loader asks for the samples of a batch all at once.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} lacks __getitem__")

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Base class of data sets that are only read from beginning to end: a subclass has `__iter__`."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} lacks __iter__")

    def __add__(self, other: Dataset[T_co]) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors of the same length; sample i is the tuple of their i-th entries. The loader takes whole batches at once.

    Raises ValueError for no tensors or tensors of different lengths, TypeError for anything but tensors.
    """

    def __init__(self, *tensors: Tensor):
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"TensorDataset: got {type(tensor).__name__}; expected tensors, see gpunn.from_numpy")
        if any(tensor.shape[:1] != tensors[0].shape[:1] or not tensor.shape for tensor in tensors):
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
            raise ValueError(f"TensorDataset: the tensors have shapes {shapes}; expected the same first dimension")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class ArrayDataset(Dataset[tuple[Tensor, ...]]):
    """NumPy arrays of the same length, of which only the rows of a batch are read: for ``numpy.memmap`` and
    ``numpy.load(..., mmap_mode="r")``, which may be larger than memory. A Trainer makes one of such arrays by itself.

    dtypes: what the rows of each array become; None for the array's own type

    Raises ValueError for no arrays, or arrays of different lengths, TypeError for anything but arrays.
    """

    def __init__(self, *arrays: np.ndarray[Any, Any], dtypes: Sequence[DType | None] | None = None):
        for array in arrays:
            if not isinstance(array, np.ndarray):
                raise TypeError(f"ArrayDataset: got {type(array).__name__}; expected NumPy arrays")
        if not arrays or any(array.ndim == 0 or len(array) != len(arrays[0]) for array in arrays):
            shapes = ", ".join(str(array.shape) for array in arrays) or "none"
            raise ValueError(f"ArrayDataset: the arrays have shapes {shapes}; expected the same first dimension")
        self.arrays = arrays
        self.dtypes = [None] * len(arrays) if dtypes is None else list(dtypes)

    def rows(self, indices: Any) -> list[Tensor]:
        """A copy of these rows of each array."""
        found = [from_numpy(np.array(array[indices], array.dtype.newbyteorder("="))) for array in self.arrays]
        return [t if dtype is None else t.to(dtype) for t, dtype in zip(found, self.dtypes)]

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(self.rows(index))

    def __len__(self) -> int:
        return len(self.arrays[0])


class Subset(Dataset[T_co]):
    """The samples of a data set at the given indices."""

    def __init__(self, dataset: Dataset[T_co], indices: Sequence[int]):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[T_co]:
        chosen = [self.indices[index] for index in indices]
        if hasattr(self.dataset, "__getitems__"):
            return cast("list[T_co]", self.dataset.__getitems__(chosen))
        return [self.dataset[index] for index in chosen]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[T_co]):
    """One data set after another.

    Raises ValueError for none at all, TypeError for iterable ones, IndexError for an index past the end.
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one data set")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError("ConcatDataset: an IterableDataset has no index and can't be part of it")
        self.cumulative_sizes = list(accumulate(len(cast(Sized, dataset)) for dataset in self.datasets))

    def __getitem__(self, index: int) -> T_co:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} samples")
        which = bisect.bisect_right(self.cumulative_sizes, position)
        return self.datasets[which][position - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class StackDataset(Dataset[Any]):
    """Data sets side by side: sample i has the i-th sample of each, as a tuple, or as a dict where they have names.

    Raises ValueError for none at all, for some with and some without a name, and for different lengths.
    """

    def __init__(self, *args: Dataset[Any], **kwargs: Dataset[Any]):
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: expected data sets all without a name, or all by name")
        self.datasets: Any = kwargs or args
        lengths = {len(cast(Sized, dataset)) for dataset in kwargs.values() or args}
        if len(lengths) > 1:
            raise ValueError(f"StackDataset: the data sets have {sorted(lengths)} samples; expected the same number")
        (self._length,) = lengths

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple([dataset[index] for dataset in self.datasets])

    def __getitems__(self, indices: list[int]) -> list[Any]:
        columns = [
            dataset.__getitems__(indices) if hasattr(dataset, "__getitems__") else [dataset[i] for i in indices]
            for dataset in (self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)
        ]
        if isinstance(self.datasets, dict):
            return [dict(zip(self.datasets, row)) for row in zip(*columns)]
        return list(zip(*columns))

    def __len__(self) -> int:
        return self._length


class ChainDataset(IterableDataset[T_co]):
    """One iterable data set after another.

    Raises TypeError, when it comes to it, for one that is not iterable.
    """

    def __init__(self, datasets: Iterable[Dataset[T_co]]):
        self.datasets = datasets

    def __iter__(self) -> Iterator[T_co]:
        for dataset in self.datasets:
            yield from self._checked(dataset)

    def __len__(self) -> int:
        return sum(len(cast(Sized, self._checked(dataset))) for dataset in self.datasets)

    @staticmethod
    def _checked(dataset: Dataset[T_co]) -> IterableDataset[T_co]:
        if not isinstance(dataset, IterableDataset):
            raise TypeError(f"ChainDataset: {type(dataset).__name__} is no IterableDataset; see ConcatDataset")
        return dataset


def random_split(
    dataset: Dataset[T_co], lengths: Sequence[int | float], generator: Any = default_generator
) -> list[Subset[T_co]]:
    """Split a data set at random into subsets of the given lengths, which add up to its own, or fractions of it.

    Fractions add up to 1; each is rounded down, and the samples left over go one each to the first subsets.
    `generator` is a gpunn.Generator, which gives another split at each call, or an integer seed, which always gives
    the same.

    Raises ValueError where the lengths do not add up or a fraction is not between 0 and 1; warns of an empty subset.
    """
    n = len(cast(Sized, dataset))
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        sizes = _share(n, lengths)
    else:
        sizes = [int(length) for length in lengths]
        if sum(lengths) != n or sizes != list(lengths) or min(sizes, default=0) < 0:
            raise ValueError(f"random_split: the lengths {list(lengths)} do not add up to the {n} samples, or to 1")
    call = generator.next_call(SPLIT) if isinstance(generator, Generator) else 0
    order = permutation(words(seed_of(generator), call, SPLIT), n).tolist()
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, accumulate(sizes))]


def _share(n: int, fractions: Sequence[float]) -> list[int]:
    for position, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"random_split: fraction {fraction} at index {position} is not between 0 and 1")
    sizes = [math.floor(n * fraction) for fraction in fractions]
    for position in range(n - sum(sizes)):
        sizes[position % len(sizes)] += 1
    for position, size in enumerate(sizes):
        if size == 0:
            warnings.warn(f"random_split: the subset at index {position} is empty", stacklevel=3)
    return sizes


def tensors_of(dataset: Any) -> tuple[tuple[Tensor, ...], Indices | None] | None:
    """The tensors whose rows the samples are, and which rows, None for all; None where samples have to be asked for.

    Only where rows are what the samples would be: a subclass with a `__getitem__` of its own is asked for each.
    """
    if isinstance(dataset, TensorDataset) and type(dataset).__getitem__ is TensorDataset.__getitem__:
        return None if hasattr(dataset, "__getitems__") else (dataset.tensors, None)
    if type(dataset) is Subset and (found := tensors_of(dataset.dataset)):
        tensors, rows = found
        chosen = np.asarray(dataset.indices, np.int64)
        return tensors, chosen if rows is None else rows[chosen]
    return None


def batch_reader(dataset: Any) -> Callable[[Indices | range | list[int]], list[Tensor]] | None:
    """How to take a whole batch at once, already collated; None where samples have to be fetched one by one."""
    if isinstance(dataset, ArrayDataset) and type(dataset).__getitem__ is ArrayDataset.__getitem__:
        return lambda indices: dataset.rows(_slice(indices))
    if type(dataset) is Subset and isinstance(dataset.dataset, ArrayDataset):
        source, chosen = dataset.dataset, np.asarray(dataset.indices, np.int64)
        return lambda indices: source.rows(chosen[_slice(indices)])
    found = tensors_of(dataset)
    if found is None:
        return None
    tensors, rows = found
    if rows is None:
        return lambda indices: [_rows(tensor, indices) for tensor in tensors]
    return lambda indices: [_rows(tensor, rows[_slice(indices)]) for tensor in tensors]


def _rows(tensor: Tensor, indices: Indices | range | list[int]) -> Tensor:
    """A copy of some rows, as stacking the samples would make it."""
    rows = tensor[_slice(indices)]
    return rows.clone() if isinstance(indices, range) else rows


def _slice(indices: Indices | range | list[int]) -> Any:
    return slice(indices.start, indices.stop, indices.step) if isinstance(indices, range) else indices
