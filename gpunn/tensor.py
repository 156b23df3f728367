"""Tensor: an array, its device, its gradient. Every method that computes is an op's function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gpunn import ops
from gpunn.autograd import engine, hooks
from gpunn.autograd.mode import state
from gpunn.autograd.tape import TensorBase, alias, set_tensor_class, wrap
from gpunn.backend.dtypes import bfloat16, bool_, float16, float32, float64, get_default_dtype, int32, int64
from gpunn.backend.memory_format import channels_last, contiguous_format, is_last
from gpunn.backend.spec import row_major
from gpunn.methods import FurtherMethods
from gpunn.ops import inplace
from gpunn.ops.arithmetic import rdiv, rfloor_divide, rpow, rremainder, rsub
from gpunn.ops.cast import parse_to as parse_to
from gpunn.ops.construct import as_tensor as as_tensor
from gpunn.ops.construct import from_dlpack as from_dlpack
from gpunn.ops.construct import from_numpy as from_numpy
from gpunn.ops.construct import on_gpu, size_of
from gpunn.ops.construct import tensor as tensor
from gpunn.ops.matmul import rmatmul
from gpunn.ops.promote import OPERANDS


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method for ``x + y``, which leaves operands that it does not know to the other side."""

    def method(self: Tensor, other: Any) -> Any:
        return function(self, other) if isinstance(other, OPERANDS) or on_gpu(other) else NotImplemented

    return method


class Tensor(FurtherMethods):
    """An n-dimensional array on a device, with the operations of PyTorch's tensors.

    Make one with `gpunn.tensor`, `gpunn.zeros`, `gpunn.from_numpy`, ...; ``Tensor(data)`` gives the default float type.
    With ``requires_grad`` the operations on it are recorded, and ``backward()`` on a result fills its ``grad``.
    """

    __slots__ = ()
    __array_priority__ = 1000  # so that `ndarray + tensor` asks the tensor, for NumPy's and CuPy's arrays

    def __new__(cls, *data: Any, device: Any = None) -> Tensor:
        """A copy of `data` in the default float type; of integers, or the shape of a tensor, one of that size.

        Raises:
            TypeError: it is neither one sequence or array nor integers, or it may be both.
        """
        size = size_of("Tensor", data)
        if size is None:
            source = tensor(data[0] if data else (), dtype=get_default_dtype(), device=device)
        else:
            source = ops.empty(size, device=device)
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
        if state.tracer is not None:
            state.tracer.leave("the step sets .data of a tensor")
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
        return self._spec.numel()

    nelement = numel

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The size of the elements in bytes."""
        return self._spec.nbytes

    def stride(self, dim: int | None = None) -> Any:
        """The steps in memory along each dimension, in elements."""
        strides = self.device.backend.strides(self._data) if state.tracer is None else state.tracer.strides(self)
        return strides if dim is None else strides[dim]

    def is_contiguous(self, memory_format: Any = contiguous_format) -> bool:
        """Whether the elements lie without gaps in row-major order, or in that of another format."""
        if memory_format is channels_last:
            return is_last(self.shape, self.stride())
        if state.tracer is None:
            return bool(self.device.backend.is_contiguous(self._data))
        steps = zip(self.shape, self.stride(), row_major(self.shape))
        return 0 in self.shape or all(size == 1 or step == without for size, step, without in steps)

    def is_floating_point(self) -> bool:
        """Whether the elements are floats."""
        return self.dtype.is_floating_point

    @property
    def is_cuda(self) -> bool:
        """Whether the elements live on a GPU."""
        return self.device.type == "cuda"

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

    # As a sequence

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

    def _repr_html_(self) -> str:
        from gpunn import notebook

        return notebook.tensor(self)

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec) if self.shape else format(self.item(), spec)

    # Other types and devices

    to, type_as, cpu, cuda = ops.to, ops.type_as, ops.cpu, ops.cuda

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

    __add__ = __radd__ = _operator(ops.add)
    __sub__, __rsub__ = _operator(ops.sub), _operator(rsub)
    __mul__ = __rmul__ = _operator(ops.mul)
    __truediv__, __rtruediv__ = _operator(ops.div), _operator(rdiv)
    __floordiv__, __rfloordiv__ = _operator(ops.floor_divide), _operator(rfloor_divide)
    __mod__, __rmod__ = _operator(ops.remainder), _operator(rremainder)
    __pow__, __rpow__ = _operator(ops.pow), _operator(rpow)
    __matmul__, __rmatmul__ = _operator(ops.matmul), _operator(rmatmul)
    __and__ = __rand__ = _operator(ops.bitwise_and)
    __or__ = __ror__ = _operator(ops.bitwise_or)
    __xor__ = __rxor__ = _operator(ops.bitwise_xor)
    __eq__, __ne__ = _operator(ops.eq), _operator(ops.ne)
    __lt__, __le__, __gt__, __ge__ = map(_operator, (ops.lt, ops.le, ops.gt, ops.ge))
    __neg__, __abs__, __invert__ = ops.neg, ops.abs, ops.bitwise_not
    add, sub, mul, div, neg, abs = ops.add, ops.sub, ops.mul, ops.div, ops.neg, ops.abs
    floor_divide, remainder, fmod, pow, matmul = ops.floor_divide, ops.remainder, ops.fmod, ops.pow, ops.matmul
    bitwise_and, bitwise_or, bitwise_xor, bitwise_not = (
        ops.bitwise_and,
        ops.bitwise_or,
        ops.bitwise_xor,
        ops.bitwise_not,
    )
    eq, ne, lt, le, gt, ge = ops.eq, ops.ne, ops.lt, ops.le, ops.gt, ops.ge
    isclose, allclose, equal = ops.isclose, ops.allclose, ops.equal
    logical_and, logical_or, logical_xor, logical_not = (
        ops.logical_and,
        ops.logical_or,
        ops.logical_xor,
        ops.logical_not,
    )
    square, sign, reciprocal, maximum, minimum = ops.square, ops.sign, ops.reciprocal, ops.maximum, ops.minimum
    floor, ceil, trunc, round, clamp, clip = ops.floor, ops.ceil, ops.trunc, ops.round, ops.clamp, ops.clamp
    clamp_min, clamp_max, nan_to_num = ops.clamp_min, ops.clamp_max, ops.nan_to_num
    lerp, addcmul, addcdiv = ops.lerp, ops.addcmul, ops.addcdiv
    exp, expm1, log, log1p, log2, log10 = ops.exp, ops.expm1, ops.log, ops.log1p, ops.log2, ops.log10
    sqrt, rsqrt, sin, cos, tan, tanh = ops.sqrt, ops.rsqrt, ops.sin, ops.cos, ops.tan, ops.tanh
    asin, acos, atan, atan2, sinh, cosh = ops.asin, ops.acos, ops.atan, ops.atan2, ops.sinh, ops.cosh
    sigmoid, erf, relu, exp2 = ops.sigmoid, ops.erf, ops.relu, ops.exp2
    softmax, log_softmax = ops.softmax, ops.log_softmax
    isnan, isinf, isfinite = ops.isnan, ops.isinf, ops.isfinite

    # Products and reductions

    mm, bmm, mv, dot, addmm, outer = ops.mm, ops.bmm, ops.mv, ops.dot, ops.addmm, ops.outer
    sum, mean, var, std, amax, amin = ops.sum, ops.mean, ops.var, ops.std, ops.amax, ops.amin
    logsumexp, prod, cumsum, norm = ops.logsumexp, ops.prod, ops.cumsum, ops.norm
    all, any, count_nonzero = ops.all, ops.any, ops.count_nonzero
    max, min, argmax, argmin = ops.max, ops.min, ops.argmax, ops.argmin
    sort, argsort, topk = ops.sort, ops.argsort, ops.topk

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

    def new_empty(self, *size: Any, **options: Any) -> Tensor:
        """Elements that are not set, of the given shape, in this type and on this device."""
        return ops.empty(*size, **{"dtype": self.dtype, "device": self.device, **options})

    def new_full(self, size: Any, fill_value: Any, **options: Any) -> Tensor:
        """One value in the given shape, in this type and on this device."""
        return ops.full(size, fill_value, **{"dtype": self.dtype, "device": self.device, **options})

    def new_tensor(self, data: Any, **options: Any) -> Tensor:
        """A copy of `data` in this type and on this device."""
        return ops.tensor(data, **{"dtype": self.dtype, "device": self.device, **options})

    # In place

    __iadd__, __isub__, __imul__ = inplace.iadd, inplace.isub, inplace.imul
    __itruediv__, __ipow__ = inplace.itruediv, inplace.ipow
    copy_, fill_, zero_ = inplace.copy_, inplace.fill_, inplace.zero_
    normal_, uniform_, random_, bernoulli_ = inplace.normal_, inplace.uniform_, inplace.random_, inplace.bernoulli_


set_tensor_class(Tensor)
