import numpy as np
import pytest

import gpunn
from gpunn.utils.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)


class Squares(Dataset):
    def __init__(self, n):
        self.n = n

    def __getitem__(self, index):
        return index**2

    def __len__(self):
        return self.n


def test_tensor_dataset():
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    data = TensorDataset(gpunn.from_numpy(x), gpunn.from_numpy(y))
    assert len(data) == 6
    np.testing.assert_array_equal(data[4][0].numpy(), [8, 9])
    assert data[4][1].item() == data[-2][1].item() == 4


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ((), ValueError, "at least one tensor"),
        ((np.ones(3),), TypeError, "got ndarray; expected tensors, see gpunn.from_numpy"),
        ((gpunn.ones(3, 2), gpunn.ones(2, 2)), ValueError, r"\(3, 2\), \(2, 2\); expected the same first dimension"),
        ((gpunn.ones(()),), ValueError, "expected the same first dimension"),
    ],
)
def test_tensors_of_a_dataset_have_one_length(tensors, error, message):
    with pytest.raises(error, match=message):
        TensorDataset(*tensors)


def test_subset():
    subset = Subset(Subset(Squares(10), [9, 7, 5]), [2, 0])
    assert len(subset) == 2 and [subset[0], subset[1]] == [25, 81]
    assert subset.__getitems__([1, 0]) == [81, 25]


def test_datasets_one_after_another():
    data = Squares(3) + Subset(Squares(9), []) + Squares(2)
    assert isinstance(data, ConcatDataset) and len(data) == 5
    assert [data[i] for i in range(5)] == [0, 1, 4, 0, 1] == [data[i] for i in range(-5, 0)]
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 5 samples"):
            data[index]


def test_only_datasets_with_an_index_come_one_after_another():
    with pytest.raises(ValueError, match="at least one"):
        ConcatDataset([])
    with pytest.raises(TypeError, match="IterableDataset"):
        Squares(3) + IterableDataset()


@pytest.mark.torch
@pytest.mark.parametrize(
    "lengths", [[3, 7], [10], [0, 10], [0.3, 0.7], [1 / 3] * 3, [0.15, 0.15, 0.7], [0.99, 0.01], [1.0], [1]]
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_the_sizes_of_a_split_are_those_of_pytorch(lengths):
    torch_data = pytest.importorskip("torch.utils.data")
    n = 1 if lengths == [1] else 10
    ours, theirs = random_split(Squares(n), lengths, generator=0), torch_data.random_split(range(n), lengths)
    assert [len(part) for part in ours] == [len(part) for part in theirs]


def test_a_split_is_random_without_overlap_and_the_same_for_a_seed():
    def indices(generator):
        return [part.indices for part in random_split(Squares(100), [0.8, 0.2], generator=generator)]

    train, test = indices(1)
    assert sorted(train + test) == list(range(100)) and train != sorted(train)
    assert indices(1) == [train, test] != indices(2)
    generator = gpunn.Generator(1)
    assert indices(generator) == [train, test] != indices(generator)  # the next draw of the generator
    assert indices(generator.manual_seed(1)) == [train, test]


@pytest.mark.parametrize("lengths", [[3, 8], [0.5, 0.6], [-1, 11], [], [2.5, 7.5]])
def test_lengths_have_to_add_up(lengths):
    with pytest.raises(ValueError, match="do not add up to the 10 samples"):
        random_split(Squares(10), lengths)


def test_a_fraction_lies_between_0_and_1():
    with pytest.raises(ValueError, match=r"fraction -0\.5 at index 0"):
        random_split(Squares(10), [-0.5, 1.5])


def test_an_empty_subset_is_warned_of():
    with pytest.warns(UserWarning, match="subset at index 1 is empty") as warned:
        random_split(Squares(2), [0.5, 0, 0.5])
    assert [warning.filename for warning in warned] == [__file__]


def test_what_a_dataset_lacks_is_named():
    with pytest.raises(NotImplementedError, match="Dataset lacks __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="IterableDataset lacks __iter__"):
        iter(IterableDataset())


def test_data_sets_side_by_side():
    first, second = TensorDataset(gpunn.arange(3)), [5, 6, 7]
    stacked = StackDataset(first, second)
    assert len(stacked) == 3 and stacked[1][1] == 6
    assert [[x[0].tolist(), y.tolist()] for x, y in DataLoader(stacked, 2)] == [[[0, 1], [5, 6]], [[2], [7]]]
    named = StackDataset(a=[1, 2], b=[3, 4])
    assert named[1] == {"a": 2, "b": 4}
    (batch,) = DataLoader(named, 2)
    assert {name: t.tolist() for name, t in batch.items()} == {"a": [1, 2], "b": [3, 4]}
    with pytest.raises(ValueError, match=r"the data sets have \[2, 3\] samples; expected the same number"):
        StackDataset([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="all without a name, or all by name"):
        StackDataset([1], a=[1])


def test_streams_one_after_the_other():
    class Stream(IterableDataset):
        def __init__(self, *values):
            self.values = values

        def __iter__(self):
            return iter(self.values)

        def __len__(self):
            return len(self.values)

    chain = Stream(1, 2) + Stream(3)
    assert isinstance(chain, ChainDataset) and list(chain) == [1, 2, 3] and len(chain) == 3
    with pytest.raises(TypeError, match="list is no IterableDataset; see ConcatDataset"):
        list(ChainDataset([Stream(1), [2]]))
