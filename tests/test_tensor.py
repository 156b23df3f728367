"""Tensors: making them, what they are, and their way to Python, NumPy and back."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest

import gpunn

from .every_dtype import every_dtype

# Making them


@pytest.mark.parametrize(
    "data",
    [
        1.5,
        3,
        True,
        [1, 2],
        [1, 2.5],
        [True, False],
        [True, 2],
        [[1.0, 2.0], [3.0, 4.0]],
        ((1, 2), (3, 4)),
        [],
        [[], []],
        np.float64(1.5),
        np.float32(1.5),
        np.int32(3),
        np.arange(3, dtype=np.int16),
        np.ones((2, 3)),
        [np.float32(1), np.float32(2)],
        [np.float64(1)],
        [np.arange(2), np.arange(2)],
        np.array(2.5),
        np.arange(6).reshape(2, 3).T,
        float("nan"),
    ],
    ids=repr,
)
def test_values_and_types_are_torch_s(data, torch) -> None:
    ours = gpunn.tensor(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch finds lists of arrays slow
        theirs = torch.tensor(data)
    assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_lists_of_tensors() -> None:
    assert gpunn.tensor([gpunn.tensor(1.5), gpunn.tensor(2.5)]).tolist() == [1.5, 2.5]
    assert gpunn.tensor([gpunn.tensor(1.0, dtype=gpunn.float64)]).dtype is gpunn.float64
    x = gpunn.ones(2, requires_grad=True)
    assert gpunn.tensor([x, x]).tolist() == [[1, 1], [1, 1]]


def test_a_new_tensor_shares_nothing() -> None:
    array = np.ones(2, np.float32)
    x = gpunn.tensor(array)
    y = gpunn.tensor(x)
    array[0] = 5
    x[1] = 7
    assert (x.tolist(), y.tolist()) == ([1, 7], [1, 1])
    assert y._base is None
    tracked = gpunn.ones(2, requires_grad=True)
    assert gpunn.tensor(tracked * 2).is_leaf
    assert not gpunn.tensor(tracked).requires_grad


def test_as_tensor_and_from_numpy_share_memory() -> None:
    array = np.zeros(3)
    for x in (gpunn.from_numpy(array), gpunn.as_tensor(array)):
        x += 1
    assert array.tolist() == [2, 2, 2]
    assert gpunn.as_tensor(x) is x
    assert gpunn.as_tensor(array, dtype=gpunn.float32).dtype is gpunn.float32
    assert gpunn.as_tensor([1, 2]).tolist() == [1, 2]
    view = gpunn.from_numpy(np.arange(6).reshape(2, 3)[:, ::-1])
    assert view.tolist() == [[2, 1, 0], [5, 4, 3]]
    assert view.stride() == (3, -1)


def test_memory_maps_become_plain_arrays(tmp_path) -> None:
    mapped = np.memmap(tmp_path / "numbers", np.float32, "w+", shape=(4,))
    x = gpunn.from_numpy(mapped)
    assert type(x.numpy()) is np.ndarray
    x.fill_(2)
    assert mapped.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gpunn.tensor([[1, 2], [3]]), ValueError, "different lengths"),
        (lambda: gpunn.tensor("text"), TypeError, "can't make numbers of str"),
        (lambda: gpunn.tensor(None), TypeError, "can't make numbers of NoneType"),
        (lambda: gpunn.tensor([1, None]), TypeError, "can't make numbers of list"),
        (lambda: gpunn.tensor([1j]), TypeError, "complex128.* is no type that gpunn has"),
        (lambda: gpunn.tensor([2**70]), TypeError, "object"),
        (lambda: gpunn.tensor([300], dtype=gpunn.uint8), RuntimeError, "300 can't be converted to gpunn.uint8 without"),
        (lambda: gpunn.tensor(-1.5, dtype=gpunn.uint8), RuntimeError, "-1.5 can't be converted to gpunn.uint8"),
        (lambda: gpunn.tensor([float("nan")], dtype=gpunn.int64), RuntimeError, "nan can't be converted"),
        (lambda: gpunn.tensor([1], requires_grad=True), RuntimeError, "only floats can require gradients"),
        (lambda: gpunn.from_numpy([1, 2]), TypeError, "takes a NumPy array, got list"),
        (lambda: gpunn.from_numpy(np.zeros(2, ">f4")), TypeError, "is no type"),
        (lambda: gpunn.zeros(-1), RuntimeError, "a size is negative"),
        (lambda: gpunn.zeros(2.5), TypeError, "integer"),
        (lambda: gpunn.full((2,), 300, dtype=gpunn.uint8), RuntimeError, "300 cannot be converted to type gpunn.uint8"),
        (lambda: gpunn.arange(0, 3, 0), RuntimeError, "never arrives"),
        (lambda: gpunn.arange(0, 3, -1), RuntimeError, "never arrives"),
        (lambda: gpunn.linspace(0, 1, -1), RuntimeError, "number of elements"),
    ],
)
def test_what_is_no_tensor_is_an_error(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_numbers_are_converted_as_in_torch(torch) -> None:
    for data, name in (([1.7, -1.7], "int64"), ([255], "uint8"), ([0, 2], "bool"), ([0.5], "bool"), (3, "float16")):
        ours, theirs = gpunn.tensor(data, dtype=getattr(gpunn, name)), torch.tensor(data, dtype=getattr(torch, name))
        assert ours.tolist() == theirs.tolist()


# What they are


def test_attributes() -> None:
    x = gpunn.zeros(2, 3, dtype=gpunn.float64)
    assert (x.shape, x.size(), x.size(1), x.size(-1), x.ndim, x.dim()) == ((2, 3), (2, 3), 3, 3, 2, 2)
    assert (x.numel(), x.nelement(), x.itemsize, x.element_size(), x.nbytes) == (6, 6, 8, 8, 48)
    assert (x.stride(), x.t().stride(), x.stride(0)) == ((3, 1), (1, 3), 3)
    assert (x.is_contiguous(), x.t().is_contiguous(), x.is_floating_point()) == (True, False, True)
    assert x.device is gpunn.device("cpu")
    assert x.data_ptr() == x.reshape(6).data_ptr() != x.clone().data_ptr()


def test_new_tensors_take_type_and_device_over() -> None:
    x = gpunn.zeros(2, dtype=gpunn.float64)
    made = x.new_zeros(3), x.new_ones((3,)), x.new_full((3,), 2), x.new_tensor([1, 2, 3]), x.new_empty(3)
    assert all(y.dtype is gpunn.float64 and y.shape == (3,) for y in made)
    assert [y.tolist() for y in made[:4]] == [[0, 0, 0], [1, 1, 1], [2, 2, 2], [1, 2, 3]]
    assert x.new_zeros(1, dtype=gpunn.int64).dtype is gpunn.int64
    assert not x.is_cuda


def test_requires_grad() -> None:
    x = gpunn.zeros(2)
    assert x.requires_grad_() is x
    x.requires_grad = False
    assert not x.requires_grad
    x.requires_grad = True
    y = x * 2
    with pytest.raises(RuntimeError, match="leaves only"):
        y.requires_grad = False
    with pytest.raises(RuntimeError, match="only floats"):
        gpunn.zeros(2, dtype=gpunn.int64).requires_grad_()
    assert y.detach_() is y
    assert y.is_leaf
    assert not y.requires_grad


def test_data() -> None:
    x = gpunn.ones(2, requires_grad=True)
    assert not x.data.requires_grad
    x.data.mul_(3)  # under no record
    assert x.tolist() == [3, 3]
    x.data = gpunn.zeros(3)
    assert x.shape == (3,)
    assert x.requires_grad
    with pytest.raises(TypeError, match="takes a tensor, got list"):
        x.data = [1.0]
    with pytest.raises(RuntimeError, match="only floats"):
        x.data = gpunn.zeros(2, dtype=gpunn.int64)


def test_detach_shares_memory_and_nothing_else() -> None:
    x = gpunn.ones(2, requires_grad=True)
    d = x.detach()
    d[0] = 5.0
    assert x.tolist() == [5, 1]
    assert d.is_leaf
    assert d.grad is None


# As a sequence


def test_sequence() -> None:
    x = gpunn.tensor([[1, 2], [3, 4]])
    assert len(x) == 2
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    _, b = x
    assert b.tolist() == [3, 4]
    assert 3 in x
    assert 5 not in x
    assert list(gpunn.zeros(0, 3)) == []
    for wrong in (len, iter):
        with pytest.raises(TypeError, match="0-d"):
            wrong(gpunn.tensor(1))


def test_tensors_are_hashed_by_identity() -> None:
    x, y = gpunn.ones(2), gpunn.ones(2)
    assert {x: 1, y: 2}[x] == 1
    assert len({x, y, x}) == 2


# To Python


@every_dtype
def test_item_and_tolist_are_python_numbers(name: str) -> None:
    x = gpunn.tensor([[1, 0]], dtype=getattr(gpunn, name))
    kind = bool if name == "bool" else float if "float" in name else int
    assert x.tolist() == [[1, 0]]
    assert all(type(v) is kind for v in x.tolist()[0])
    assert type(x[0, 0].item()) is kind
    assert type(x[0, 0].tolist()) is kind


def test_conversion_of_one_element() -> None:
    x = gpunn.tensor([[2.75]])
    assert (float(x), int(x), bool(x), x.item()) == (2.75, 2, True, 2.75)
    assert not gpunn.tensor(0.0)
    assert [10, 20, 30][gpunn.tensor(1)] == 20
    assert range(gpunn.tensor([3])) == range(3)
    many = gpunn.ones(2)
    for convert, error, message in (
        (float, RuntimeError, "one element, this is float32"),
        (int, RuntimeError, "one element"),
        (bool, RuntimeError, r"not one value; use .any\(\) or .all\(\)"),
        (gpunn.Tensor.item, RuntimeError, r"use tolist\(\)"),
        (range, TypeError, "single element"),
    ):
        with pytest.raises(error, match=message):
            convert(many)
    with pytest.raises(TypeError, match="only integer tensors"):
        [1][gpunn.tensor(0.0)]


# Numbers of the CPU beside tensors of a device


@pytest.mark.parametrize(
    "function",
    [
        lambda x, c: x + c,
        lambda x, c: c - x,
        lambda x, c: c / x,
        lambda x, c: x**c,
        gpunn.maximum,
        lambda x, c: gpunn.where(x > 1, x, c),
        lambda x, c: x.clamp(min=c),
        lambda x, c: gpunn.lerp(x, 2 * x, c),
        lambda x, c: x.masked_fill(x > 1, c),
        lambda x, c: gpunn.addcmul(x, x, c),
        lambda x, c: c * gpunn.tensor(2.0, device=x.device),  # both without dimensions
    ],
)
def test_a_number_on_the_cpu_beside_a_tensor_on_a_device(function) -> None:
    results = []
    for device in ("cpu", "sim"):
        x = gpunn.tensor([0.5, 2.0, 1.5], device=device, requires_grad=True)
        c = gpunn.tensor(1.25, requires_grad=True)
        y = function(x, c)
        assert y.device == x.device
        y.sum().backward()
        assert c.grad.device.type == "cpu"
        results.append([t.tolist() for t in (y, c.grad, x.grad) if t is not None])
    assert results[0] == results[1]


def test_a_number_of_the_cpu_does_not_decide_the_type() -> None:
    x = gpunn.tensor([1.0, 2.0], dtype=gpunn.float16, device="sim")
    assert (x * gpunn.tensor(2.0, dtype=gpunn.float64)).dtype is gpunn.float16
    assert (x > gpunn.tensor(1)).tolist() == [False, True]


def test_a_number_of_the_cpu_changes_a_tensor_in_place() -> None:
    x, c = gpunn.tensor([1.0, 2.0, 3.0], device="sim"), gpunn.tensor(2.0)
    x += c
    x.mul_(c)
    x[0] = c
    x[x > 9] = c
    assert x.tolist() == [2, 8, 2]
    assert x.fill_(c).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, c: x + c.reshape(1),
        lambda x, c: c.reshape(1) * x,
        lambda x, c: gpunn.cat([x, c.reshape(1)]),
        lambda x, c: x @ c.expand(2),
        lambda x, c: gpunn.stack([x[0], c]),
    ],
)
def test_more_than_a_number_has_to_be_moved(function) -> None:
    with pytest.raises(RuntimeError, match=r"on one device, got .* move one with .to\(device\)"):
        function(gpunn.ones(2, device="sim"), gpunn.tensor(1.0))


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_tensor_stays_where_it_is_in_place(requires_grad) -> None:
    c = gpunn.tensor(1.0, requires_grad=requires_grad) * 1
    with pytest.raises(RuntimeError, match=r"in-place: the result is on sim, and .* on cpu"):
        c.add_(gpunn.tensor(1.0, device="sim"))


# Other types and devices


def test_to() -> None:
    x = gpunn.ones(2)
    assert x.to(gpunn.float32) is x
    assert x.to("cpu") is x
    assert x.to(gpunn.float64).dtype is gpunn.float64
    assert x.to(dtype="int64").dtype is gpunn.int64
    assert x.to("cpu", gpunn.float16).dtype is gpunn.float16
    assert x.to(gpunn.device("cpu"), dtype=gpunn.int8).dtype is gpunn.int8
    assert x.to(gpunn.zeros(1, dtype=gpunn.float64)).dtype is gpunn.float64
    assert x.to(np.float64).dtype is gpunn.float64
    assert x.to(gpunn.float64, True).dtype is gpunn.float64
    assert x.to("cpu", non_blocking=True, copy=False) is x
    assert x.type_as(gpunn.zeros(1, dtype=gpunn.int32)).dtype is gpunn.int32
    copied = x.to(gpunn.float32, copy=True)
    assert copied is not x
    assert copied.data_ptr() != x.data_ptr()
    with pytest.raises(TypeError, match="dtpye"):
        x.to(dtpye=gpunn.float64)
    with pytest.raises(TypeError, match="is no type"):
        x.to(3)
    with pytest.raises(ValueError, match="no device 'tpu'"):
        x.to("tpu")


def test_views_say_when_they_would_have_to_copy() -> None:
    x = gpunn.zeros(2, 3)
    assert x.view(3, 2).data_ptr() == x.data_ptr()
    assert x.t().view(3, 2).shape == (3, 2)  # each dimension by itself is fine
    with pytest.raises(RuntimeError, match=r"view: float32\[3, 2\] is not contiguous .*use reshape"):
        x.t().view(6)
    assert x.t().reshape(6).shape == (6,)
    assert gpunn.zeros(0, 3).t().view(0).shape == (0,)
    assert gpunn.from_numpy(np.frombuffer(b"\0" * 24, np.float32)).view(2, 3).shape == (2, 3)


def test_tensors_make_no_cycles() -> None:
    gc.collect()
    gc.disable()
    try:
        x = gpunn.ones(3, requires_grad=True)
        y = (x * 2).reshape(3, 1)[1:].expand(2, 4)
        del x, y
        assert gc.collect() == 0
    finally:
        gc.enable()
