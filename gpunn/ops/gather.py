"""One element for each place of an index tensor: gather, scatter, and the sum that is their gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase, apply
from gpunn.backend.spec import Spec

from .base import Cost, Number, Op, frozen, shape_error
from .creation import full_like
from .elementwise import broadcast_shapes
from .index_key import as_index
from .indexing import as_value
from .reduction import normalise_dim
from .slicing import Slice

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Gather(Op):
    """y[i, j, ..] = x[index[i, j, ..], j, ..], for dim 0, and so on;

    dx = 0, but dx[index[i, j, ..], j, ..] += dy[i, j, ..].

    Without `wrap`, a negative index is an error.
    """

    dim: int
    wrap: bool = False
    saved = (1,)

    def shape(self, x: Spec, index: Spec) -> Spec:
        _check_index(self, index, x.shape, self.dim)
        return x.like(index.shape)

    def forward(self, backend: Any, x: Any, index: Any, out: Any = None) -> Any:
        return backend.gather(x, index, self.dim, self.wrap, out=out)

    def cost(self, x: Spec, index: Spec) -> Cost:
        return Cost(0, 2 * self.shape(x, index).nbytes + index.nbytes)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, index: Any) -> Any:
        return apply(ScatterSum(self.dim, x.shape, self.wrap), dy, index), None


@frozen
class ScatterSum(Op):
    """y = 0 in the shape `size`, but y[index[i, j, ..], j, ..] += v[i, j, ..], for dim 0, and so on, in the order of v;
    dv[i, j, ..] = dy[index[i, j, ..], j, ..].
    """

    dim: int
    size: tuple[int, ...]
    wrap: bool = False
    saved = (1,)

    def shape(self, v: Spec, index: Spec) -> Spec:
        _check_index(self, index, self.size, self.dim)
        _check_values(self, v, index)
        return v.like(self.size)

    def forward(self, backend: Any, v: Any, index: Any, out: Any = None) -> Any:
        return backend.scatter_sum(v, index, self.dim, self.size, self.wrap, out=out)

    def cost(self, v: Spec, index: Spec) -> Cost:
        return Cost(v.numel(), v.nbytes + index.nbytes + self.shape(v, index).nbytes)

    def vjp(self, needs: Any, dy: Any, y: Any, v: Any, index: Any) -> Any:
        return apply(Gather(self.dim, self.wrap), dy, index), None


@frozen
class Scatter(Op):
    """y = x, but y[index[i, j, ..], j, ..] = v[i, j, ..], for dim 0, and so on, the last one where indices repeat;
    dx = dy, but 0 there;  dv[i, j, ..] = dy[index[i, j, ..], j, ..].
    """

    dim: int
    saved = (2,)
    flop_per_element = 0

    def shape(self, x: Spec, v: Spec | Number, index: Spec) -> Spec:
        _check_index(self, index, x.shape, self.dim)
        if isinstance(v, Spec):
            _check_values(self, v, index)
        return x

    def forward(self, backend: Any, x: Any, v: Any, index: Any, out: Any = None) -> Any:
        return backend.scatter(x, v, index, self.dim, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, v: Any, index: Any) -> Any:
        dx = apply(self, dy, 0, index) if needs[0] else None
        return dx, apply(Gather(self.dim), dy, index) if needs[1] else None, None


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``y[i][j] = input[index[i][j]][j]`` for dim 0, ``y[i][j] = input[i][index[i][j]]`` for dim 1, and so on.

    Args:
        input: any tensor.
        dim: the dimension that is indexed.
        index: int64 or int32, with as many dimensions as input, and no larger than it except along `dim`.
        sparse_grad: a wish for another form of the gradient, which is a tensor as all here.

    Raises:
        RuntimeError: the shapes do not fit.
        IndexError: an index is negative or too large.
    """
    i = as_index("gather", index, input)
    d = normalise_dim("gather", dim, input.ndim)
    result: Tensor = apply(Gather(d), _vector(input), _vector(i))
    return result if index.ndim else result.squeeze(0)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As `gather`, but negative indices count from the end, and the other dimensions broadcast.

    Without `dim`, both are flattened.

    Raises:
        RuntimeError: the shapes do not fit.
        IndexError: an index is out of range.
    """
    i = as_index("take_along_dim", indices, input)
    if dim is None:
        return apply(Gather(0, True), input.reshape(-1), i.reshape(-1))
    if input.ndim != indices.ndim:
        raise shape_error(
            "take_along_dim", f"the dimensions of input and indices differ: {input._spec!r} and {indices._spec!r}"
        )
    d = normalise_dim("take_along_dim", dim, input.ndim)
    shapes = [(*x.shape[:d], 1, *x.shape[d + 1 :]) for x in (input, indices)]
    common = broadcast_shapes("take_along_dim", *shapes)
    x, i = (a.expand((*common[:d], a.shape[d], *common[d + 1 :])) for a in (input, i))
    return apply(Gather(d, True), x, i)


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Number | None = None, reduce: str | None = None
) -> Tensor:
    """input, but ``y[index[i][j]][j] = src[i][j]`` for dim 0, and so on; the last one where indices repeat.

    Args:
        input: any tensor.
        dim: the dimension that is indexed.
        index: int64 or int32, with as many dimensions as input, and no larger than it except along `dim`.
        src: a tensor of the type of input, at least as large as index along each dimension; or a number.
        value: a number in the place of `src`.
        reduce: "add" or "multiply" to do that with what is there, in the place of replacing it.

    Raises:
        RuntimeError: shapes or types do not fit.
        IndexError: an index is negative or too large.
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: give one of src and value")
    source = value if src is None else src
    i = as_index("scatter", index, input)
    d = normalise_dim("scatter", dim, input.ndim)
    if reduce is not None:
        from .further.scattering import scatter_reduce

        kinds = {"add": "sum", "multiply": "prod"}
        if reduce not in kinds:
            raise shape_error("scatter", f"reduce argument must be either add or multiply, got {reduce!r}")
        if not isinstance(source, TensorBase):
            source = full_like(i, 1, dtype=input.dtype) * as_value(source, input)
        values: Any = source
        return scatter_reduce(input, d, i, values, kinds[reduce])
    v: Any = _source("scatter", source, input, i) if isinstance(source, TensorBase) else as_value(source, input)
    return apply(Scatter(d), _vector(input), v, _vector(i)).reshape(input.shape)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input, with ``y[index[i][j]][j] += src[i][j]`` for dim 0, and so on. Sums run in the order of src, on every run.

    Arguments and errors as for `scatter`.
    """
    i = as_index("scatter_add", index, input)
    d = normalise_dim("scatter_add", dim, input.ndim)
    v = _source("scatter_add", src, input, i)
    return input + apply(ScatterSum(d, _vector(input).shape), v, _vector(i)).reshape(input.shape)


def _source(name: str, src: Any, input: Tensor, index: Tensor) -> Tensor:
    """The part of `src` that `index` speaks of."""
    if src.dtype is not input.dtype:
        raise shape_error(name, f"src is {src.dtype!r}, input is {input.dtype!r}; convert one with .to(dtype)")
    v, i = _vector(src), _vector(index)
    if v.ndim != i.ndim or any(n > m for n, m in zip(i.shape, v.shape)):
        raise shape_error(name, f"the index {list(index.shape)} is larger than src {list(src.shape)}")
    return v if v.shape == i.shape else apply(Slice(tuple((0, n, 1) for n in i.shape)), v)


def _vector(x: Tensor) -> Tensor:
    """As in PyTorch, a number counts as a vector of one element here."""
    return x if x.ndim else x.reshape(1)


def _check_index(op: Op, index: Spec, size: tuple[int, ...], dim: int) -> None:
    if index.ndim != len(size):
        raise shape_error(op, f"the index has {index.ndim} dimensions, the tensor of shape {list(size)} {len(size)}")
    for d, (n, m) in enumerate(zip(index.shape, size)):
        if d != dim and n > m and index.numel():
            raise shape_error(op, f"the index {list(index.shape)} is larger than {list(size)} along dimension {d}")


def _check_values(op: Op, v: Spec, index: Spec) -> None:
    if v.shape != index.shape:
        raise shape_error(op, f"the values are {v!r}, but the index has shape {list(index.shape)}")
