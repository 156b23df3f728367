"""DataLoader: batches, order, workers, and the state to go on from."""

import json
import threading
import time
from itertools import chain

import numpy as np
import pytest

import gpunn
from gpunn.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from .small import tensors, workers_alive


class Numbers(Dataset):
    """Sample i is i; notes which samples are asked for, and fails or waits at some of them."""

    def __init__(self, n, fail_at=None, delay_s=0.0):
        self.n, self.fail_at, self.delay_s, self.asked = n, fail_at, delay_s, []

    def __getitem__(self, index):
        assert type(index) is int
        self.asked.append(index)
        time.sleep(self.delay_s)
        if index == self.fail_at:
            raise KeyError(f"sample {index}")
        return index

    def __len__(self):
        return self.n


class Stream(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))


def values(batches):
    """Batches as lists; of those of several tensors, the first one."""
    batches = (batch[0] if isinstance(batch, list) else batch for batch in batches)
    return [batch.tolist() if isinstance(batch, gpunn.Tensor) else batch for batch in batches]


def flat(batches):
    return list(chain(*values(batches)))


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited for 10 seconds in vain"
        time.sleep(0.001)


any_workers = pytest.mark.parametrize("workers", [0, 1, 3])


@any_workers
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_of_samples(workers, drop_last):
    loader = DataLoader(Numbers(7), batch_size=3, num_workers=workers, drop_last=drop_last)
    expected = [[0, 1, 2], [3, 4, 5]] + ([] if drop_last else [[6]])
    assert values(loader) == values(loader) == expected and len(loader) == len(expected)
    assert next(iter(loader)).dtype == gpunn.int64


@any_workers
def test_an_iterable_dataset_is_read_once_whatever_the_workers(workers):
    assert values(DataLoader(Stream(7), 3, num_workers=workers)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert values(DataLoader(Stream(7), 3, num_workers=workers, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]
    assert values(DataLoader(Stream(3), None, num_workers=workers)) == [0, 1, 2]
    with pytest.raises(TypeError):
        len(DataLoader(Stream(7)))


@any_workers
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("size", [1, 4, 10, 11])
def test_whole_batches_of_tensors_are_what_the_samples_make(workers, shuffle, size):
    data = tensors()
    one_by_one = DataLoader(
        data, size, shuffle, collate_fn=lambda batch: DataLoader(data).collate_fn(batch), generator=3
    )
    at_once = DataLoader(data, size, shuffle, num_workers=workers, generator=3)
    for _ in range(2):
        expected, batches = list(one_by_one), list(at_once)
        assert len(batches) == len(expected) == len(at_once)
        for batch, other in zip(batches, expected):
            assert type(batch) is type(other) is list
            for ours, theirs in zip(batch, other):
                assert ours.dtype == theirs.dtype
                np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("shuffle", [False, True])
def test_whole_batches_of_subsets_of_tensors(shuffle):
    part = Subset(Subset(tensors(), [9, 8, 7, 6, 5]), [0, 2, 4])
    batches = list(DataLoader(part, 2, shuffle, generator=0))
    assert [len(y) for _, y in batches] == [2, 1]
    assert sorted(label for _, y in batches for label in y.tolist()) == [5, 7, 9]
    for x, y in batches:
        np.testing.assert_array_equal(x.numpy()[:, 0], y.numpy() * 3)


def test_a_batch_is_a_copy():
    data = tensors()
    for shuffle in (False, True):
        for x, _ in DataLoader(data, 5, shuffle):
            x.numpy()[:] = -1
    assert data.tensors[0].numpy().min() == 0


def test_a_dataset_with_its_own_way_to_a_sample_is_asked_for_each():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return [2 * entry for entry in super().__getitem__(index)]

    for data in (Doubled(*tensors().tensors), Subset(Doubled(*tensors().tensors), range(10))):
        assert next(iter(DataLoader(data, 4)))[1].tolist() == [0, 2, 4, 6]


def test_a_dataset_may_give_the_samples_of_a_batch_all_at_once():
    class AllAtOnce(Numbers):
        def __getitems__(self, indices):
            return [-index for index in indices]

    assert values(DataLoader(AllAtOnce(5), 3)) == [[0, -1, -2], [-3, -4]]
    assert values(DataLoader(Subset(AllAtOnce(5), [4, 2]), 3)) == [[-4, -2]]


def test_single_samples():
    data = [np.ones(2), "text", 5]
    loader = DataLoader(data, batch_size=None)
    array, text, number = loader
    assert isinstance(array, gpunn.Tensor) and (text, number, len(loader)) == ("text", 5, 3)
    assert sorted(DataLoader(Numbers(5), None, shuffle=True)) == [0, 1, 2, 3, 4]


@any_workers
def test_shuffling_is_the_same_on_every_run_and_new_in_every_epoch(workers):
    def epochs(seed):
        loader = DataLoader(Numbers(20), 6, True, num_workers=workers, generator=seed)
        return [flat(loader) for _ in range(3)]

    first = epochs(7)
    assert first == epochs(7) != epochs(8)
    assert len({tuple(epoch) for epoch in first}) == 3 and all(sorted(epoch) == list(range(20)) for epoch in first)
    sampler = RandomSampler(range(20), generator=7)
    assert first == [list(sampler) for _ in range(3)]


def test_two_iterations_at_once_do_not_disturb_each_other():
    loader = DataLoader(Numbers(20), 5, True, generator=0)
    first, second = list(zip(*[(a.tolist(), b.tolist()) for a, b in zip(loader, loader)]))
    again = DataLoader(Numbers(20), 5, True, generator=0)
    assert (list(first), list(second)) == (values(again), values(again))


def test_samplers_of_ones_own():
    data = Numbers(9)
    assert values(DataLoader(data, 2, sampler=[5, 3, 1])) == [[5, 3], [1]]
    assert values(DataLoader(data, batch_sampler=[[5, 3, 1], [0]])) == [[5, 3, 1], [0]]
    assert values(DataLoader(data, batch_sampler=BatchSampler(SequentialSampler(data), 5, True))) == [[0, 1, 2, 3, 4]]
    assert sorted(flat(DataLoader(data, 2, sampler=SubsetRandomSampler([8, 6, 4])))) == [4, 6, 8]
    assert DataLoader(tensors(), batch_sampler=[(5, 3)]).__iter__().__next__()[1].tolist() == [5, 3]

    class Backwards(RandomSampler):
        def __iter__(self):
            return iter(range(len(self) - 1, -1, -1))

    assert values(DataLoader(data, 5, sampler=Backwards(data))) == [[8, 7, 6, 5, 4], [3, 2, 1, 0]]


def test_collate_fn():
    assert list(DataLoader(Numbers(3), 2, collate_fn=tuple)) == [(0, 1), (2,)]


def test_an_empty_dataset_has_no_batches():
    assert list(DataLoader(Numbers(0), 4)) == [] and len(DataLoader(Numbers(0), 4)) == 0
    with pytest.raises(ValueError, match="RandomSampler"):
        DataLoader(Numbers(0), 4, shuffle=True)


CONTRADICTIONS = [
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"num_workers": 1, "prefetch_factor": -1},
    {"persistent_workers": True},
    {"sampler": [1], "shuffle": True},
    {"batch_sampler": [[1]], "shuffle": True},
    {"batch_sampler": [[1]], "batch_size": 2},
    {"batch_sampler": [[1]], "drop_last": True},
    {"batch_sampler": [[1]], "sampler": [1]},
    {"batch_size": None, "drop_last": True},
    {"batch_size": 0},
]


@pytest.mark.parametrize("options", CONTRADICTIONS, ids=str)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(ValueError):
        DataLoader(Numbers(5), **options)


@pytest.mark.torch
@pytest.mark.parametrize("options", CONTRADICTIONS, ids=str)
def test_pytorch_refuses_them_as_well(options):
    torch_data = pytest.importorskip("torch.utils.data")
    with pytest.raises(ValueError):
        torch_data.DataLoader(range(5), **options)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}])
def test_an_iterable_dataset_has_its_own_order(options):
    with pytest.raises(ValueError, match="batch_size is 0"):
        DataLoader(Stream(5), batch_size=0)
    with pytest.raises(ValueError, match="its own order"):
        DataLoader(Stream(5), **options)


@any_workers
def test_an_exception_comes_in_its_turn(workers):
    batches = iter(DataLoader(Numbers(12, fail_at=7), 2, num_workers=workers))
    assert values([next(batches) for _ in range(3)]) == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(KeyError, match="sample 7"):
        next(batches)
    assert not workers_alive()


@any_workers
def test_the_exception_of_an_iterable_dataset_comes_in_its_turn(workers):
    class Broken(IterableDataset):
        def __iter__(self):
            yield from (0, 1, 2)
            raise KeyError("broken")

    batches = iter(DataLoader(Broken(), 2, num_workers=workers))
    assert next(batches).tolist() == [0, 1]
    with pytest.raises(KeyError, match="broken"):
        next(batches)


@pytest.mark.parametrize("data", [Numbers(1000, delay_s=0.001), Stream(1000)], ids=["indexed", "iterable"])
def test_leaving_the_loop_ends_the_threads(data):
    for batch in DataLoader(data, 2, num_workers=3):
        assert workers_alive()
        if batch[0] >= 4:
            break
    assert not workers_alive()


def test_no_more_is_fetched_ahead_than_asked_for():
    data = Numbers(100)
    batches = iter(DataLoader(data, 1, num_workers=2, prefetch_factor=3))
    next(batches)
    until(lambda: len(data.asked) >= 7)
    time.sleep(0.02)
    assert sorted(data.asked) == list(range(7))  # the one given, and 2 * 3 ahead


def test_workers_fetch_while_the_caller_works():
    both = threading.Barrier(2, timeout=60)

    class Meeting(Numbers):
        def __getitem__(self, index):
            both.wait()  # passes only where two samples are fetched at the same time
            return index

    assert values(DataLoader(Meeting(4), 1, num_workers=2)) == [[0], [1], [2], [3]]


def test_a_worker_that_takes_too_long_is_an_error():
    with pytest.raises(RuntimeError, match=r"no batch came within timeout=0\.02 seconds"):
        list(DataLoader(Numbers(2, delay_s=0.3), 1, num_workers=1, timeout=0.02))
    until(lambda: not workers_alive())


def test_a_timeout_of_the_dataset_itself_is_passed_on():
    class Slow(Numbers):
        def __getitem__(self, index):
            raise TimeoutError("the disk")

    with pytest.raises(TimeoutError, match="the disk"):
        list(DataLoader(Slow(2), num_workers=1, timeout=5))


LOADERS = {
    "shuffled": lambda workers: DataLoader(Numbers(20), 3, True, num_workers=workers, generator=4),
    "tensors": lambda workers: DataLoader(TensorDataset(gpunn.arange(20)), 3, True, num_workers=workers, generator=4),
    "in order": lambda workers: DataLoader(Numbers(20), 3, num_workers=workers),
    "single": lambda workers: DataLoader(Numbers(20), None, True, num_workers=workers, generator=4),
    "batch sampler": lambda workers: DataLoader(
        Numbers(20), batch_sampler=BatchSampler(RandomSampler(range(20), generator=4), 3, False), num_workers=workers
    ),
    "iterable": lambda workers: DataLoader(Stream(20), 3, num_workers=workers),
    "own batches": lambda workers: DataLoader(
        Numbers(20), batch_sampler=[[1, 2], [3], [4, 5]] * 2, num_workers=workers
    ),
}


@any_workers
@pytest.mark.parametrize("make", LOADERS.values(), ids=LOADERS)
def test_a_loader_goes_on_where_it_was_stopped(make, workers):
    whole = make(workers)
    epochs = [values(whole) for _ in range(3)]
    for stop in (1, 4):
        stopped = make(workers)
        list(stopped)
        for given, _ in enumerate(stopped, 1):
            if given == stop:
                state = json.loads(json.dumps(stopped.state_dict()))
                break
        resumed = make(0)
        if "generator" in vars(resumed.sampler or object):
            resumed.sampler.generator = 99  # the seed comes from the state
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        assert values(resumed) == epochs[1][stop:]
        assert values(resumed) == epochs[2]


def test_between_epochs_the_state_is_the_beginning_of_the_next():
    loader = DataLoader(Numbers(6), 2, True, generator=1)
    assert loader.state_dict() == {"epoch": 0, "position": 0, "seed": 1, "batches": 3}
    expected = DataLoader(Numbers(6), 2, True, generator=1)
    list(expected), list(loader)
    assert loader.state_dict() == {"epoch": 1, "position": 0, "seed": 1, "batches": 3}
    resumed = DataLoader(Numbers(6), 2, True)
    resumed.load_state_dict(loader.state_dict())
    assert values(resumed) == values(expected)


def test_batches_fetched_ahead_do_not_count_as_given():
    loader = DataLoader(Numbers(40), 2, num_workers=2, prefetch_factor=4)
    batches = iter(loader)
    next(batches)
    time.sleep(0.02)
    assert loader.state_dict()["position"] == 1
    batches.close()


def test_the_state_of_another_loader_is_refused():
    state = DataLoader(Numbers(20), 3).state_dict()
    with pytest.raises(ValueError, match="7 batches, this one has 5"):
        DataLoader(Numbers(20), 4).load_state_dict(state)


@pytest.mark.torch
@pytest.mark.parametrize("options", [{"batch_size": 4}, {"batch_size": 4, "drop_last": True}, {"batch_size": None}, {}])
def test_batches_are_those_of_pytorch(options):
    torch = pytest.importorskip("torch")
    torch_data = pytest.importorskip("torch.utils.data")
    x, y = np.arange(30.0, dtype=np.float32).reshape(10, 3), np.arange(10)
    ours = DataLoader(TensorDataset(gpunn.from_numpy(x), gpunn.from_numpy(y)), **options)
    theirs = torch_data.DataLoader(torch_data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), **options)
    assert len(ours) == len(theirs)
    for batch, other in zip(ours, theirs, strict=True):
        assert type(batch) is type(other)
        for our, their in zip(batch, other, strict=True):
            assert tuple(our.shape) == tuple(their.shape)
            np.testing.assert_array_equal(our.numpy(), their.numpy())
