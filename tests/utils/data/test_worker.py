"""Workers that are threads or processes."""

import os
import threading

import numpy as np
import pytest

import gpunn
from gpunn.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

HERE = os.getpid()
kinds = pytest.mark.parametrize("context", [None, "fork"])


class Told(Dataset):
    """Which worker fetches a sample, in which process."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        info = get_worker_info()
        if index == 7 and getattr(self, "broken", False):
            raise KeyError("sample 7")
        return np.array([index, info.id, info.num_workers, info.seed, os.getpid() != HERE, info.dataset is self])


def note(number):
    begun.append((number, threading.get_ident()))


begun = []


@kinds
def test_a_worker_knows_which_one_it_is(context):
    assert get_worker_info() is None
    loader = DataLoader(Told(), 2, num_workers=2, multiprocessing_context=context, generator=5, shuffle=True)
    rows = np.concatenate([batch.numpy() for batch in loader])
    assert sorted(rows[:, 0]) == list(range(8))
    assert set(rows[:, 1]) <= {0, 1} and set(rows[:, 2]) == {2}
    assert (rows[:, 3] == 5 + rows[:, 1]).all()
    assert set(rows[:, 4]) == {context is not None} and set(rows[:, 5]) == {1}
    assert get_worker_info() is None


def test_worker_init_fn_comes_first_in_each():
    begun.clear()
    list(DataLoader(Told(), 2, num_workers=2, worker_init_fn=note))
    assert sorted(number for number, _ in begun) == [0, 1] and len({thread for _, thread in begun}) == 2

    def fails(number):
        raise OSError(f"worker {number}")

    with pytest.raises(OSError, match="worker 0"):
        list(DataLoader(Told(), 2, num_workers=1, worker_init_fn=fails))


def test_processes_give_what_threads_give():
    data = TensorDataset(gpunn.arange(20.0).reshape(10, 2), gpunn.arange(10))

    def epochs(**options):
        loader = DataLoader(data, 3, True, generator=1, **options)
        return [[t.tolist() for t in batch] for _ in range(2) for batch in loader]

    alone = epochs()
    for options in ({}, {"persistent_workers": True}):
        assert epochs(num_workers=2, multiprocessing_context="fork", **options) == alone
    loader = DataLoader(data, 3, True, generator=1, num_workers=1, multiprocessing_context="fork")
    (first, *_), part = next(loader.parts(1, 2))
    assert part.samples == 2 and first.tolist() == alone[0][0][1:]


def test_another_start_method_pickles_the_data():
    data = TensorDataset(gpunn.arange(6.0))
    loader = DataLoader(data, 2, num_workers=1, multiprocessing_context="spawn")
    assert [batch[0].tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]


def test_what_goes_wrong_in_a_process():
    data = Told()
    data.broken = True
    batches = iter(DataLoader(data, 2, num_workers=1, multiprocessing_context="fork"))
    assert len([next(batches) for _ in range(3)]) == 3
    with pytest.raises(KeyError, match="sample 7"):
        next(batches)
    with pytest.raises(RuntimeError, match="a worker process has died"):
        list(DataLoader(data, 2, num_workers=1, multiprocessing_context="fork", worker_init_fn=os._exit))
    with pytest.raises(ValueError, match="multiprocessing_context is 'forks'; expected fork, spawn, forkserver"):
        list(DataLoader(data, 2, num_workers=1, multiprocessing_context="forks"))
    with pytest.raises(ValueError, match="multiprocessing_context needs num_workers > 0"):
        DataLoader(data, 2, multiprocessing_context="fork")


@kinds
def test_a_stream_that_divides_itself_is_whole(context):
    class Stream(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            return iter(range(info.id, 6, info.num_workers))

    loader = DataLoader(Stream(), 2, num_workers=3, multiprocessing_context=context)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]
