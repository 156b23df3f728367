import numpy as np
import pytest

import gpunn
from gpunn.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from gpunn.utils.data.order import permutation, words


def test_a_permutation_is_the_order_of_the_words_of_philox():
    n = 1000
    philox = np.random.Philox(key=np.array([7, 2], np.uint64), counter=np.array([0, 3, 0, 0], np.uint64))
    bits = 10  # of the numbers 0 to 999
    expected = np.argsort(philox.random_raw(n) >> np.uint64(bits), kind="stable")
    np.testing.assert_array_equal(permutation(words(seed=7, epoch=3), n), expected)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 255, 256, 257])
def test_a_permutation_has_every_number_once(n):
    order = permutation(words(0, 0), n)
    assert order.dtype == np.int64 and sorted(order.tolist()) == list(range(n))


def test_every_permutation_is_as_likely_as_any_other():
    counts = {}
    for epoch in range(6000):
        order = tuple(permutation(words(1, epoch), 3).tolist())
        counts[order] = counts.get(order, 0) + 1
    chi_squared = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert len(counts) == 6 and chi_squared < 20.5  # 99.9 % of chi-squared with 5 degrees of freedom


def test_sequential_sampler():
    assert list(SequentialSampler("abcd")) == [0, 1, 2, 3] and len(SequentialSampler("abcd")) == 4


def test_the_order_depends_on_seed_and_epoch_alone():
    first, second = RandomSampler(range(50), generator=5), RandomSampler(range(50), generator=5)
    epochs = [list(first) for _ in range(3)]
    assert epochs == [list(second) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    first.set_epoch(1)
    assert list(first) == epochs[1]
    assert list(RandomSampler(range(50), generator=6)) != epochs[0]


def test_the_seed_is_an_integer_a_generator_or_that_of_manual_seed():
    by_integer = list(RandomSampler(range(20), generator=5))
    assert list(RandomSampler(range(20), generator=gpunn.Generator().manual_seed(5))) == by_integer
    state = gpunn.get_rng_state()
    try:
        gpunn.manual_seed(5)
        assert list(RandomSampler(range(20))) == by_integer
    finally:
        gpunn.set_rng_state(state)
    with pytest.raises(TypeError, match="generator is of type str; expected an integer seed"):
        list(RandomSampler(range(20), generator="5"))


def test_more_samples_than_there_are_come_from_one_permutation_after_another():
    sampler = RandomSampler(range(5), num_samples=12, generator=0)
    order = list(sampler)
    assert len(order) == len(sampler) == 12
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5)) and order[10] != order[11]
    assert order[:5] != order[5:10]


def test_fewer_samples_are_the_beginning_of_a_permutation():
    assert list(RandomSampler(range(9), num_samples=4, generator=2)) == list(RandomSampler(range(9), generator=2))[:4]


def test_with_replacement_each_draw_is_independent_and_uniform():
    order = list(RandomSampler(range(4), replacement=True, num_samples=8000, generator=0))
    counts = np.bincount(order, minlength=4)
    assert sum((counts - 2000) ** 2 / 2000) < 16.3  # 99.9 % of chi-squared with 3 degrees of freedom
    repeats = np.mean(np.diff(order) == 0)
    assert abs(repeats - 0.25) < 0.02


def test_subset_random_sampler():
    sampler = SubsetRandomSampler([3, 30, 33], generator=0)
    assert sorted(sampler) == [3, 30, 33] and len(sampler) == 3
    assert len({tuple(sampler) for _ in range(30)}) == 6


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"num_samples": 0}, ValueError),
        ({"num_samples": -1}, ValueError),
        ({"num_samples": 2.5}, ValueError),
        ({"replacement": 1}, TypeError),
    ],
)
def test_options_of_the_random_sampler_are_checked(options, error):
    with pytest.raises(error, match="RandomSampler"):
        RandomSampler(range(5), **options)


def test_nothing_to_sample_is_an_error():
    for options in ({}, {"num_samples": 3}):
        with pytest.raises(ValueError, match="RandomSampler"):
            RandomSampler([], **options)


@pytest.mark.torch
@pytest.mark.parametrize("n", [0, 1, 6, 7])
@pytest.mark.parametrize("size", [1, 3, 10])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_are_those_of_pytorch(n, size, drop_last):
    torch_data = pytest.importorskip("torch.utils.data")
    ours = BatchSampler(SequentialSampler(range(n)), size, drop_last)
    theirs = torch_data.BatchSampler(torch_data.SequentialSampler(range(n)), size, drop_last)
    assert list(ours) == list(theirs) and len(ours) == len(theirs)


@pytest.mark.parametrize("options", [(0, False), (-1, False), (2.0, False), (True, False), (2, 1)])
def test_options_of_the_batch_sampler_are_checked(options):
    with pytest.raises(ValueError, match="BatchSampler"):
        BatchSampler(range(5), *options)


def test_a_sampler_has_to_say_its_order():
    with pytest.raises(NotImplementedError, match="Sampler lacks __iter__"):
        iter(Sampler())


@pytest.mark.parametrize("replacement", [True, False])
def test_weights_say_how_likely_a_sample_is(replacement):
    weights = np.array([1.0, 0.0, 2.0, 5.0])
    sampler = WeightedRandomSampler(weights, 1, replacement, generator=3)
    counts = np.bincount([next(iter(sampler)) for _ in range(8000)], minlength=4)
    expected = weights * 1000
    chi_squared = sum((counts[i] - expected[i]) ** 2 / expected[i] for i in (0, 2, 3))
    assert counts[1] == 0 and chi_squared < 13.8  # 99.9 % of chi-squared with 2 degrees of freedom
    whole = WeightedRandomSampler([3, 1, 0, 2], 3, replacement=False)
    assert sorted(whole) == [0, 1, 3] and len(whole) == 3


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ([1.0], {"num_samples": 0}, "num_samples is 0; expected a positive integer"),
        ([1.0, -1.0], {"num_samples": 1}, "finite and not negative"),
        ([float("nan")], {"num_samples": 1}, "finite and not negative"),
        ([0.0, 0.0], {"num_samples": 1}, "0 weights are above 0, and 1 samples are asked for"),
        ([1.0, 0.0], {"num_samples": 2, "replacement": False}, "1 weights are above 0, and 2 samples are asked for"),
        ([1.0], {"num_samples": 1, "replacement": 1}, "replacement is 1; expected True or False"),
    ],
)
def test_weights_that_are_none(weights, options, message):
    with pytest.raises(ValueError, match=message):
        WeightedRandomSampler(weights, **options)


@pytest.mark.torch
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize(("n", "ranks"), [(10, 3), (9, 3), (2, 5)])
def test_the_parts_of_processes(torch, n, ranks, drop_last):
    for rank in range(ranks):
        options = {"num_replicas": ranks, "rank": rank, "shuffle": False, "drop_last": drop_last}
        ours, theirs = DistributedSampler(range(n), **options), torch.utils.data.DistributedSampler(range(n), **options)
        assert list(ours) == list(theirs) and len(ours) == len(theirs)
    parts = [DistributedSampler(range(9), 3, rank, seed=4) for rank in range(3)]
    first, second = ([i for part in parts for i in part] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(9)) and first != second
    with pytest.raises(ValueError, match="rank is 3; expected 0 to 2"):
        DistributedSampler(range(9), 3, 3)
    with pytest.raises(ValueError, match="expected num_replicas and rank"):
        DistributedSampler(range(9))


def test_a_loader_goes_on_with_their_seeds():
    for make in (
        lambda seed: WeightedRandomSampler([1, 2, 3, 4, 5, 6], 6, generator=seed),
        lambda seed: DistributedSampler(range(12), 2, 1, seed=seed),
    ):
        loader = DataLoader(range(12), 2, sampler=make(7))
        batches = iter(loader)
        next(batches)
        again = DataLoader(range(12), 2, sampler=make(8))
        again.load_state_dict(loader.state_dict())
        assert [b.tolist() for b in again] == [b.tolist() for b in batches]
