"""What a backend offers: the list of primitives, which everything above the backends is made of.

A backend is an object or a module with these functions; `gpunn.backend.device.register_backend` gives it the name of a
device. The contract of every primitive:

- Arrays are whatever the backend computes on; nothing above looks into them. Other arguments are Python numbers, tuples
  and strings; a ``dtype`` is a NumPy type. An optional array may be None.
- The result has exactly the shape and type that the op's shape rule says. Several results come as a tuple. In the place
  of an array without dimensions a scalar may come, which `asarray` makes an array.
- ``out``, where given, is a row-major array (or a tuple of them) of the result's shape and type, with anything in it.
  The primitive fills it with the same bits as without it. It overlaps with no input, unless the docstring allows one.
- The same inputs give the same bits on every call.
- float16 and bfloat16 are computed in float32 and rounded once.
- Inputs may have any strides, and are not written to.
- What can't be known from shapes, such as an index out of range, is an error here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .base_layers import Array, Axes, LayerPrimitives, Shape, Wanted
from .base_losses import LossPrimitives
from .base_norms import NormPrimitives
from .base_optimizers import OptimizerPrimitives


class Unary(Protocol):
    """A function of each element."""

    def __call__(self, x: Array, /, *, out: Array | None = None) -> Array:
        """The result."""


class Binary(Protocol):
    """A function of two elements: of two arrays, broadcast, or of an array and a Python number."""

    def __call__(self, x: Array, y: Array, /, *, out: Array | None = None) -> Array:
        """The result."""


class Reduce(Protocol):
    """A function of the elements along some axes, which go away, or become 1 with `keepdims`."""

    def __call__(self, x: Array, axes: Axes, keepdims: bool, *, out: Array | None = None) -> Array:
        """The result."""


class Backend(LayerPrimitives, NormPrimitives, LossPrimitives, OptimizerPrimitives, Protocol):
    """The primitives, by family; those of layers, norms, losses and optimizers are inherited."""

    name: str
    writes_images: frozenset[str]
    """The primitives whose `out` may be images, or weights, that lie channels last."""

    # Memory -----------------------------------------------------------------------------------------------------------

    def asarray(self, x: Any) -> Array:
        """`x` itself, or a scalar as an array without dimensions."""

    def empty(self, shape: Shape, dtype: Any) -> Array:
        """An array whose elements are not set."""

    def cache_lines(self, count: int, dtype: Any, cleared: bool = False) -> Array:
        """So many elements, of which the first begins a cache line."""

    def full(self, shape: Shape, value: Any, dtype: Any, out: Array | None = None) -> Array:
        """An array of one value."""

    def arange(self, start: float, step: float, count: int, dtype: Any, out: Array | None = None) -> Array:
        """start + i step for i < count."""

    def eye(self, n: int, m: int, dtype: Any, out: Array | None = None) -> Array:
        """Ones on the diagonal."""

    def copy(self, x: Array, out: Array | None = None) -> Array:
        """The elements in new row-major memory, or, broadcast, in `out`, which here may have any strides."""

    def cast(self, x: Array, dtype: Any, out: Array | None = None) -> Array:
        """The elements in another type; floats become integers towards 0."""

    def from_numpy(self, x: Any) -> Array:
        """A NumPy array as an array of this backend."""

    def to_numpy(self, x: Array) -> Any:
        """An array of this backend as a NumPy array, when all work on it is done."""

    def is_view(self, source: Array, result: Array) -> bool:
        """Whether `result` lies in the memory of `source`."""

    def is_contiguous(self, x: Array) -> bool:
        """Whether the elements lie in row-major order without gaps."""

    def strides(self, x: Array) -> Shape:
        """The steps in memory along each axis, in elements."""

    def address(self, x: Array) -> int:
        """The address of the first element."""

    def synchronize(self) -> None:
        """Wait until all work is done."""

    # Views: the result lies in the memory of x wherever its strides allow it ------------------------------------------

    def reshape(self, x: Array, shape: Shape) -> Array:
        """The elements, in their order, in another shape."""

    def transpose(self, x: Array, axes: Axes) -> Array:
        """The axes in another order."""

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        """Axes of size 1 repeated."""

    def slice_view(self, x: Array, key: tuple[Any, ...]) -> Array:
        """x[key], for a key of integers, (start, stop, step) and None."""

    def reinterpret(self, x: Array, dtype: Any) -> Array:
        """The bytes as elements of another type, along the last axis."""

    def split(self, x: Array, sizes: Sequence[int], axis: int) -> tuple[Array, ...]:
        """x cut along an axis."""

    def diagonal(self, x: Array, offset: int, axis1: int, axis2: int) -> Array:
        """A diagonal of two axes as the last axis."""

    # Several arrays as one --------------------------------------------------------------------------------------------

    def concatenate(self, arrays: Sequence[Array], axis: int, out: Array | None = None) -> Array:
        """The arrays one after another along an axis."""

    def stack(self, arrays: Sequence[Array], axis: int, out: Array | None = None) -> Array:
        """The arrays along a new axis."""

    # Elements, one by one ---------------------------------------------------------------------------------------------

    add: Binary
    subtract: Binary
    multiply: Binary
    divide: Binary
    floor_divide: Binary
    """floor(x / y); an integer divided by 0 is an error here and in the next two."""
    remainder: Binary
    """x - floor(x / y) y, with the sign of y."""
    fmod: Binary
    """x - trunc(x / y) y, with the sign of x."""
    power: Binary
    maximum: Binary
    """NaN where either is."""
    minimum: Binary
    arctan2: Binary
    square: Unary
    negative: Unary
    absolute: Unary
    reciprocal: Unary
    sign: Unary
    """0 for NaN."""
    floor: Unary
    ceil: Unary
    trunc: Unary
    rint: Unary
    """To the nearest integer, halves to the even one."""
    exp: Unary
    exp2: Unary
    expm1: Unary
    log: Unary
    log2: Unary
    log10: Unary
    log1p: Unary
    sqrt: Unary
    rsqrt: Unary
    sin: Unary
    cos: Unary
    tan: Unary
    arcsin: Unary
    arccos: Unary
    arctan: Unary
    sinh: Unary
    cosh: Unary
    tanh: Unary
    arcsinh: Unary
    arccosh: Unary
    arctanh: Unary
    sigmoid: Unary
    """`out` may be x."""
    erf: Unary

    # Comparison, logic and choice: the result is a boolean where nothing else is said ---------------------------------

    equal: Binary
    not_equal: Binary
    less: Binary
    less_equal: Binary
    greater: Binary
    greater_equal: Binary
    logical_and: Binary
    logical_or: Binary
    logical_xor: Binary
    logical_not: Unary
    isnan: Unary
    isinf: Unary
    isfinite: Unary
    bitwise_and: Binary
    """On the bits of integers, or on booleans; the result has their type, here and in the next three."""
    bitwise_or: Binary
    bitwise_xor: Binary
    invert: Unary

    def where(self, condition: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """x where the condition holds, else y; one of them may be a Python number. `out` may be x."""

    def clip(self, x: Array, low: float | None, high: float | None, out: Array | None = None) -> Array:
        """min(max(x, low), high)."""

    # Activations; the formulas stand at `gpunn.ops.activation.Activation` ---------------------------------------------

    def activation(self, x: Array, kind: str, parameter: float, out: Array | None = None) -> Array:
        """f(x). `out` may be x."""

    def activation_backward(
        self, dy: Array, s: Array, kind: str, parameter: float, from_output: bool, out: Array | None = None
    ) -> Array:
        """dy f'(s), where s is f's result if `from_output`, else its argument. `out` may be dy."""

    # Several functions of each element at once ------------------------------------------------------------------------

    def chain(self, steps: Sequence[tuple[Any, ...]], inputs: Sequence[Any], out: Array | None = None) -> Array:
        """Elementwise functions, each of inputs and of results of earlier ones; the result of the last one.

        Values are numbered: first the inputs, then what each step makes. A step is the name of a function and the
        numbers of the values that it takes: ``[("multiply", 0, 1), ("add", 3, 2)]`` of x, y and z is x y + z.
        Functions are the elementwise primitives, and besides "cast" (a boolean as 0 or 1), "activation:<kind>" of x and
        the parameter, and "activation_backward:<kind>" and "activation_backward_from_output:<kind>" of dy, s and it.
        Inputs are arrays of one float type, of which there is one at least, arrays of booleans, and Python numbers;
        arrays are broadcast.
        """

    # Reductions -------------------------------------------------------------------------------------------------------

    sum: Reduce
    mean: Reduce
    """NaN for no element."""
    product: Reduce
    amax: Reduce
    """NaN where there is one, here and in the next."""
    amin: Reduce
    logsumexp: Reduce
    """No overflow; -inf for no element."""
    all: Reduce
    """Whether no element is 0."""
    any: Reduce
    """Whether an element is not 0."""

    def vector_norm(self, x: Array, p: float, axes: Axes, keepdims: bool, out: Array | None = None) -> Array:
        """(sum of |x|^p)^(1/p)."""

    def cumsum(self, x: Array, axis: int, reverse: bool, out: Array | None = None) -> Array:
        """The sums of the elements up to each, or from each on if `reverse`."""

    # Order; NaN counts as larger than any number ----------------------------------------------------------------------

    def argmax(self, x: Array, axis: int | None, keepdims: bool, out: Array | None = None) -> Array:
        """The index (int64) of the first largest element along the axis, or among all."""

    def argmin(self, x: Array, axis: int | None, keepdims: bool, out: Array | None = None) -> Array:
        """The index (int64) of the first smallest element along the axis, or among all; of the first NaN if any."""

    def sort(self, x: Array, axis: int, descending: bool, out: Any = None) -> tuple[Array, Array]:
        """The elements in order and the index (int64) of each; equal ones stay in their order."""

    def nonzero(self, x: Array) -> tuple[Array, ...]:
        """For each axis the indices (int64) of the elements that are not 0, in row-major order."""

    # All ranks together -----------------------------------------------------------------------------------------------

    def all_reduce(self, x: Array, out: Array | None = None) -> Array:
        """The sum of x over all ranks; x where there is one. `out` may be x."""

    # Matrix products and the affine map -------------------------------------------------------------------------------

    def matmul(self, x: Array, y: Array, out: Array | None = None) -> Array:
        """x y on the last two axes, broadcast over the others."""

    def linear_activation(
        self, x: Array, w: Array, b: Array | None, kind: str, parameter: float, out: Array | None = None
    ) -> Array:
        """f(x w^T + b) for x (..., i), w (o, i), b (o,)."""

    def linear_sum(self, x: Array, w: Array, b: Array | None, added: Array, out: Array | None = None) -> Array:
        """x w^T + b + added for x (..., i), w (o, i), b (o,), added (..., o)."""

    def linear_backward(
        self, dz: Array, x: Array | None, w: Array | None, wanted: Wanted, out: Any = None
    ) -> tuple[Array, ...]:
        """The wanted ones of dx = dz w, dw = dz^T x, db = sum of dz, for dz (..., o), x (..., i), w (o, i).

        x is not read for dx, nor w for dw, and may then be None.
        """

    def activation_linear_backward(
        self,
        dz: Array,
        x: Array | None,
        w: Array | None,
        kind: str,
        parameter: float,
        wanted: Wanted,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """`linear_backward` with dx f'(v) in the place of dx, where x = f(v) and f' follows from that."""

    def pooled_linear_backward(
        self,
        dz: Array,
        x: Array | None,
        w: Array,
        which: Array,
        kind: str,
        parameter: float,
        wanted: Wanted,
        out: Any = None,
    ) -> tuple[Array, ...]:
        """`activation_linear_backward` with dv (n, c, 2 h, 2 w) in the place of dx (n, c h w), for dz (n, o).

        It is `max_pool2d_backward` of dx, where x are the results of a pooling by windows of 2 x 2 that lie side by
        side, and `which` (n, c, h, w) the elements that they have chosen.
        """
