"""In which order samples are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from gpunn.utils.data.order import Indices, draws, permutation, seed_of, uniforms, words

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base class of all samplers: a subclass has `__iter__`, which gives indices or lists of them, and may have
    `__len__`.
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} lacks __iter__")


class EpochSampler(Sampler[int]):
    """A sampler whose order is a function of the epoch's number; each iteration is the next epoch, from 0 on."""

    def __init__(self) -> None:
        self.epoch = 0

    def order(self, epoch: int) -> Indices | range:
        """The indices of that epoch."""
        raise NotImplementedError(f"{type(self).__name__} lacks order")

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of `epoch`."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = self.order(self.epoch)
        self.epoch += 1
        return iter(order if isinstance(order, range) else order.tolist())


class SequentialSampler(EpochSampler):
    """0, 1, ..., len(data_source) - 1."""

    def __init__(self, data_source: Sized):
        super().__init__()
        self.data_source = data_source

    def order(self, epoch: int) -> range:
        """The same in every epoch."""
        return range(len(self.data_source))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(EpochSampler):
    """All samples in random order or, with `replacement`, drawn independently; `num_samples` of them.

    The order is a function of the seed and the epoch's number, by Philox 4x64-10. `generator` is the seed, or a
    gpunn.Generator that has it; without it the seed is that of `gpunn.manual_seed`. Without replacement, more samples
    than there are take another whole permutation each time all were given.

    Raises ValueError where there is nothing to sample.
    """

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ):
        super().__init__()
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement is {replacement!r}; expected True or False")
        self.data_source = data_source
        self.replacement = replacement
        self.generator = generator
        self._num_samples = num_samples
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"RandomSampler: num_samples is {self.num_samples!r}; expected a positive integer")
        if len(data_source) == 0:
            raise ValueError("RandomSampler: the data set is empty")

    @property
    def num_samples(self) -> int:
        """How many samples an epoch has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    @property
    def seed(self) -> int:
        """The seed that the next order depends on."""
        return seed_of(self.generator)

    def order(self, epoch: int) -> Indices:
        """The indices of an epoch, int64."""
        source, n = words(self.seed, epoch), len(self.data_source)
        if self.replacement:
            return draws(source, n, self.num_samples)
        rounds = -(-self.num_samples // n)
        return np.concatenate([permutation(source, n) for _ in range(rounds)])[: self.num_samples]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(EpochSampler):
    """The given indices in random order, without replacement; `generator` as for RandomSampler."""

    def __init__(self, indices: Sequence[int], generator: Any = None):
        super().__init__()
        self.indices = indices
        self.generator = generator

    @property
    def seed(self) -> int:
        """The seed that the next order depends on."""
        return seed_of(self.generator)

    def order(self, epoch: int) -> Indices:
        """The indices of an epoch, int64."""
        return np.asarray(self.indices, np.int64)[permutation(words(self.seed, epoch), len(self.indices))]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(EpochSampler):
    """`num_samples` indices, each drawn with a probability in proportion to its weight.

    With replacement by inverting the cumulative sum of the weights at uniform numbers. Without, the indices of the
    smallest e / w, for e from the exponential distribution with mean 1: Efraimidis & Spirakis 2006, "Weighted random
    sampling with a reservoir".

    weights:     not negative, of any sum; a weight of 0 is never drawn
    replacement: whether an index can come twice
    generator:   as for RandomSampler

    Raises ValueError for weights that are no finite numbers from 0 up, and where fewer than `num_samples` can be drawn.
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None):
        super().__init__()
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(f"WeightedRandomSampler: num_samples is {num_samples!r}; expected a positive integer")
        if not isinstance(replacement, bool):
            raise ValueError(f"WeightedRandomSampler: replacement is {replacement!r}; expected True or False")
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1 or not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise ValueError("WeightedRandomSampler: expected weights (n,), finite and not negative")
        possible = int(np.count_nonzero(self.weights))
        if possible == 0 or (not replacement and possible < num_samples):
            raise ValueError(
                f"WeightedRandomSampler: {possible} weights are above 0, and {num_samples} samples are asked for"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    @property
    def seed(self) -> int:
        """The seed that the next order depends on."""
        return seed_of(self.generator)

    def order(self, epoch: int) -> Indices:
        """The indices of an epoch, int64."""
        source = words(self.seed, epoch)
        if self.replacement:
            ends = np.cumsum(self.weights / self.weights.max())
            found = np.searchsorted(ends, uniforms(source, self.num_samples) * ends[-1], side="right")
            return np.minimum(found, np.flatnonzero(self.weights)[-1]).astype(np.int64)  # rounding may reach the end
        waits = -np.log1p(-uniforms(source, len(self.weights)))
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(self.weights > 0, waits / self.weights, np.inf)
        return np.argsort(times, kind="stable")[: self.num_samples].astype(np.int64)

    def __len__(self) -> int:
        return self.num_samples


class DistributedSampler(EpochSampler):
    """The indices of one of several processes: every `num_replicas`-th of an order, from the `rank`-th on.

    All processes have such a sampler, with the same seed. The order is filled up from its beginning to a multiple of
    `num_replicas`, or with `drop_last` cut to one. Ranks of `gpunn.parallel` need none: a Trainer divides each batch
    among them.

    num_replicas: how many processes there are, such as ``gpunn.parallel.world().size``
    rank:         which one this is, such as ``gpunn.parallel.world().rank``

    Raises ValueError where one of these is not given, or the rank is not below `num_replicas`.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        super().__init__()
        self.dataset = dataset
        if num_replicas is None or rank is None:
            raise ValueError(
                "DistributedSampler: expected num_replicas and rank, such as world.size and world.rank of "
                "world = gpunn.parallel.world()"
            )
        self.num_replicas, self.rank = num_replicas, rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"DistributedSampler: rank is {self.rank}; expected 0 to {self.num_replicas - 1}")
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last

    def order(self, epoch: int) -> Indices:
        """The indices of an epoch, int64."""
        n = len(self.dataset)
        whole = permutation(words(self.seed, epoch), n) if self.shuffle else np.arange(n, dtype=np.int64)
        return np.resize(whole, len(self) * self.num_replicas)[self.rank :: self.num_replicas]

    def __len__(self) -> int:
        return batch_count(len(self.dataset), self.num_replicas, self.drop_last)


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices that another sampler gives; the last one may be shorter, or is left out with
    `drop_last`.

    Raises ValueError for a batch size that is no positive integer or a drop_last that is no bool.
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"BatchSampler: batch_size is {batch_size!r}; expected a positive integer")
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: drop_last is {drop_last!r}; expected True or False")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        return batch_count(len(self.sampler), self.batch_size, self.drop_last)  # type: ignore[arg-type]


def batch_count(samples: int, batch_size: int, drop_last: bool) -> int:
    """How many batches the samples make."""
    return samples // batch_size if drop_last else -(-samples // batch_size)


def has_order(sampler: Any) -> bool:
    """Whether a sampler gives the indices of an epoch at once: ``order(epoch)``; others have to be iterated over."""
    return isinstance(sampler, EpochSampler) and type(sampler).__iter__ is EpochSampler.__iter__
