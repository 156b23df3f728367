"""Other shapes on the same elements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.mode import state
from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import dtype as DType
from gpunn.backend.memory_format import (
    channels_last,
    check_format,
    contiguous_format,
    in_last_order,
    lies_last,
    preserve_format,
)
from gpunn.backend.memory_format import memory_format as MemoryFormat
from gpunn.backend.spec import Spec, sizes

from .base import Cost, Op, frozen, shape_error
from .reduction import normalise_dim, sum_to

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class View(Op, abstract=True):
    """An op that moves no element: the result shares the memory of the input wherever the strides allow it."""

    view = True

    def cost(self, *specs: Any) -> Cost:
        return Cost(0, 0)

    def put(self, x: Tensor, value: Tensor) -> Tensor:
        """`x` with `value` in the place of this view of it: the gradient of a view puts each element where it was."""
        from .comparison import where
        from .creation import full

        def placed(v: Tensor) -> Tensor:
            gradient = self.vjp((True,), v, v._spec, x._spec)
            return gradient[0] if isinstance(gradient, tuple) else gradient

        if value.numel() == x.numel():
            return placed(value)
        return where(placed(full(value.shape, True, device=x.device)), placed(value), x)


class Identity(View):
    """y = x;  dx = dy."""

    def shape(self, x: Spec) -> Spec:
        return x

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return x

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy


@frozen
class Reshape(View):
    """y = the elements of x, in their order, in another shape;  dx = dy in the shape of x."""

    target: tuple[int, ...]

    def shape(self, x: Spec) -> Spec:
        if prod(self.target) != prod(x.shape):
            raise shape_error(self, f"{list(self.target)} does not hold the {x.numel()} elements of {x!r}")
        return x.like(self.target)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.reshape(x, self.target)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Reshape(x.shape), dy)


@frozen
class Permute(View):
    """y[i, j, ...] = x with its dimensions in the order `dims`;  dx = dy, permuted back."""

    dims: tuple[int, ...]

    def shape(self, x: Spec) -> Spec:
        return x.like(tuple(x.shape[d] for d in self.dims))

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.transpose(x, self.dims)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Permute(tuple(sorted(range(len(self.dims)), key=self.dims.__getitem__))), dy)


@frozen
class Expand(View):
    """y = x repeated along dimensions of size 1, without a copy;  dx = sum of dy over them."""

    target: tuple[int, ...]

    def shape(self, x: Spec) -> Spec:
        extra = len(self.target) - x.ndim
        if extra < 0 or any(n not in (1, m) for n, m in zip(x.shape, self.target[extra:])):
            raise shape_error(self, f"{x!r} does not expand to {list(self.target)}: only sizes of 1 can grow")
        return x.like(self.target)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.broadcast_to(x, self.target)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return sum_to(dy, x.shape)

    def put(self, x: Tensor, value: Tensor) -> Tensor:
        """One element of the memory would get several values.

        Raises:
            RuntimeError: always, unless nothing is repeated.
        """
        if value.numel() != x.numel():
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to a single memory "
                "location. Please clone() the tensor before performing the operation."
            )
        return reshape(value, x.shape)


@frozen
class Reinterpret(View):
    """y = the bytes of x, taken for elements of another type, along the last dimension."""

    dtype: DType
    differentiable = False

    def shape(self, x: Spec) -> Spec:
        old, new = x.dtype.itemsize, self.dtype.itemsize
        if old == new:
            return x.like(dtype=self.dtype)
        if not x.shape or x.shape[-1] * old % new:
            raise shape_error(self, f"the last dimension of {x!r} is no whole number of {self.dtype!r}")
        return x.like((*x.shape[:-1], x.shape[-1] * old // new), self.dtype)

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.reinterpret(x, self.dtype.numpy)

    def put(self, x: Tensor, value: Tensor) -> Tensor:
        return apply(Reinterpret(x.dtype), value)


@frozen
class Clone(Op):
    """y = x in new memory, row-major or, of four dimensions, channels last;  dx = dy."""

    memory_format: MemoryFormat = preserve_format
    primitive = "copy"
    by_element = True

    def gives_last(self, arrays: Sequence[Any], shape: tuple[int, ...]) -> bool:
        """As the format says, or, to preserve it, where x lies so."""
        preserved = self.memory_format is preserve_format
        return lies_last(arrays[0]) if preserved else self.memory_format is channels_last

    def shape(self, x: Spec) -> Spec:
        return x

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return dy


def identity(input: Tensor) -> Tensor:
    """The same elements as another node of the graph."""
    return apply(Identity(), input)


def clone(input: Tensor, *, memory_format: MemoryFormat = preserve_format) -> Tensor:
    """A copy in new memory without gaps; gradients pass through it.

    Args:
        input: any tensor.
        memory_format: the order of its elements; preserved, images that lie channels last do so again, and all else
            becomes row-major.

    Raises:
        RuntimeError: `gpunn.channels_last`, and not four dimensions.
    """
    check_format("clone", memory_format, input.ndim)
    return apply(Clone(memory_format), input)


def contiguous(input: Tensor, memory_format: MemoryFormat = contiguous_format) -> Tensor:
    """`input` itself if its elements lie without gaps in row-major order, or that of the format, else such a copy."""
    check_format("contiguous", memory_format, input.ndim)
    if memory_format is preserve_format or input.is_contiguous(memory_format=memory_format):
        return input
    return clone(input, memory_format=memory_format)


def in_format(input: Tensor, memory_format: MemoryFormat) -> Tensor:
    """`input` itself if its strides are those of the format, also along axes of size 1, else a copy."""
    if memory_format is preserve_format:
        return input
    last = input.ndim == 4 and in_last_order(input.shape, input.stride())
    if last is (memory_format is channels_last) and input.is_contiguous(memory_format=memory_format):
        return input
    return clone(input, memory_format=memory_format)


def reshape(input: Tensor, *shape: int | Sequence[int]) -> Tensor:
    """The elements in another shape; one size may be -1, and is inferred. A view where the strides allow it."""
    target = infer_shape("reshape", input.shape, _given("reshape", shape))
    return input if target == input.shape else apply(Reshape(target), input)


def _given(name: str, shape: tuple[Any, ...]) -> Any:
    if not shape:
        raise TypeError(f"{name}: no sizes were given; {name}(()) makes a tensor without dimensions of one element")
    return sizes(shape)


def view(input: Tensor, *shape: Any, dtype: DType | None = None) -> Tensor:
    """As `reshape`, but never a copy.

    With a type, ``view(gpunn.int32)``: the same bytes as elements of that type; the last dimension shrinks or grows
    where its elements are larger or smaller, and there is no gradient.

    Raises:
        RuntimeError: the strides do not allow it; use reshape.
    """
    wanted = dtype if dtype is not None else shape[0] if len(shape) == 1 else None
    if isinstance(wanted, DType):
        if state.tracer is not None:
            state.tracer.leave("the step takes the bytes of a tensor for elements of another type")
        return apply(Reinterpret(wanted), input) if wanted is not input.dtype else identity(input)
    target = infer_shape("view", input.shape, _given("view", shape))
    result: Tensor = apply(Reshape(target), input)
    if state.tracer is None and not input.device.backend.is_view(input._data, result._data):
        raise shape_error(
            "view", f"{input._spec!r} is not contiguous in the way that {list(target)} needs; use reshape"
        )
    return result


def permute(input: Tensor, *dims: int | Sequence[int]) -> Tensor:
    """The dimensions in another order."""
    order = tuple(normalise_dim("permute", d, input.ndim) for d in sizes(dims))
    if sorted(order) != list(range(input.ndim)):
        raise shape_error("permute", f"the order {sizes(dims)} does not name each of {input.ndim} dimensions once")
    return apply(Permute(order), input)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    a, b = (normalise_dim("transpose", d, input.ndim) for d in (dim0, dim1))
    if input.ndim < 2:
        return apply(Identity(), input)
    order = list(range(input.ndim))
    order[a], order[b] = b, a
    return apply(Permute(tuple(order)), input)


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """One or several dimensions moved to other places, the others in their order.

    Raises:
        RuntimeError: not as many places as dimensions, or one is named twice.
    """
    origins, places = (
        [normalise_dim("movedim", d, input.ndim) for d in ((dims,) if isinstance(dims, int) else dims)]
        for dims in (source, destination)
    )
    if len(origins) != len(places) or len(set(origins)) != len(origins) or len(set(places)) != len(places):
        raise shape_error("movedim", f"dimensions {source} can't be moved to {destination}")
    rest = iter([d for d in range(input.ndim) if d not in origins])
    order = [origins[places.index(i)] if i in places else next(rest) for i in range(input.ndim)]
    return permute(input, order)


def t(input: Tensor) -> Tensor:
    """A matrix transposed; vectors and scalars as they are."""
    if input.ndim > 2:
        raise shape_error("t", f"takes at most 2 dimensions, got {input._spec!r}; use transpose or permute")
    return transpose(input, 0, 1) if input.ndim == 2 else identity(input)


def expand(input: Tensor, *size: int | Sequence[int]) -> Tensor:
    """Dimensions of size 1 repeated without a copy; -1 keeps a size.

    Raises:
        RuntimeError: another size would change, or a size of a new dimension is negative.
    """
    wanted = sizes(size)
    extra = len(wanted) - input.ndim
    target = tuple([input.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(wanted)])
    if any(n < 0 for n in target):
        raise shape_error(
            "expand", f"{list(wanted)} has a negative size for {input._spec!r}; -1 keeps one that is there"
        )
    return apply(Expand(target), input)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of other."""
    return expand(input, other.shape)


def broadcast_to(input: Tensor, shape: Sequence[int]) -> Tensor:
    """As `expand`."""
    return expand(input, shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions start_dim to end_dim as one."""
    if input.ndim == 0:
        return reshape(input, 1)
    first, last = (normalise_dim("flatten", d, input.ndim) for d in (start_dim, end_dim))
    if first > last:
        raise shape_error("flatten", f"start_dim {start_dim} comes after end_dim {end_dim}")
    shape = input.shape
    return reshape(input, (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension as several; one of `sizes` may be -1."""
    d = normalise_dim("unflatten", dim, input.ndim)
    inner = infer_shape("unflatten", (input.shape[d],), tuple(sizes))
    return reshape(input, (*input.shape[:d], *inner, *input.shape[d + 1 :]))


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without dimensions of size 1 (those in `dim`, or all)."""
    if dim is None:
        gone = set(range(input.ndim))
    else:
        gone = {normalise_dim("squeeze", d, input.ndim) for d in ((dim,) if isinstance(dim, int) else dim)}
    return apply(Reshape(tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in gone)), input)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at `dim`."""
    d = normalise_dim("unsqueeze", dim, input.ndim + 1)
    return apply(Reshape((*input.shape[:d], 1, *input.shape[d:])), input)


def infer_shape(name: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """`wanted` with its -1 replaced by what is left of the elements of `shape`.

    Raises:
        RuntimeError: more than one -1, or the elements do not fit.
    """
    if -1 not in wanted:
        target = wanted
    else:
        rest = prod(n for n in wanted if n != -1)
        if wanted.count(-1) > 1:
            raise shape_error(name, f"only one size can be -1, got {list(wanted)}")
        if rest == 0 or prod(shape) % rest:
            raise shape_error(name, f"{list(wanted)} does not fit the {prod(shape)} elements of shape {list(shape)}")
        target = tuple(prod(shape) // rest if n == -1 else n for n in wanted)
    if prod(target) != prod(shape) or any(n < 0 for n in target):
        raise shape_error(name, f"{list(wanted)} does not fit the {prod(shape)} elements of shape {list(shape)}")
    return target
