from collections import OrderedDict, UserDict, UserList, defaultdict, namedtuple
from types import MappingProxyType

import numpy as np
import pytest

import gpunn
from gpunn.utils.data import default_collate, default_convert

torch = pytest.importorskip("torch")
torch_data = pytest.importorskip("torch.utils.data")
pytestmark = pytest.mark.torch

Point = namedtuple("Point", "x y")

SAMPLES = {
    "float": [1.5, 2.5],
    "int": [1, 2],
    "bool": [True, False],
    "int and float": [1, 2.5],
    "text": ["a", "b"],
    "bytes": [b"a", b"b"],
    "array": [np.arange(6, dtype=np.int32).reshape(2, 3), np.ones((2, 3), np.int32)],
    "0-d array": [np.array(1.5), np.array(2.5)],
    "float32": [np.float32(1.5), np.float32(2.5)],
    "float64": [np.float64(1.5), np.float64(2.5)],
    "int8": [np.int8(1), np.int8(2)],
    "bool_": [np.bool_(True), np.bool_(False)],
    "tuple": [(1, 2.5, "a"), (3, 4.5, "b")],
    "list": [[1, 2.5], [3, 4.5]],
    "named tuple": [Point(1, 2.5), Point(3, 4.5)],
    "dict": [{"a": 1, "b": (2, 3)}, {"a": 4, "b": (5, 6)}],
    "ordered dict": [OrderedDict(a=1), OrderedDict(a=4)],
    "default dict": [defaultdict(list, a=1), defaultdict(list, a=4)],
    "user's dict": [UserDict(a=1), UserDict(a=4)],
    "user's list": [UserList([1, 2]), UserList([3, 4])],
    "read-only mapping": [MappingProxyType({"a": 1}), MappingProxyType({"a": 2})],
    "range": [range(2), range(2)],
    "nothing in it": [(), ()],
}


def same(ours, theirs):
    """Ours has the structure, types and values of PyTorch's, with our tensors in the place of its."""
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, gpunn.Tensor) and str(ours.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1]
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        return
    assert type(ours) is type(theirs)
    if hasattr(theirs, "keys"):
        assert list(ours) == list(theirs)
        for key in theirs:
            same(ours[key], theirs[key])
    elif isinstance(theirs, (list, tuple, UserList)):
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs):
            same(our, their)
    else:
        assert ours == theirs


@pytest.mark.parametrize("batch", SAMPLES.values(), ids=SAMPLES)
def test_batches_are_those_of_pytorch(batch):
    same(default_collate(batch), torch_data.default_collate(batch))


@pytest.mark.parametrize("batch", SAMPLES.values(), ids=SAMPLES)
def test_single_samples_are_those_of_pytorch(batch):
    same(default_convert(batch[0]), torch_data.default_convert(batch[0]))


def test_tensors_are_stacked():
    values = np.arange(6.0).reshape(2, 3)
    batch = default_collate([gpunn.from_numpy(row) for row in values])
    np.testing.assert_array_equal(batch.numpy(), values)
    assert default_convert(batch) is batch


def test_mappings_keep_what_else_they_carry():
    assert default_collate([defaultdict(list, a=1)] * 2)["absent"] == []


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([np.ones(3), np.ones(2)], r"\(3,\) came at position 0 and \(2,\) at 1"),
        ([gpunn.ones(3), gpunn.ones(3, 1)], r"\(3,\) came at position 0 and \(3, 1\) at 1"),
        ([(1, 2), (1, 2, 3)], "same number of entries"),
    ],
)
def test_samples_of_different_shapes_are_refused_as_by_pytorch(batch, message):
    with pytest.raises(RuntimeError, match=message):
        default_collate(batch)


@pytest.mark.parametrize("sample", [None, object(), {1, 2}, 1j, np.array(["a"]), np.array([None])])
def test_other_kinds_of_samples_are_refused_as_by_pytorch(sample):
    if not isinstance(sample, complex):
        with pytest.raises(TypeError):
            torch_data.default_collate([sample] * 2)
    with pytest.raises(TypeError, match="give the DataLoader a collate_fn"):
        default_collate([sample] * 2)
