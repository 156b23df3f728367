"""Layers that take the size of their input from the first batch."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from gpunn.autograd.mode import no_grad, state
from gpunn.tensor import Tensor

from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .conv import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from .conv3d import Conv3d, ConvTranspose3d
from .linear import Linear
from .module import Module
from .parameter import UninitializedBuffer, UninitializedParameter


class _Lazy(Module):
    """What lazy layers share: the class that they become, and how they do.

    Parameters and running statistics are `UninitializedParameter` and `UninitializedBuffer` until a batch comes or a
    state_dict is loaded; then the same objects are what they are in the other class, and the layer is of that class.
    """

    cls_to_become: ClassVar[Any]
    size_name: ClassVar[str]
    """The attribute with the size that is not known yet; it is 0 until then."""
    defaults: ClassVar[dict[str, Any]] = {}
    """Arguments that have another default than in the other class."""

    def __init_subclass__(cls) -> None:
        if len(cls.__bases__) == 1:
            return
        cls.cls_to_become = cls.__bases__[1]
        first, *rest = inspect.signature(cls.cls_to_become).parameters.values()
        cls.size_name = first.name
        rest = [p.replace(default=cls.defaults.get(p.name, p.default)) for p in rest]
        cls.__signature__ = inspect.Signature(rest)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **kwargs: Any):
        given = inspect.signature(type(self)).bind(*args, **kwargs)
        arguments = self.defaults | given.arguments
        super().__init__(0, **arguments)  # type: ignore[call-arg]
        self._arguments = arguments
        for name, parameter in list(self._parameters.items()):
            if parameter is not None:
                setattr(self, name, UninitializedParameter(device=parameter.device, dtype=parameter.dtype))
        for name, buffer in list(self._buffers.items()):
            if buffer is not None and buffer.ndim:
                setattr(self, name, UninitializedBuffer(device=buffer.device, dtype=buffer.dtype))

    def reset_parameters(self) -> None:
        """Draw initial values anew, once there are parameters."""
        if getattr(self, self.size_name):
            super().reset_parameters()  # type: ignore[misc]

    def has_uninitialized_params(self) -> bool:
        """Whether the first batch is still to come."""
        own = (*self._parameters.values(), *self._buffers.values())
        return any(isinstance(t, (UninitializedParameter, UninitializedBuffer)) for t in own)

    def initialize_parameters(self, input: Tensor, *others: Any) -> None:
        """Make the parameters for inputs of this size, with the initial values that the other class gives them."""
        if state.tracer is not None:
            raise RuntimeError(
                f"{type(self).__name__}: its parameters are made of the first batch; call the model with one, before "
                "the optimizer is made and a planned step runs"
            )
        made = self.cls_to_become(self._size_of(input), **self._arguments)
        with no_grad():
            for own, new in ((self._parameters, made._parameters), (self._buffers, made._buffers)):
                for name, tensor in own.items():
                    if isinstance(tensor, (UninitializedParameter, UninitializedBuffer)):
                        tensor.materialize(new[name].shape)
                        tensor.copy_(new[name])

    def _size_of(self, input: Tensor) -> int:
        raise NotImplementedError

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if self.has_uninitialized_params():
            self.initialize_parameters(*inputs)
        setattr(self, self.size_name, self._size_of(inputs[0]))
        del self._arguments
        self.__class__ = self.cls_to_become
        return self.forward(*inputs, **kwargs)


class _LazyConv(_Lazy):
    dims: ClassVar[int]

    def _size_of(self, input: Tensor) -> int:
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise RuntimeError(
                f"Expected {self.dims + 1}D (unbatched) or {self.dims + 2}D (batched) input to {type(self).__name__}, "
                f"but got {input._spec!r}"
            )
        return input.shape[-self.dims - 1]


class _LazyBatchNorm(_Lazy):
    def _size_of(self, input: Tensor) -> int:
        self._check(input)
        return input.shape[1]


class _LazyInstanceNorm(_Lazy):
    dims: ClassVar[int]
    defaults: ClassVar[dict[str, Any]] = {"affine": True, "track_running_stats": True}  # as in PyTorch

    def _size_of(self, input: Tensor) -> int:
        if input.ndim not in (self.dims - 1, self.dims):
            raise ValueError(
                f"{type(self).__name__}: expected {self.dims - 1}D or {self.dims}D input, got {input._spec!r}"
            )
        return input.shape[input.ndim - self.dims + 1]


class LazyLinear(_Lazy, Linear):
    """A `Linear` that takes in_features from the first input's last dimension. Arguments as there."""

    def _size_of(self, input: Tensor) -> int:
        if not input.ndim:
            raise RuntimeError(f"LazyLinear: takes inputs (..., in_features), got {input._spec!r}")
        return input.shape[-1]


class LazyConv1d(_LazyConv, Conv1d):
    """A `Conv1d` that takes in_channels from the first input. Arguments as there."""


class LazyConv2d(_LazyConv, Conv2d):
    """A `Conv2d` that takes in_channels from the first input. Arguments as there."""


class LazyConv3d(_LazyConv, Conv3d):
    """A `Conv3d` that takes in_channels from the first input. Arguments as there."""


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):
    """A `ConvTranspose1d` that takes in_channels from the first input. Arguments as there."""


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):
    """A `ConvTranspose2d` that takes in_channels from the first input. Arguments as there."""


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):
    """A `ConvTranspose3d` that takes in_channels from the first input. Arguments as there."""


class LazyBatchNorm1d(_LazyBatchNorm, BatchNorm1d):
    """A `BatchNorm1d` that takes num_features from the first input. Arguments as there."""


class LazyBatchNorm2d(_LazyBatchNorm, BatchNorm2d):
    """A `BatchNorm2d` that takes num_features from the first input. Arguments as there."""


class LazyBatchNorm3d(_LazyBatchNorm, BatchNorm3d):
    """A `BatchNorm3d` that takes num_features from the first input. Arguments as there."""


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """A `InstanceNorm1d` that takes num_features from the first input. Arguments as there."""


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """A `InstanceNorm2d` that takes num_features from the first input. Arguments as there."""


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """A `InstanceNorm3d` that takes num_features from the first input. Arguments as there."""
