"""Tensors on their way out: Python numbers, NumPy arrays, DLPack, copies and pickles."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.mode import no_grad, state
from gpunn.autograd.tape import TensorBase, wrap
from gpunn.backend import dlpack
from gpunn.ops.construct import as_tensor
from gpunn.ops.view import clone

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Interchange(TensorBase):
    """The methods of `gpunn.Tensor` that give its elements to somebody else."""

    __slots__ = ()

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array; on the CPU it shares the memory.

        Raises:
            RuntimeError: the tensor requires grad; use ``.detach().numpy()``.
            TypeError: it is on another device; use ``.cpu().numpy()``. ``force=True`` does what is needed.
        """
        if not force:
            if self._requires_grad:
                raise RuntimeError(
                    "can't call numpy() on Tensor that requires grad; use tensor.detach().numpy() instead"
                )
            if self.device.type != "cpu":
                raise TypeError(f"can't convert a tensor on {self.device} to numpy; use tensor.cpu().numpy()")
        return self._host()

    def cupy(self) -> Any:
        """The elements as a CuPy array that shares the memory, on any device of type ``"cuda"``.

        A write to one of them is seen in both, and not by the check of `backward` for saved tensors.

        Raises:
            RuntimeError: the tensor requires grad; use ``.detach().cupy()``.
            TypeError: it is not on a CUDA device; use ``.cuda().cupy()``.
        """
        if self.device.type != "cuda":
            raise TypeError(f"can't convert a tensor on {self.device} to CuPy; use tensor.cuda().cupy()")
        return self._array("cupy()", RuntimeError)

    def _array(self, what: str, error: type[Exception]) -> Any:
        """The backend's array, for somebody who may write to it; an error while tracing, when there is none."""
        if self._requires_grad:
            raise error(f"{what} of a tensor that requires grad; use tensor.detach()")
        if state.tracer is not None:
            state.tracer.read(self)
        return self._data

    def _host(self) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array; an error while tracing, when there are none."""
        if state.tracer is not None:
            state.tracer.read(self)
        array: np.ndarray[Any, Any] = self.device.backend.to_numpy(self._data)
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is None or array.dtype == dtype:
            return array.copy() if copy else array
        if copy is False:
            raise ValueError(f"{self._spec!r} can't be an array of {np.dtype(dtype)} without a copy")
        return array.astype(dtype)

    def item(self) -> Any:
        """The one element as a Python number.

        Raises:
            RuntimeError: there is not exactly one.
        """
        if self._spec.numel() != 1:
            raise RuntimeError(f"item: takes a tensor of one element, this is {self._spec!r}; use tolist()")
        return self._host().item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._host().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.is_floating_point or self._spec.numel() != 1:
            raise TypeError(f"only integer tensors of a single element can be an index, this is {self._spec!r}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self._spec.numel() != 1:
            raise RuntimeError(f"the truth of {self._spec!r} is not one value; use .any() or .all()")
        return bool(self.item())

    def __dlpack__(self, **options: Any) -> Any:
        array = self._array("DLPack", BufferError)
        with self._as_current():
            return dlpack.export(array, **options)

    def __dlpack_device__(self) -> Any:
        if state.tracer is not None:
            state.tracer.read(self)
        return self._data.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> Any:
        if self.device.type != "cuda":
            raise AttributeError("__cuda_array_interface__")
        array = self._array("__cuda_array_interface__", RuntimeError)
        with self._as_current():
            return array.__cuda_array_interface__

    def _as_current(self) -> Any:
        """A context in which a CUDA device is the current one, whose stream CuPy tells the others."""
        if self.device.type != "cuda":
            return nullcontext()
        from gpunn.cuda import device

        return device(self.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError("only leaves can be deep-copied; use detach() or clone()")
        with no_grad():
            source = clone(self)  # type: ignore[arg-type]
        copy = wrap(source._data, source._spec, self._requires_grad, cls=type(self))
        memo[id(self)] = copy
        if self._grad is not None:
            copy._grad = self._grad.detach().clone()
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        array = self._spec.device.backend.to_numpy(self._data)
        return _rebuild, (type(self), array, str(self.device), self._requires_grad)


def _rebuild(cls: type[TensorBase], array: Any, device: str, requires_grad: bool) -> Tensor:
    source = as_tensor(array, device=device)
    return wrap(source._data, source._spec, requires_grad, cls=cls)
