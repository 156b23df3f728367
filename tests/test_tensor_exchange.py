"""Tensors and NumPy's arrays, DLPack, and copies by pickle."""

from __future__ import annotations

import copy
import gc
import io
import pickle

import numpy as np
import pytest

import gpunn

from .every_dtype import every_dtype

# To NumPy, and arithmetic with it


def test_numpy_shares_memory() -> None:
    x = gpunn.zeros(3)
    x.numpy()[1] = 7
    assert x.tolist() == [0, 7, 0]
    assert np.asarray(x).base is x.numpy() or np.shares_memory(np.asarray(x), x.numpy())
    with pytest.raises(RuntimeError, match=r"tensor.detach\(\).numpy\(\)"):
        gpunn.ones(2, requires_grad=True).numpy()
    assert gpunn.ones(2, requires_grad=True).numpy(force=True).tolist() == [1, 1]


def test_array_protocol() -> None:
    x = gpunn.tensor([1.5, 2.5])
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.array(x).tolist() == [1.5, 2.5]
    copied = np.array(x, copy=True)
    copied[0] = 9
    assert x.tolist() == [1.5, 2.5]
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        with pytest.raises(ValueError, match="without a copy"):
            np.asarray(x, dtype=np.float64, copy=False)
    assert np.sin(x).tolist() == np.sin(np.array([1.5, 2.5], np.float32)).tolist()
    assert np.concatenate([x, x]).tolist() == [1.5, 2.5, 1.5, 2.5]


@pytest.mark.parametrize(
    "operator",
    [
        "__add__",
        "__sub__",
        "__mul__",
        "__truediv__",
        "__floordiv__",
        "__mod__",
        "__pow__",
        "__eq__",
        "__lt__",
        "__ge__",
    ],
)
def test_arrays_and_tensors_meet_in_tensors(operator: str) -> None:
    import operator as operators

    function = getattr(operators, operator)
    a, b = np.array([[3.0, 5.0, 7.0]]), np.array([2.0, 5.0, 4.0])
    expected = function(a, b)
    for got in (function(gpunn.tensor(a), b), function(a, gpunn.tensor(b)), function(gpunn.tensor(a), gpunn.tensor(b))):
        assert isinstance(got, gpunn.Tensor)
        np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize(
    "scalar", [np.float64(2), np.float32(2), np.int64(2), np.int8(2), np.float16(2), np.bool_(True)]
)
def test_numpy_scalars_are_numbers(scalar) -> None:
    x = gpunn.ones(3)
    number = scalar.item()
    for ours, expected in (
        (x + scalar, x + number),
        (scalar + x, number + x),
        (x / scalar, x / number),
        (scalar * x, number * x),
        (scalar / x, number / x),
        (x.clamp(min=scalar), x.clamp(min=number)),
        (gpunn.where(x > 0, scalar, x), gpunn.where(x > 0, number, x)),
        (x > scalar, x > number),
        (x**scalar, x**number),
        (x.add(x, alpha=scalar), x.add(x, alpha=number)),
        (gpunn.full((3,), scalar, dtype=gpunn.float32), gpunn.full((3,), number, dtype=gpunn.float32)),
    ):
        assert isinstance(ours, gpunn.Tensor)
        assert ours.dtype is expected.dtype
        assert ours._data.dtype == ours.dtype.numpy
        assert ours.tolist() == expected.tolist()


def test_gradients_flow_through_arithmetic_with_arrays() -> None:
    x = gpunn.ones(3, requires_grad=True)
    (np.arange(3, dtype=np.float32) * x).sum().backward()
    assert x.grad.tolist() == [0, 1, 2]


def test_unknown_operands_are_left_to_the_other_side() -> None:
    class Other:
        def __radd__(self, other):
            return "mine"

        __rmul__ = __rmatmul__ = __radd__

        def __eq__(self, other):
            return "equal"

        __hash__ = None

    x = gpunn.ones(2)
    assert x + Other() == x * Other() == x @ Other() == "mine"
    assert (x == Other()) == "equal"
    assert (x == None) is False  # noqa: E711
    assert (x != "text") is True
    assert x not in [None, "text"]
    for function in (lambda: x + "a", lambda: x - None, lambda: x < "a", lambda: x @ "a", lambda: {} | x):
        with pytest.raises(TypeError, match=r"unsupported operand|not supported"):
            function()
    with pytest.raises(TypeError, match="Add takes tensors and numbers, got str"):
        gpunn.add(x, "a")


def test_numbers_alone_make_tensors() -> None:
    assert gpunn.add(1, 2).tolist() == 3
    assert gpunn.mul(2, 1.5).dtype is gpunn.float32
    assert gpunn.eq(1, 1).item() is True


# DLPack


def test_dlpack_both_ways() -> None:
    x = gpunn.tensor([[1.0, 2.0], [3.0, 4.0]]).t()
    array = np.from_dlpack(x)
    assert array.tolist() == [[1, 3], [2, 4]]
    assert np.shares_memory(array, x.numpy())
    back = gpunn.from_dlpack(array)
    assert back.tolist() == array.tolist()
    assert back.data_ptr() == x.data_ptr()
    assert x.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match=r"tensor.detach\(\)"):
        np.from_dlpack(gpunn.ones(2, requires_grad=True))


def test_dlpack_with_torch(torch) -> None:
    theirs = torch.arange(6.0).reshape(2, 3)
    ours = gpunn.from_dlpack(theirs)
    assert ours.tolist() == theirs.tolist()
    back = torch.from_dlpack(gpunn.tensor([1.0, 2.0]))
    assert back.tolist() == [1, 2]


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.T, lambda x: x[1:, ::2], lambda x: x[0, 0]])
def test_dlpack_of_bfloat16_with_torch(torch, view) -> None:
    ours = view(gpunn.tensor([[1.5, -2.0, 3.0], [0.0, 1e30, 7.0]], dtype=gpunn.bfloat16))
    there = torch.from_dlpack(ours)
    assert there.dtype is torch.bfloat16
    assert there.data_ptr() == ours.data_ptr()
    assert there.tolist() == ours.tolist()
    back = gpunn.from_dlpack(there)
    assert back.dtype is gpunn.bfloat16
    assert back.tolist() == ours.tolist()
    theirs = view(torch.tensor([[1.5, -2.0, 3.0], [0.0, 1e30, 7.0]], dtype=torch.bfloat16))
    here = gpunn.from_dlpack(theirs)
    assert (here.dtype, here.data_ptr()) == (gpunn.bfloat16, theirs.data_ptr())
    assert here.tolist() == theirs.tolist()


@every_dtype
def test_dlpack_of_every_type_with_torch(torch, name) -> None:
    ours = gpunn.tensor([[0, 1], [1, 0]]).to(getattr(gpunn, name))
    there = torch.from_dlpack(ours)
    assert there.dtype is getattr(torch, name)
    assert there.tolist() == ours.tolist()
    assert gpunn.from_dlpack(there).dtype is ours.dtype


def test_dlpack_of_bfloat16_keeps_the_memory_alive() -> None:
    x = gpunn.from_dlpack(gpunn.tensor([1.0, 2.0], dtype=gpunn.bfloat16))
    gc.collect()
    x += 1
    assert x.tolist() == [2, 3]


# Copies


@every_dtype
def test_pickle(name: str) -> None:
    x = gpunn.tensor([[1, 0, 1]], dtype=getattr(gpunn, name))
    y = pickle.loads(pickle.dumps(x))
    assert y.dtype is x.dtype
    assert y.tolist() == x.tolist()


def test_pickle_keeps_what_is_not_history() -> None:
    x = gpunn.ones(2, 3, requires_grad=True)
    buffer = io.BytesIO()
    pickle.dump({"x": x, "y": (x * 2).t()}, buffer)
    buffer.seek(0)
    loaded = pickle.load(buffer)
    assert loaded["x"].requires_grad
    assert loaded["y"].tolist() == [[2, 2]] * 3
    assert loaded["y"].is_leaf
    assert loaded["x"].grad is None


def test_deepcopy() -> None:
    x = gpunn.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    pair = copy.deepcopy([x, x])
    assert pair[0] is pair[1]
    assert pair[0] is not x
    assert pair[0].requires_grad
    assert pair[0].grad.tolist() == [3, 3]
    with gpunn.no_grad():
        pair[0].zero_()
        pair[0].grad.zero_()
    assert (x.tolist(), x.grad.tolist()) == ([1, 1], [3, 3])
    with pytest.raises(RuntimeError, match="only leaves"):
        copy.deepcopy(x * 2)
    assert copy.deepcopy((x * 2).detach()).tolist() == [2, 2]
