"""Tensors that a module learns."""

from __future__ import annotations

from typing import Any

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
