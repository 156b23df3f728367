"""From arrays, data sets and loaders to batches."""

import numpy as np
import pytest

import gpunn
from gpunn import nn
from gpunn.datasets import DataError
from gpunn.train.arguments import validation_of
from gpunn.train.data import as_dataset, as_input, as_loader, batches, hold_out, in_groups
from gpunn.train.objective import Objective
from gpunn.utils.data import ArrayDataset, DataLoader, Dataset, TensorDataset

from .conftest import make_trainer

MODEL = nn.Linear(2, 2)
CPU = gpunn.device("cpu")


class Squares(Dataset):
    def __init__(self, n=10):
        self.n = n

    def __getitem__(self, index):
        return gpunn.full((2,), float(index)), gpunn.tensor(index**2)

    def __len__(self):
        return self.n


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.zeros((2, 2)), gpunn.float32),
        (np.zeros((2, 2), np.float16), gpunn.float32),
        ([[1.5, 2.0]], gpunn.float32),
        (np.zeros(2, np.uint8), gpunn.int64),
        (np.zeros(2, np.int32), gpunn.int64),
        ([1, 2], gpunn.int64),
        (np.zeros(2, bool), gpunn.bool),
    ],
)
def test_arrays_take_the_types_that_models_want(array, dtype):
    tensor = as_input(array, MODEL)
    assert tensor.dtype is dtype
    assert tensor.tolist() == np.asarray(array).tolist()


def test_floats_take_the_type_of_the_model():
    assert as_input(np.zeros(3, np.float32), nn.Linear(2, 2).double()).dtype is gpunn.float64
    assert as_input(np.zeros(3, np.float64), nn.Flatten()).dtype is gpunn.float32


def test_tensors_stay_as_they_are():
    x = gpunn.zeros(3, dtype="float64")
    assert as_input(x, MODEL) is x


def test_batches_of_arrays():
    x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    loader = as_loader((x, y), MODEL, 2)
    found = list(batches(loader, Objective("cross_entropy", MODEL), CPU))
    assert [batch.inputs[0].tolist() for batch in found] == [x[:2].tolist(), x[2:4].tolist(), x[4:].tolist()]
    assert [batch.target.tolist() for batch in found] == [[0, 1], [2, 3], [4]]
    assert [batch.share for batch in found] == [2, 2, 1]
    assert [batch.samples for batch in found] == [2, 2, 1]


def test_several_inputs():
    loader = as_loader((np.zeros((3, 2)), np.ones((3, 1)), np.zeros(3, int)), MODEL, 3)
    (batch,) = batches(loader, Objective("cross_entropy", MODEL), CPU)
    assert [x.shape for x in batch.inputs] == [(3, 2), (3, 1)]


def test_a_dataset_and_a_loader():
    (batch,) = batches(as_loader(Squares(3), MODEL, 3), Objective("mse", MODEL), CPU)
    assert batch.target.tolist() == [0, 1, 4]
    loader = DataLoader(Squares(), 4)
    assert as_loader(loader, MODEL, None) is loader


def test_shuffling_is_by_the_seed():
    x, y = np.zeros((20, 1)), np.arange(20)

    def order(seed):
        return [
            b.target.tolist() for b in batches(as_loader((x, y), MODEL, 20, shuffle=True, seed=seed), objective, CPU)
        ]

    objective = Objective("cross_entropy", MODEL)
    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)[0]) == list(range(20))


@pytest.mark.parametrize(("count", "size", "groups"), [(5, 1, [1] * 5), (5, 2, [2, 2, 1]), (4, 2, [2, 2]), (3, 9, [3])])
def test_groups(count, size, groups):
    found = list(in_groups(iter(range(count)), size))
    assert [len(group) for group in found] == groups
    assert [x for group in found for x in group] == list(range(count))


def test_a_part_is_held_out_by_class():
    y = np.repeat([0, 1, 2], [10, 20, 70])
    train, held = hold_out((np.arange(100.0)[:, None], y), 0.2, MODEL, seed=1)
    labels = [held[i][1].item() for i in range(len(held))]
    assert [labels.count(c) for c in range(3)] == [2, 4, 14]
    samples = [part[i][0].item() for part in (train, held) for i in range(len(part))]
    assert sorted(samples) == list(range(100))
    other = hold_out((np.arange(100.0)[:, None], y), 0.2, MODEL, seed=2)[1]
    assert held.indices != other.indices


def test_a_part_of_other_data_is_held_out_at_random():
    for data in ((np.zeros((10, 1)), np.zeros((10, 1))), Squares()):
        parts = hold_out(data, 0.3, MODEL, seed=1)
        assert [len(part) for part in parts] == [7, 3]
    first, again, other = (hold_out(Squares(100), 0.3, MODEL, seed=seed)[1].indices for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (3, TypeError, "data is int; expected"),
        ((np.zeros(3),), TypeError, "a tuple of 1; expected"),
        ((np.zeros((3, 2)), np.zeros(4)), ValueError, r"\(3, 2\).*\(4,\)"),
        ((np.zeros((0, 2)), np.zeros(0)), DataError, "no sample"),
        (Squares(0), DataError, "no sample"),
        ((np.array(["a", "b"]), np.zeros(2)), TypeError, "<U1"),
    ],
)
def test_bad_data(data, error, message):
    with pytest.raises(error, match=message):
        as_dataset(data, MODEL)


def test_a_loader_has_its_own_batch_size():
    with pytest.raises(ValueError, match="the DataLoader has one already"):
        as_loader(DataLoader(Squares()), MODEL, 4)
    with pytest.raises(ValueError, match="single samples"):
        as_loader(DataLoader(Squares(), batch_size=None), MODEL, None)


@pytest.mark.parametrize(
    ("data", "fraction", "error", "message"),
    [
        (Squares(), 1.5, ValueError, "validation is 1.5"),
        (Squares(), 0.01, DataError, "10 samples are too few to hold out 1%"),
        (DataLoader(Squares()), 0.1, TypeError, "a DataLoader can't be split"),
    ],
)
def test_bad_fractions(data, fraction, error, message):
    with pytest.raises(error, match=message):
        hold_out(data, fraction, MODEL, seed=0)


def test_batches_have_inputs_and_a_target():
    loader = DataLoader(TensorDataset(gpunn.zeros(3, 2)), 3)
    with pytest.raises(TypeError, match=r"expected \(\*inputs, target\)"):
        list(batches(loader, Objective("mse", MODEL), CPU))


def test_memory_mapped_arrays_are_read_by_batches(task, tmp_path, monkeypatch):
    x, y = task.x.astype(np.float64), task.y.astype(np.int16)
    expected = make_trainer(seed=0).fit((x, y), 2, validation=0.2, batch_size=8)
    for name, array in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", array)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    read, rows = [], ArrayDataset.rows
    monkeypatch.setattr(ArrayDataset, "rows", lambda self, indices: read.append(1) or rows(self, indices))
    trainer = make_trainer(seed=0)
    found = trainer.fit((mapped, np.load(tmp_path / "y.npy", mmap_mode="r")), 2, validation=0.2, batch_size=8)
    assert found["val_loss"] == expected["val_loss"] and len(read) == 2 * (9 + 1)  # 72 samples by 8, and 18 at once
    assert trainer.evaluate(mapped, y) == trainer.evaluate(x, y)
    np.testing.assert_array_equal(trainer.predict(mapped, 16).numpy(), trainer.predict(x, 16).numpy())
    with pytest.raises(ValueError, match=r"the arrays have shapes \(90, 4\), \(89,\)"):
        trainer.fit(mapped, y[1:])


def test_arrays_of_the_other_byte_order(tmp_path):
    x = np.arange(6, dtype=">f4").reshape(2, 3)
    np.save(tmp_path / "x.npy", x)
    for each in (x, np.load(tmp_path / "x.npy", mmap_mode="r")):
        found = next(iter(DataLoader(as_dataset((each, np.array([0, 1], ">i8")), nn.Linear(3, 2)), 2)))
        assert [part.tolist() for part in found] == [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], [0, 1]]


def test_what_has_the_wrong_form_is_named():
    with pytest.raises(ValueError, match=r"x and y have \[10, 9\] samples"):
        validation_of((np.zeros((10, 3)), np.zeros(9)), None, None, 0.2)
    trainer = make_trainer(augment=lambda x, y: x)
    with pytest.raises(TypeError, match="augment gave a Tensor; expected 2: inputs and target"):
        trainer.fit(np.zeros((4, 6), np.float32), np.zeros(4, int))
