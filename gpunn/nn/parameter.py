"""Tensors that a module learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gpunn.autograd.tape import wrap
from gpunn.ops import empty
from gpunn.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module registers as its parameter when it is set as an attribute.

    It shares the memory of `data` and has no history; by default it requires a gradient.

    Args:
        data: a tensor; an empty one if left out.
        requires_grad: whether operations on the parameter are recorded.

    Raises:
        TypeError: `data` is no tensor.
        RuntimeError: `data` holds no floats, and a gradient is required.
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        """A parameter on the memory of `data`."""
        source = empty(0) if data is None else data
        if not isinstance(source, Tensor):
            raise TypeError(f"Parameter takes a tensor, got {type(source).__name__}; use Parameter(gpunn.tensor(data))")
        self: Any = wrap(source._data, source._spec, cls=cls)
        self._version = source._version  # one memory, one count of the writes to it
        self.requires_grad_(requires_grad)
        return self

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that a module registers as its buffer when it is set as an attribute, on the memory of `data`.

    Args:
        data: a tensor; an empty one if left out.
        persistent: whether it is in the state_dict.
    """

    __slots__ = ("persistent",)
    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        """A buffer on the memory of `data`."""
        source = empty(0) if data is None else data
        if not isinstance(source, Tensor):
            raise TypeError(f"Buffer takes a tensor, got {type(source).__name__}; use Buffer(gpunn.tensor(data))")
        self: Any = wrap(source._data, source._spec, cls=cls)
        self._version, self.persistent = source._version, persistent
        return self


class _Uninitialized(Tensor):
    """A tensor whose type and device are known, but whose shape is not yet."""

    __slots__ = ()
    cls_to_become: ClassVar[type[Tensor]]

    def materialize(self, shape: Sequence[int], device: Any = None, dtype: Any = None) -> None:
        """Become a tensor of this shape, whose elements are not set."""
        self.data = empty(tuple(shape), device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]

    @property
    def shape(self) -> tuple[int, ...]:
        """Not there yet.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            f"{type(self).__name__} has no shape yet: it comes with the first batch; call the model with one first"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(_Uninitialized, Parameter):
    """A `Parameter` of a lazy module that no batch has come to yet."""

    __slots__ = ()
    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> UninitializedParameter:
        """A parameter without a shape."""
        made: Any = super().__new__(cls, empty(0, device=device, dtype=dtype), requires_grad)
        return made


class UninitializedBuffer(_Uninitialized):
    """A buffer of a lazy module that no batch has come to yet."""

    __slots__ = ()
    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> UninitializedBuffer:
        """A buffer without a shape."""
        source = empty(0, device=device, dtype=dtype)
        made: Any = wrap(source._data, source._spec, cls=cls)
        return made.requires_grad_(requires_grad)

    def to(self, *args: Any, **kwargs: Any) -> UninitializedBuffer:
        """The same of another type or on another device."""
        moved = Tensor.to(self, *args, **kwargs)
        return UninitializedBuffer(device=moved.device, dtype=moved.dtype)
