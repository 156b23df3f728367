"""DataLoader: batches of a data set, epoch after epoch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice, repeat
from typing import Any, cast

from gpunn.utils.data.collate import default_collate, default_convert
from gpunn.utils.data.dataset import IterableDataset
from gpunn.utils.data.fetch import Fetch, FetchPart
from gpunn.utils.data.order import Indices
from gpunn.utils.data.part import Part, part_of
from gpunn.utils.data.prefetch import run_ahead
from gpunn.utils.data.sampler import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    batch_count,
    has_order,
)
from gpunn.utils.data.worker import Processes, WorkerInfo, begin_worker

END = object()


@dataclass
class _Progress:
    """Where an iteration stands: the epoch, how many of its batches were given, and the seed of its order."""

    epoch: int
    position: int
    seed: int | None


class DataLoader:
    """Iterates over a data set in batches; each iteration is one epoch.

    dataset:          with `__getitem__` and `__len__`, or an IterableDataset
    batch_size:       samples in a batch; None gives single samples, with arrays made tensors
    shuffle:          a new random order in each epoch
    sampler:          gives the index of each sample, in the place of shuffle
    batch_sampler:    gives the list of indices of each batch, in the place of batch_size, shuffle, sampler, drop_last
    num_workers:      threads, or processes, that fetch batches while the caller works; 0: each when it is asked for
    collate_fn:       makes a batch of a list of samples; `default_collate` if not given
    pin_memory:       accepted, without effect: all that goes to a GPU goes through pinned memory
    drop_last:        leave out the last batch if it is not full
    timeout:          seconds to wait for a batch of a worker; 0 waits for ever
    worker_init_fn:   called in each worker with its number, from 0
    multiprocessing_context: "fork", "spawn" or "forkserver" make the workers processes
    generator:        the seed of the order: an integer or a gpunn.Generator; else that of `gpunn.manual_seed`
    prefetch_factor:  batches fetched ahead for each worker, 2 if not given
    persistent_workers: whether processes stay for the next epoch; threads start at once
    in_order:         accepted; batches come in their order

    Names and meanings are PyTorch's, with three differences. The order of an epoch depends on nothing but the seed and
    the epoch's number, counted by the loader from 0. Workers are threads of this process unless a
    multiprocessing_context is given: threads share its memory and need no pickling, reading files and NumPy run side by
    side, while Python code takes turns; of an IterableDataset there is one reader, a thread always, so nothing comes
    twice. And `state_dict` and `load_state_dict` let a run go on
    in the middle of an epoch. Order and values of the batches are the same with any number of workers; what a worker
    raises is raised when its batch is asked for; leaving the loop ends the workers. One that hangs is left behind after
    five seconds, or killed if it is a process.

    Of a TensorDataset, or a Subset of one, a batch is taken with one index operation per tensor, not sample by sample.

    Raises ValueError for options that contradict each other.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[int] | Iterable[int] | None = None,
        batch_sampler: Sampler[list[int]] | Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        in_order: bool = True,
    ):
        if num_workers < 0:
            raise ValueError(f"DataLoader: num_workers is {num_workers}; expected 0 or more")
        if timeout < 0:
            raise ValueError(f"DataLoader: timeout is {timeout}; expected 0 or more seconds")
        if num_workers == 0 and (prefetch_factor is not None or persistent_workers):
            raise ValueError("DataLoader: prefetch_factor and persistent_workers need num_workers > 0")
        if num_workers == 0 and multiprocessing_context is not None:
            raise ValueError("DataLoader: multiprocessing_context needs num_workers > 0")
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError(f"DataLoader: prefetch_factor is {prefetch_factor}; expected at least 1")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: a sampler decides on the order, so shuffle can't be asked for as well")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: a batch_sampler takes the place of batch_size, shuffle, sampler, drop_last")
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: batch_size=None gives single samples, so there is no last batch to drop")
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader: an IterableDataset has its own order; expected no shuffle and no sampler")

        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.pin_memory = pin_memory
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self._processes: Processes | None = None
        self.timeout = timeout
        self.generator = generator
        self.drop_last = drop_last
        self.batch_size = None if batch_sampler is not None else batch_size
        if self._iterable:
            sampler = ()
        elif sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        if batch_size is not None and batch_sampler is None:
            self.batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self._single = batch_size is None and batch_sampler is None
        self.collate_fn = collate_fn or (default_convert if self._single else default_collate)
        self._fetch = Fetch(dataset, self.collate_fn, self._single)
        self._epoch = self._start = 0  # of the next iteration: its epoch, and its first batch
        self._progress = _Progress(0, 0, None)

    def __len__(self) -> int:
        """The number of batches in an epoch; TypeError where data set or sampler have no length."""
        if self._iterable:
            samples = len(self.dataset)
            return samples if self.batch_size is None else batch_count(samples, self.batch_size, self.drop_last)
        return len(cast(Sized, self.sampler if self._single else self.batch_sampler))

    def __iter__(self) -> Iterator[Any]:
        return self._epoch_of(self._fetch, lambda samples: self.collate_fn(samples))

    def parts(self, rank: int, size: int) -> Iterator[tuple[Any, Part]]:
        """An epoch of which one of several ranks fetches its part of each batch alone.

        All ranks have such a loader, with the same seed. The parts of a batch together are the batch that iterating
        over the loader gives, in its order; where the loader stands does not depend on how many ranks there are.

        Args:
            rank: which one, from 0.
            size: how many there are.

        Returns:
            For each batch what the rank has of it, and which part that is; see `part_of`.

        Raises:
            ValueError: the loader gives single samples.
        """
        if self._single:
            raise ValueError("DataLoader: batch_size=None gives single samples, which ranks can't share; give a size")

        def collate(samples: list[Any]) -> tuple[Any, Part]:
            mine, part = part_of(samples, rank, size)
            return self.collate_fn(mine), part

        return self._epoch_of(FetchPart(self._fetch, rank, size), collate)

    def _epoch_of(self, fetch: Callable[[Any], Any], collate: Callable[[Any], Any]) -> Iterator[Any]:
        """An epoch, or the rest of one, of what a function makes of keys or, of an IterableDataset, of samples."""
        progress = self._begin()
        if self._iterable:
            stream = self._stream(collate)
            for _ in range(progress.position):
                if next(stream, END) is END:
                    break
            return self._batches(repeat(partial(next, stream, END)), progress, min(self.num_workers, 1))
        keys = islice(self._keys(progress.epoch), progress.position, None)
        if self.num_workers and self.multiprocessing_context is not None:
            return self._counted(self._from_processes(fetch, keys), progress)
        return self._batches((partial(fetch, key) for key in keys), progress, self.num_workers)

    def has_order(self) -> bool:
        """Whether `in_order` can be called: not for single samples, an IterableDataset, a sampler of one's own."""
        return not self._single and not self._iterable and has_order(self._order_sampler())

    def in_order(self) -> tuple[Indices | range, Iterator[slice]]:
        """The indices of the samples of an epoch, and an iteration that gives which of them make each batch.

        For those who have the data set where they need it: an epoch as by iterating over the loader, but nothing is
        fetched.
        """
        batches, progress = cast("BatchSampler", self.batch_sampler), self._begin()
        order, size = self._order_sampler().order(progress.epoch), batches.batch_size
        firsts = range(progress.position * size, len(batches) * size, size)
        return order, self._batches((partial(slice, i, min(i + size, len(order))) for i in firsts), progress, 0)

    def state_dict(self) -> dict[str, int | None]:
        """Where the newest iteration stands: the epoch, the number of its batches that were given, and the seed.

        Batches fetched ahead but not given yet do not count. After the last batch was asked for and the loop has ended
        this is the beginning of the next epoch; inside the loop, at the last batch, its end.
        """
        state = asdict(self._progress)
        if state["seed"] is None:
            state["seed"] = self._seed()
        return state | {"batches": self._length()}

    def load_state_dict(self, state: dict[str, int | None]) -> None:
        """Let the next iteration go on where `state_dict` was called: it gives the rest of that epoch.

        A sampler, batch sampler or IterableDataset of one's own has to give the same again, since its batches up to
        there are counted off.

        Raises ValueError where this loader has another number of batches, ValueError or TypeError where the state is
        none.
        """
        if state["batches"] != self._length():
            raise ValueError(
                f"DataLoader: the state is of a loader with {state['batches']} batches, this one has {self._length()}; "
                "expected the same data set, batch size and drop_last"
            )
        epoch, position, seed = (state[name] for name in ("epoch", "position", "seed"))
        if not isinstance(epoch, int) or not isinstance(position, int) or not (seed is None or isinstance(seed, int)):
            raise TypeError(f"DataLoader: the state is {state}; expected whole numbers")
        if not all(0 <= number < 2**64 for number in (epoch, position, seed or 0)) or (
            state["batches"] is not None and position > state["batches"]
        ):
            raise ValueError(f"DataLoader: the state is of batch {position} of {state['batches']} in epoch {epoch}")
        sampler = self._order_sampler()
        if seed is not None and hasattr(sampler, "generator"):
            sampler.generator = seed
        elif seed is not None and isinstance(sampler, DistributedSampler):
            sampler.seed = seed
        self._progress = _Progress(epoch, position, seed)
        self._epoch, self._start = epoch, position

    def _begin(self) -> _Progress:
        progress = self._progress = _Progress(self._epoch, self._start, self._seed())
        self._epoch, self._start = self._epoch + 1, 0
        return progress

    def _batches(self, tasks: Iterable[Callable[[], Any]], progress: _Progress, workers: int) -> Iterator[Any]:
        results: Generator[Any, None, None] = (task() for task in tasks)
        if workers:
            results = run_ahead(
                tasks, workers, workers * cast(int, self.prefetch_factor), self.timeout or None, self._begin_thread
            )
        return self._counted(results, progress)

    def _begin_thread(self, number: int) -> None:
        workers = 1 if self._iterable else self.num_workers
        seed = ((self._seed() or 0) + number) % 2**64
        begin_worker(WorkerInfo(number, workers, seed, self.dataset), self.worker_init_fn)

    def _from_processes(self, fetch: Callable[[Any], Any], keys: Iterable[Any]) -> Generator[Any, None, None]:
        processes, self._processes = self._processes, None  # others are made for an iteration beside this one
        if processes is None:
            processes = Processes(
                self.multiprocessing_context,
                self.num_workers,
                fetch,
                self.dataset,
                self._seed() or 0,
                self.worker_init_fn,
            )
        kept = False
        try:
            yield from processes.run(keys, self.num_workers * cast(int, self.prefetch_factor), self.timeout or None)
            kept = self.persistent_workers
        finally:
            if kept:
                self._processes = processes
            else:
                processes.close()

    def _counted(self, results: Generator[Any, None, None], progress: _Progress) -> Iterator[Any]:
        """The results up to END, counted."""
        with closing(results):
            for batch in results:
                if batch is END:
                    break
                progress.position += 1
                yield batch
        progress.epoch, progress.position = progress.epoch + 1, 0

    def _keys(self, epoch: int) -> Iterator[Any]:
        """What to fetch: the index of each sample, or the indices of each batch."""
        sampler = self._order_sampler()
        if not has_order(sampler):
            return iter(cast("Iterable[Any]", self.sampler if self._single else self.batch_sampler))
        order = sampler.order(epoch)
        if self._single:
            return iter(order if isinstance(order, range) else order.tolist())
        batches = cast("BatchSampler", self.batch_sampler)
        size = batches.batch_size
        return (order[first * size : (first + 1) * size] for first in range(len(batches)))

    def _stream(self, collate: Callable[[Any], Any]) -> Iterator[Any]:
        """The batches of an IterableDataset."""
        samples = iter(self.dataset)
        if self.batch_size is None:
            yield from map(collate, samples)
            return
        while batch := list(islice(samples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield collate(batch)

    def _order_sampler(self) -> Any:
        """The sampler of single indices behind the batches; None where the batches are a user's own."""
        if self._single or self._iterable:
            return self.sampler
        return self.batch_sampler.sampler if type(self.batch_sampler) is BatchSampler else None

    def _seed(self) -> int | None:
        return getattr(self._order_sampler(), "seed", None)

    def _length(self) -> int | None:
        try:
            return len(self)
        except TypeError:  # an IterableDataset or a sampler need not know
            return None
