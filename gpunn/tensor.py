"""Tensor: an array, its device, its gradient. Every method that computes is an op's function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from gpunn import ops
from gpunn.autograd import engine, hooks, inplace
from gpunn.autograd.mode import no_grad, state
from gpunn.autograd.tape import TensorBase, alias, set_tensor_class, wrap
from gpunn.backend.device import device as Device
from gpunn.backend.device import get_default_device
from gpunn.backend.dtypes import as_dtype, dtype as DType, get_default_dtype
from gpunn.backend.dtypes import bool_, float16, bfloat16, float32, float64, int32, int64
from gpunn.backend.spec import Spec
from gpunn.ops.arithmetic import rdiv, rfloor_divide, rpow, rremainder, rsub
from gpunn.ops.matmul import rmatmul


class Tensor(TensorBase):
    """An n-dimensional array on a device, with the operations of PyTorch's tensors.

    Make one with `gpunn.tensor`, `gpunn.zeros`, `gpunn.from_numpy`, ...; ``Tensor(data)`` gives the default float type.
    With ``requires_grad`` the operations on it are recorded, and ``backward()`` on a result fills its ``grad``.
    """

    __slots__ = ()
    __array_priority__ = 1000  # so that `ndarray + tensor` asks the tensor

    def __new__(cls, data: Any = (), *, device: Any = None) -> Tensor:
        """A copy of `data` in the default float type."""
        source = tensor(data, dtype=get_default_dtype(), device=device)
        return wrap(source._data, source._spec, cls=cls)

    # What it is

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded. Can be set on leaves."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set whether operations on this leaf are recorded."""
        if requires_grad and not self.dtype.is_floating_point:
            raise RuntimeError(f"only floats can require gradients, this tensor is {self._spec!r}")
        if self._node is not None and not requires_grad:
            raise RuntimeError("requires_grad can be changed on leaves only; use detach() for a tensor that is cut off")
        self._requires_grad = bool(requires_grad)
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward() accumulated, None before."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and (not isinstance(value, Tensor) or value._spec != self._spec):
            given = repr(value._spec) if isinstance(value, Tensor) else type(value).__name__
            raise RuntimeError(f"grad: a gradient for {self._spec!r} has that shape, type and device, got {given}")
        self._grad = value

    @property
    def grad_fn(self) -> Any:
        """The node of the graph that made this tensor, None for a leaf."""
        return self._node

    @property
    def is_leaf(self) -> bool:
        """True for a tensor that no recorded operation made."""
        return self._node is None

    @property
    def data(self) -> Tensor:
        """This memory as a tensor without history. Can be set to another tensor, of any shape."""
        return alias(self)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, TensorBase):
            raise TypeError(f"data: takes a tensor, got {type(value).__name__}")
        if self._requires_grad and not value._spec.dtype.is_floating_point:
            raise RuntimeError(f"data: only floats can require gradients, and {value._spec!r} would have to")
        self._data, self._spec, self._version = value._data, value._spec, value._version

    @property
    def _is_view(self) -> bool:
        return self._base is not None

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size along one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self._spec.shape)

    def numel(self) -> int:
        """The number of elements."""
        return prod(self._spec.shape)

    nelement = numel

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    element_size = itemsize.fget

    @property
    def nbytes(self) -> int:
        """The size of the elements in bytes."""
        return self._spec.nbytes

    def stride(self, dim: int | None = None) -> Any:
        """The steps in memory along each dimension, in elements."""
        strides = self.device.backend.strides(self._data)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return bool(self.device.backend.is_contiguous(self._data))

    def is_floating_point(self) -> bool:
        """Whether the elements are floats."""
        return self.dtype.is_floating_point

    def data_ptr(self) -> int:
        """The address of the first element."""
        return int(self.device.backend.address(self._data))

    # Gradients

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the gradient of this tensor to the grad of every leaf behind it; see `gpunn.autograd.backward`."""
        engine.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def detach(self) -> Tensor:
        """The same memory without history."""
        return alias(self)

    def detach_(self) -> Tensor:
        """Forget the history."""
        self._node, self._requires_grad = None, False
        return self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call ``hook(grad)`` when the gradient of this tensor is known; what it returns, if anything, replaces it.

        Returns a handle with ``remove()``.
        """
        if not self._requires_grad:
            raise RuntimeError("register_hook: this tensor does not require grad, so it never gets one")
        return hooks.RemovableHandle(hooks.hooks_of(self), hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this tensor in ``grad`` though it is no leaf."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad: this tensor does not require grad, so it never gets one")
        if self._node is not None:
            hooks.retain(self)

    # Out of here

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array; on the CPU it shares the memory.

        Raises:
            RuntimeError: the tensor requires grad (use ``.detach().numpy()``), or is on another device
                (use ``.cpu().numpy()``); ``force=True`` does what is needed.
        """
        if not force:
            if self._requires_grad:
                raise RuntimeError("a tensor that requires grad has no NumPy array; use tensor.detach().numpy()")
            if self.device.type != "cpu":
                raise TypeError(f"the tensor is on {self.device}; use tensor.cpu().numpy()")
        return self._host()

    def _host(self) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array; an error while tracing, when there are none."""
        if state.tracer is not None:
            state.tracer.read(self)
        array: np.ndarray[Any, Any] = self.device.backend.to_numpy(self._data)
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def item(self) -> Any:
        """The one element as a Python number.

        Raises:
            RuntimeError: there is not exactly one.
        """
        if self.numel() != 1:
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
        if self.dtype.is_floating_point or self.numel() != 1:
            raise TypeError(f"only a single integer can be an index, this is {self._spec!r}")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise RuntimeError(f"the truth of {self._spec!r} is not one value; use .any() or .all()")
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-d tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("a 0-d tensor can't be iterated over")
        return iter(ops.unbind(self))

    def __contains__(self, value: Any) -> bool:
        return bool(self.eq(value).any())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        from gpunn.printing import describe

        return describe(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.numel() == 1 else repr(self)

    def __dlpack__(self, **options: Any) -> Any:
        if self._requires_grad:
            raise BufferError("a tensor that requires grad is not exported; use tensor.detach()")
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> Any:
        if self.device.type != "cuda":
            raise AttributeError("__cuda_array_interface__")
        return self._data.__cuda_array_interface__

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError("only leaves can be deep-copied; use detach() or clone()")
        with no_grad():
            source = ops.clone(self)
        copy = wrap(source._data, source._spec, self._requires_grad, cls=type(self))
        memo[id(self)] = copy
        if self._grad is not None:
            copy._grad = self._grad.detach().clone()
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (type(self), self.detach().cpu().numpy(), str(self.device), self._requires_grad)

    # Other types and devices

    def to(self, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, **_: Any) -> Tensor:
        """Another type, another device, or both: ``to(gpunn.float64)``, ``to("cuda:1")``, ``to(other)``."""
        dtype, device = parse_to(args, dtype, device)
        result = self
        if dtype is not None and (d := as_dtype(dtype)) is not self.dtype:
            result = ops.cast(result, d)
        if device is not None:
            result = ops.transfer(result, Device(device))
        return ops.clone(result) if copy and result is self else result

    def type_as(self, other: Tensor) -> Tensor:
        """This in the type of another tensor."""
        return self.to(other.dtype)

    def cpu(self) -> Tensor:
        """This on the CPU."""
        return ops.transfer(self, Device("cpu"))

    def cuda(self, device: Any = None) -> Tensor:
        """This on the current or the given GPU."""
        return self.to(device=Device("cuda", device) if isinstance(device, int) else Device(device or "cuda"))

    def float(self) -> Tensor:
        """This as float32."""
        return ops.cast(self, float32)

    def double(self) -> Tensor:
        """This as float64."""
        return ops.cast(self, float64)

    def half(self) -> Tensor:
        """This as float16."""
        return ops.cast(self, float16)

    def bfloat16(self) -> Tensor:
        """This as bfloat16."""
        return ops.cast(self, bfloat16)

    def long(self) -> Tensor:
        """This as int64."""
        return ops.cast(self, int64)

    def int(self) -> Tensor:
        """This as int32."""
        return ops.cast(self, int32)

    def bool(self) -> Tensor:
        """This as bool: whether each element is not 0."""
        return ops.cast(self, bool_)

    # Arithmetic

    __add__ = __radd__ = add = ops.add
    __sub__ = sub = ops.sub
    __rsub__ = rsub
    __mul__ = __rmul__ = mul = ops.mul
    __truediv__ = div = ops.div
    __rtruediv__ = rdiv
    __floordiv__ = floor_divide = ops.floor_divide
    __rfloordiv__ = rfloor_divide
    __mod__ = remainder = ops.remainder
    __rmod__ = rremainder
    __pow__ = pow = ops.pow
    __rpow__ = rpow
    __matmul__ = matmul = ops.matmul
    __rmatmul__ = rmatmul
    __neg__ = neg = ops.neg
    __abs__ = abs = ops.abs
    __invert__ = bitwise_not = ops.bitwise_not
    __and__ = __rand__ = bitwise_and = ops.bitwise_and
    __or__ = __ror__ = bitwise_or = ops.bitwise_or
    __xor__ = __rxor__ = bitwise_xor = ops.bitwise_xor
    __eq__ = eq = ops.eq  # type: ignore[assignment]
    __ne__ = ne = ops.ne  # type: ignore[assignment]
    __lt__ = lt = ops.lt
    __le__ = le = ops.le
    __gt__ = gt = ops.gt
    __ge__ = ge = ops.ge
    logical_and, logical_or, logical_xor, logical_not = (
        ops.logical_and,
        ops.logical_or,
        ops.logical_xor,
        ops.logical_not,
    )
    square, sign, reciprocal, maximum, minimum = ops.square, ops.sign, ops.reciprocal, ops.maximum, ops.minimum
    floor, ceil, trunc, round, clamp, clip = ops.floor, ops.ceil, ops.trunc, ops.round, ops.clamp, ops.clamp
    exp, expm1, log, log1p, log2, log10 = ops.exp, ops.expm1, ops.log, ops.log1p, ops.log2, ops.log10
    sqrt, rsqrt, sin, cos, tan, tanh = ops.sqrt, ops.rsqrt, ops.sin, ops.cos, ops.tan, ops.tanh
    sigmoid, erf, relu = ops.sigmoid, ops.erf, ops.relu
    isnan, isinf, isfinite = ops.isnan, ops.isinf, ops.isfinite

    # Products and reductions

    mm, bmm, mv, dot, addmm, outer = ops.mm, ops.bmm, ops.mv, ops.dot, ops.addmm, ops.outer
    sum, mean, var, std, amax, amin = ops.sum, ops.mean, ops.var, ops.std, ops.amax, ops.amin
    logsumexp = ops.logsumexp

    # Shapes

    reshape, view, permute, transpose, t = ops.reshape, ops.view, ops.permute, ops.transpose, ops.t
    flatten, unflatten, squeeze, unsqueeze = ops.flatten, ops.unflatten, ops.squeeze, ops.unsqueeze
    expand, expand_as, broadcast_to, movedim = ops.expand, ops.expand_as, ops.broadcast_to, ops.movedim
    clone, contiguous = ops.clone, ops.contiguous
    narrow, select, unbind = ops.narrow, ops.select, ops.unbind
    split, chunk, tensor_split = ops.split, ops.chunk, ops.tensor_split

    # Elements

    __getitem__ = ops.getitem
    __setitem__ = ops.setitem
    gather, scatter, scatter_add, take_along_dim = ops.gather, ops.scatter, ops.scatter_add, ops.take_along_dim
    index_select, index_add, take, nonzero = ops.index_select, ops.index_add, ops.take, ops.nonzero
    masked_fill, masked_select = ops.masked_fill, ops.masked_select
    tril, triu, diag, diag_embed, diagonal = ops.tril, ops.triu, ops.diag, ops.diag_embed, ops.diagonal
    flip, roll, repeat, tile, repeat_interleave = ops.flip, ops.roll, ops.repeat, ops.tile, ops.repeat_interleave

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order."""
        return ops.permute(self, tuple(range(self.dim()))[::-1])

    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged."""
        return ops.transpose(self, -2, -1)

    def reshape_as(self, other: Tensor) -> Tensor:
        """This in the shape of another tensor."""
        return ops.reshape(self, other.shape)

    def view_as(self, other: Tensor) -> Tensor:
        """A view of this in the shape of another tensor."""
        return ops.view(self, other.shape)

    def new_zeros(self, *size: Any, **options: Any) -> Tensor:
        """Zeros of the given shape, in this type and on this device."""
        return ops.zeros(*size, **{"dtype": self.dtype, "device": self.device, **options})

    def new_ones(self, *size: Any, **options: Any) -> Tensor:
        """Ones of the given shape, in this type and on this device."""
        return ops.ones(*size, **{"dtype": self.dtype, "device": self.device, **options})

    # In place

    masked_fill_, index_add_ = inplace.in_place(ops.masked_fill), inplace.in_place(ops.index_add)
    scatter_, scatter_add_ = inplace.in_place(ops.scatter), inplace.in_place(ops.scatter_add)
    tril_, triu_ = inplace.in_place(ops.tril), inplace.in_place(ops.triu)

    def __iadd__(self, other: Any) -> Tensor:
        return _inplace_operator(self, ops.add, other)

    def __isub__(self, other: Any) -> Tensor:
        return _inplace_operator(self, ops.sub, other)

    def __imul__(self, other: Any) -> Tensor:
        return _inplace_operator(self, ops.mul, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return _inplace_operator(self, ops.div, other)

    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """`add` in place."""
        return inplace.update(self, ops.add, other, alpha=alpha)

    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """`sub` in place."""
        return inplace.update(self, ops.sub, other, alpha=alpha)

    def mul_(self, other: Any) -> Tensor:
        """`mul` in place."""
        return inplace.update(self, ops.mul, other)

    def div_(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """`div` in place."""
        return inplace.update(self, ops.div, other, rounding_mode=rounding_mode)

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """`clamp` in place."""
        return inplace.update(self, ops.clamp, min, max)

    def relu_(self) -> Tensor:
        """`relu` in place."""
        return inplace.update(self, ops.relu)

    def copy_(self, src: Any, non_blocking: Any = False) -> Tensor:
        """The elements of `src`, broadcast, converted and moved as needed."""
        return inplace.update(self, lambda x, s: s.to(x.dtype).to(x.device).expand(x.shape), _as_tensor(src))

    def fill_(self, value: Any) -> Tensor:
        """One value everywhere."""
        return inplace.update(self, lambda x: ops.full_like(x, value))

    def zero_(self) -> Tensor:
        """0 everywhere."""
        return self.fill_(0)


set_tensor_class(Tensor)


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested lists, a NumPy array or a tensor.

    Floats become the default type, integers int64; arrays and tensors keep theirs unless `dtype` says otherwise.

    Raises:
        ValueError: nested lists of different lengths.
        TypeError: elements that are no numbers.
    """
    where = get_default_device() if device is None else Device(device)
    if isinstance(data, TensorBase):
        source = data.detach().to(device=where, dtype=dtype, copy=True)  # type: ignore[attr-defined]
        source._base, source._version = None, [0]
        return source.requires_grad_(requires_grad)
    array = _to_array(data)
    if dtype is not None:
        d = as_dtype(dtype)
    elif array.dtype == np.float64 and not isinstance(data, (np.ndarray, np.generic)):
        d = get_default_dtype()
    else:
        d = as_dtype(array.dtype.newbyteorder("="))
    array = np.array(array, dtype=d.numpy, order="C", copy=True)
    return wrap(where.backend.from_numpy(array), Spec(array.shape, d, where)).requires_grad_(requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where that is possible."""
    if isinstance(data, TensorBase):
        return data.to(dtype=dtype, device=device)  # type: ignore[attr-defined]
    if isinstance(data, np.ndarray):
        return from_numpy(data).to(dtype=dtype, device=get_default_device() if device is None else device)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor on the CPU that shares the memory of a NumPy array.

    Raises:
        TypeError: it is no NumPy array, or holds a type that gpunn does not have.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy takes a NumPy array, got {type(array).__name__}; use gpunn.tensor")
    return wrap(array, Spec(array.shape, as_dtype(array.dtype), Device("cpu")))


def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares the memory of any array with ``__dlpack__`` on the CPU."""
    return from_numpy(np.from_dlpack(source))


def _to_array(data: Any) -> np.ndarray[Any, Any]:
    if isinstance(data, (list, tuple)):
        data = _without_tensors(data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"tensor: the nested lists have different lengths ({error})") from None
    if array.dtype.kind in "OUSMm":
        raise TypeError(f"tensor: can't make numbers of {type(data).__name__} with elements of type {array.dtype}")
    if array.size == 0 and not hasattr(data, "dtype"):
        array = array.astype(np.float64)
    return array


def _without_tensors(data: Any) -> Any:
    if isinstance(data, TensorBase):
        return data.tolist()  # type: ignore[attr-defined]
    return [_without_tensors(d) for d in data] if isinstance(data, (list, tuple)) else data


def _as_tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else as_tensor(x)


def _inplace_operator(x: Tensor, function: Any, other: Any) -> Tensor:
    """``x += y``: a new tensor under the old name where `x` is recorded, so that what others hold stays as it is."""
    recorded = x._requires_grad or (isinstance(other, TensorBase) and other._requires_grad)
    if state.grad_enabled and recorded and x._node is not None and x._base is None:
        return function(x, other)
    return inplace.update(x, function, other)


def parse_to(args: tuple[Any, ...], dtype: Any, device: Any) -> tuple[Any, Any]:
    """The type and the device that the arguments of ``to`` name, each None where they name none."""
    for a in args:
        if isinstance(a, TensorBase):
            dtype, device = a.dtype, a.device
        elif isinstance(a, Device):
            device = a
        elif isinstance(a, str) and dtype is None and device is None and _is_dtype_name(a):
            dtype = a
        elif isinstance(a, str):
            device = a
        elif isinstance(a, bool):
            pass  # PyTorch's non_blocking
        else:
            dtype = a
    return dtype, device


def _is_dtype_name(name: str) -> bool:
    try:
        as_dtype(name)
    except TypeError:
        return False
    return True


def _rebuild(cls: type[Tensor], array: Any, device: str, requires_grad: bool) -> Tensor:
    source = as_tensor(array, device=device)
    return wrap(source._data, source._spec, requires_grad, cls=cls)
