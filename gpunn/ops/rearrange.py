"""Elements in another order, or several times: flip, roll, repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.spec import Spec, sizes

from .base import Op, frozen, shape_error
from .indexing import Index
from .reduction import normalise_dim, sum
from .view import flatten, reshape

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Flip(Op):
    """y_i = x_(n-1-i) along dims;  dx = dy, flipped."""

    dims: tuple[int, ...]
    flop_per_element = 0

    def shape(self, x: Spec) -> Spec:
        return x

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.flip(x, self.dims, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(self, dy)


@frozen
class Roll(Op):
    """y_i = x_((i - shift) mod n) along each of dims;  dx = dy, rolled back."""

    shifts: tuple[int, ...]
    dims: tuple[int, ...]
    flop_per_element = 0

    def shape(self, x: Spec) -> Spec:
        return x

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.roll(x, self.shifts, self.dims, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        return apply(Roll(tuple(-s for s in self.shifts), self.dims), dy)


@frozen
class Repeat(Op):
    """y_i = x_(i mod n) along each dimension, `repeats` times n elements;  dx = sum of dy over the repetitions."""

    repeats: tuple[int, ...]
    flop_per_element = 0

    def shape(self, x: Spec) -> Spec:
        extra = len(self.repeats) - x.ndim
        if extra < 0 or min(self.repeats, default=0) < 0:
            raise shape_error(
                self, f"takes a number >= 0 for each dimension of {x!r}, and for more before; got {list(self.repeats)}"
            )
        return x.like(tuple(r * n for r, n in zip(self.repeats, (1,) * extra + x.shape)))

    def forward(self, backend: Any, x: Any, out: Any = None) -> Any:
        return backend.tile(x, self.repeats, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any) -> Any:
        shape = (1,) * (len(self.repeats) - x.ndim) + x.shape
        pairs = tuple(size for pair in zip(self.repeats, shape) for size in pair)
        return sum(dy.reshape(pairs), tuple(range(0, len(pairs), 2))).reshape(x.shape) if pairs else dy


def flip(input: Tensor, *dims: int | Sequence[int]) -> Tensor:
    """The elements in reverse order along `dims`; a copy.

    Raises:
        IndexError: a dimension is out of range.
        RuntimeError: a dimension is given twice.
    """
    wanted = tuple(normalise_dim("flip", d, input.ndim) for d in sizes(dims))
    if len(set(wanted)) != len(wanted):
        raise shape_error("flip", f"a dimension is given twice in {list(sizes(dims))}")
    return apply(Flip(wanted if input.ndim else ()), input)


def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] = ()) -> Tensor:
    """The elements moved along `dims`; what leaves at the end comes back at the start. Without dims, as one vector.

    Raises:
        IndexError: a dimension is out of range.
        RuntimeError: there are not as many shifts as dimensions.
    """
    s, d = ((a,) if isinstance(a, int) else tuple(a) for a in (shifts, dims))
    if not d and len(s) == 1:
        return reshape(apply(Roll(s, (0,)), input.reshape(-1)), input.shape)
    if len(s) != len(d) or not d:
        raise shape_error("roll", f"takes a shift for each dimension, got shifts {list(s)} and dimensions {list(d)}")
    if not input.ndim:
        raise IndexError("roll: a 0-d tensor has no dimension to roll along")
    return apply(Roll(s, tuple(normalise_dim("roll", a, input.ndim) for a in d)), input)


def repeat(input: Tensor, *repeats: int | Sequence[int]) -> Tensor:
    """The tensor so many times along each dimension, one after another; more numbers than dimensions add some before.

    Raises:
        RuntimeError: there are fewer numbers than dimensions, or one is negative.
    """
    return apply(Repeat(sizes(repeats)), input)


def tile(input: Tensor, *dims: int | Sequence[int]) -> Tensor:
    """As `repeat`, but where there are fewer numbers than dimensions, they are for the last ones."""
    numbers = sizes(dims)
    return apply(Repeat((1,) * (input.ndim - len(numbers)) + numbers), input)


def repeat_interleave(
    input: Tensor, repeats: int | Tensor | None = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element along `dim` so many times, one after another; without dim, of the flattened tensor.

    Args:
        input: any tensor.
        repeats: one number for all, or a tensor of one for each. Without it `input` are the numbers, and what is
            repeated are the indices from 0 on.
        dim: the dimension.
        output_size: the size that comes out, where that is known; it is only checked.

    Raises:
        RuntimeError: the number of repeats is not that of the elements, or one is negative.
    """
    import numpy as np

    from gpunn.tensor import from_numpy

    if repeats is None:
        from .creation import arange

        return repeat_interleave(arange(input.numel(), device=input.device), input, output_size=output_size)
    x = input.reshape(-1) if dim is None else input
    d = 0 if dim is None else normalise_dim("repeat_interleave", dim, input.ndim)
    n = x.shape[d]
    if isinstance(repeats, TensorBase):
        counts = repeats._host().reshape(-1)
        if counts.size not in (1, n):
            raise shape_error("repeat_interleave", f"takes one number, or one for each of {n}, got {repeats._spec!r}")
    else:
        counts = np.array([repeats])
    if counts.size and counts.min() < 0:
        raise shape_error("repeat_interleave", f"a number of repetitions is not negative, got {counts.min()}")
    total = int(counts.sum()) * (n if counts.size == 1 else 1)
    if output_size is not None and output_size != total:
        raise shape_error("repeat_interleave", f"output_size is {output_size}, but {total} elements come out")
    if counts.size == 1:
        times = int(counts[0])
        wide = x.unsqueeze(d + 1).expand((*x.shape[: d + 1], times, *x.shape[d + 1 :]))
        return flatten(wide, d, d + 1)
    index = from_numpy(np.repeat(np.arange(n), counts)).to(input.device)
    return apply(Index((d,)), x, index)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Vectors as the coordinates of a grid: (n,), (m,) -> two (n, m); with ``indexing="xy"`` two (m, n). Views.

    Raises:
        RuntimeError: a tensor has more than one dimension, or another indexing is asked for.
    """
    vectors = tuple(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], TensorBase) else tensors
    for v in vectors:
        if v.ndim > 1:
            raise shape_error("meshgrid", f"takes vectors, got {v._spec!r}")
    if indexing not in ("ij", "xy"):
        raise shape_error("meshgrid", f'indexing is "ij" or "xy", got {indexing!r}')
    shape = tuple(v.numel() for v in vectors)
    rank = len(shape)
    grids = [v.reshape((1,) * i + (-1,) + (1,) * (rank - i - 1)).expand(shape) for i, v in enumerate(vectors)]
    return tuple(g.transpose(0, 1) if indexing == "xy" and rank > 1 else g for g in grids)
