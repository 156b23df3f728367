"""Arrays of CuPy and other libraries as tensors, and tensors as their arrays, on a CuPy without a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.backend.dtypes import DTYPES

from . import fake_cupy


def cupy_array(values: Any, dtype: Any = np.float32) -> Any:
    """A CuPy array of the current device."""
    values = np.asarray(values, dtype)
    x = fake_cupy.ndarray(values.shape, dtype)
    x.set(values)
    return x


class Foreign:
    """An array of another library, with one protocol or the other."""

    def __init__(self, array: Any, dlpack: bool) -> None:
        self.array = array
        if not dlpack:
            interface = {**array.__cuda_array_interface__, "owner": array}
            self.__dict__["__cuda_array_interface__"] = interface

    def __getattr__(self, name: str) -> Any:
        if name in ("__dlpack__", "__dlpack_device__") and "__cuda_array_interface__" not in self.__dict__:
            return getattr(self.array, name)
        raise AttributeError(name)


def shares(tensor: gpunn.Tensor, array: Any) -> bool:
    return tensor._data.data.ptr == array.data.ptr and tensor._data.strides == array.strides


@pytest.mark.parametrize("dtype", [d.name for d in DTYPES])
def test_cupy_arrays_without_a_copy(machine, dtype) -> None:
    x = cupy_array(np.ones((3, 4)), gpunn.backend.dtypes.as_dtype(dtype).numpy)
    for array in (x, x.T, x[1:, ::2]):
        for t in (
            gpunn.as_tensor(array),
            gpunn.tensor(array, copy=False),
            gpunn.from_dlpack(array),
            gpunn.from_dlpack(Foreign(array, dlpack=True)),
            gpunn.as_tensor(Foreign(array, dlpack=False)),
        ):
            assert shares(t, array)
            assert (t.dtype.name, t.shape, t.device) == (dtype, array.shape, gpunn.device("cuda:0"))
            assert shares(gpunn.as_tensor(t.cupy()), array)
        assert gpunn.as_tensor(array)._data is array
        copy = gpunn.tensor(array)
        assert copy.data_ptr() != array.data.ptr
        assert copy.is_contiguous()
        np.testing.assert_array_equal(copy.cpu().numpy(), array.host)


def test_a_write_is_seen_in_both(machine) -> None:
    x = cupy_array(np.zeros((2, 3)))
    t = gpunn.as_tensor(x)
    t.fill_(2)
    gpunn.cuda.synchronize()
    assert (x.host == 2).all()
    assert t.cupy() is x
    t[0].cupy().set(np.ones(3, np.float32))
    assert t.sum().item() == 9


def test_cupy_arrays_in_arithmetic(machine) -> None:
    x, t = cupy_array([1, 2, 3]), gpunn.tensor([10.0, 20.0, 30.0], device="cuda")
    assert (t + x).cpu().tolist() == [11, 22, 33]
    assert t.__rsub__(x).cpu().tolist() == [-9, -18, -27]  # what CuPy's array - tensor asks for
    assert gpunn.maximum(t, x).cpu().tolist() == [10, 20, 30]
    with pytest.raises(RuntimeError, match=r"got float32\[3\] on cpu and float32\[3\] on cuda:0"):
        gpunn.ones(3) + x


def test_a_cupy_array_stays_on_its_device(two) -> None:
    with gpunn.cuda.device(1):
        x = cupy_array([1, 2, 3])
        foreign = Foreign(x, dlpack=False)
    for t in (gpunn.as_tensor(x), gpunn.tensor(x), gpunn.from_dlpack(x), gpunn.as_tensor(foreign)):
        assert t.device is gpunn.device("cuda:1")
        assert t.cpu().tolist() == [1, 2, 3]
    assert gpunn.as_tensor(x, device="cpu").tolist() == [1, 2, 3]
    assert gpunn.tensor(x, device="cuda:0", dtype="float64").device is gpunn.device("cuda:0")
    with pytest.raises(RuntimeError, match=r"float32\[3\] on cuda:0 and float32\[3\] on cuda:1"):
        gpunn.ones(3, device="cuda:0") + x


def test_without_a_copy_or_not_at_all(machine) -> None:
    x = cupy_array([1, 2, 3])
    numpy = np.arange(3.0)
    assert gpunn.tensor(numpy, copy=False).numpy() is not None
    assert np.shares_memory(gpunn.tensor(numpy, copy=False).numpy(), numpy)
    t = gpunn.ones(3)
    assert gpunn.tensor(t, copy=False)._data is t._data
    for data, options in (
        (x, {"dtype": "float64"}),
        (x, {"device": "cpu"}),
        (numpy, {"dtype": "float32"}),
        (numpy, {"device": "cuda"}),
    ):
        with pytest.raises(ValueError, match=r"can't be made float.*\[3\].* without a copy"):
            gpunn.tensor(data, copy=False, **options)
    for data in ([1.0], 3, "text"):
        with pytest.raises(ValueError, match="copy=False takes an array or a tensor, got"):
            gpunn.tensor(data, copy=False)


def test_tensors_for_other_libraries(two) -> None:
    for index in (0, 1):
        t = gpunn.ones(2, 3, device=f"cuda:{index}").T
        assert t.__dlpack_device__() == (2, index)
        with gpunn.cuda.device(index):
            own = gpunn.cuda.Stream()
            with gpunn.cuda.stream(own):
                capsule = t.__dlpack__(stream=7)
        assert (capsule.array, capsule.consumer, capsule.stream) == (t._data, 7, own.cupy)
        interface = t.__cuda_array_interface__
        assert interface["data"] == (t.data_ptr(), False)
        assert (interface["shape"], interface["strides"], interface["version"]) == ((3, 2), (4, 12), 3)
        assert t.__dlpack__().array is t._data  # also where another device is current


def test_what_tensors_do_not_give(machine) -> None:
    w = gpunn.ones(2, device="cuda", requires_grad=True)
    with pytest.raises(RuntimeError, match=r"cupy\(\) of a tensor that requires grad; use tensor.detach\(\)"):
        w.cupy()
    with pytest.raises(BufferError, match="requires grad"):
        w.__dlpack__()
    with pytest.raises(RuntimeError, match="__cuda_array_interface__ of a tensor that requires grad"):
        w.__cuda_array_interface__  # noqa: B018
    assert w.detach().cupy() is w._data
    for device in ("cpu", "sim"):
        with pytest.raises(TypeError, match=rf"tensor on {device} to CuPy; use tensor.cuda\(\).cupy\(\)"):
            gpunn.ones(2, device=device).cupy()
        assert not hasattr(gpunn.ones(2, device=device), "__cuda_array_interface__")
    with pytest.raises(TypeError, match=r"use tensor.cpu\(\).numpy\(\)"):
        np.asarray(w.detach())
    with pytest.raises(TypeError, match="complex64"):
        gpunn.as_tensor(cupy_array(np.ones(2), np.complex64))
