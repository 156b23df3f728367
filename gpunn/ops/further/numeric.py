"""Functions of numbers that go through the array module, and differences of functions on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpunn.autograd.tape import TensorBase
from gpunn.backend.dtypes import BOOL, FLOAT, int32

from ..base import Operand, shape_error
from ..creation import full
from ..join import cat
from ..promote import promote, to_float
from ..reduction import normalise_dim
from ..slicing import narrow
from ..view import reshape
from .array_module import of_arrays
from .asking import is_tensor

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


class Frexp(NamedTuple):
    """Numbers as mantissa 2^exponent."""

    mantissa: Tensor
    exponent: Tensor


def _integers(name: str, *operands: Any) -> list[Any]:
    found = promote(name, *operands)
    for x in found:
        category = x.dtype.category if isinstance(x, TensorBase) else FLOAT if isinstance(x, float) else 1
        if category in (FLOAT, BOOL):
            raise RuntimeError(f"{name}: takes integers, got {getattr(x, '_spec', x)!r}; convert with .to(gpunn.int64)")
    like = next(x for x in found if isinstance(x, TensorBase))
    return [x if isinstance(x, TensorBase) else full((), x, dtype=like.dtype, device=like.device) for x in found]


def gcd(input: Tensor, other: Operand) -> Tensor:
    """The greatest common divisor of integers, 0 of 0 and 0."""
    result: Tensor = of_arrays(_gcd, _integers("gcd", input, other))
    return result


def lcm(input: Tensor, other: Operand) -> Tensor:
    """The least common multiple of integers, which is not negative."""
    result: Tensor = of_arrays(_lcm, _integers("lcm", input, other))
    return result


def bitwise_left_shift(input: Operand, other: Operand) -> Tensor:
    """The bits of integers moved to the left, x 2^other; 0 where all of them leave."""
    result: Tensor = of_arrays(_left_shift, _integers("<<", input, other))
    return result


def bitwise_right_shift(input: Operand, other: Operand) -> Tensor:
    """The bits of integers moved to the right, floor(x / 2^other)."""
    result: Tensor = of_arrays(_right_shift, _integers(">>", input, other))
    return result


def _gcd(xp: Any, x: Any, y: Any) -> Any:
    return xp.gcd(x, y)


def _lcm(xp: Any, x: Any, y: Any) -> Any:
    return xp.lcm(x, y)


def _left_shift(xp: Any, x: Any, y: Any) -> Any:
    bits = 8 * x.dtype.itemsize
    inside = (y >= 0) & (y < bits)
    return xp.where(inside, xp.left_shift(x, xp.where(inside, y, 0)), 0)


def _right_shift(xp: Any, x: Any, y: Any) -> Any:
    last = 8 * x.dtype.itemsize - 1
    inside = (y >= 0) & (y <= last)
    if x.dtype.kind == "u":
        return xp.where(inside, xp.right_shift(x, xp.where(inside, y, 0)), 0)
    return xp.right_shift(x, xp.where(inside, y, last))


def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next number of the type after input on the way to other.

    Raises:
        RuntimeError: the elements are not float32 or float64.
    """
    x, y = promote("nextafter", input, other)
    for v in (x, y):
        if isinstance(v, TensorBase) and v.dtype.name not in ("float32", "float64"):
            raise RuntimeError(f"nextafter: takes float32 or float64, got {v._spec!r}")
    result: Tensor = of_arrays(_nextafter, (x, y))
    return result


def _nextafter(xp: Any, x: Any, y: Any) -> Any:
    return xp.nextafter(x, y)


def frexp(input: Tensor) -> Frexp:
    """mantissa 2^exponent with 1/2 <= |mantissa| < 1, or 0 (mantissa of the input's type, exponent int32).

    Raises:
        RuntimeError: the elements are no floats.
    """
    if not input.is_floating_point():
        raise shape_error("frexp", f"takes floats, got {input._spec!r}; convert it with .float()")
    from ..composed.numbers import ldexp

    exponent = of_arrays(_exponent, (input,), (int32,))
    half = -exponent // 2  # in two steps, since 2^-exponent may be too large for a number
    return Frexp(ldexp(ldexp(input, half.to(input.dtype)), (-exponent - half).to(input.dtype)), exponent)


def _exponent(xp: Any, x: Any) -> Any:
    return xp.frexp(x.astype(float))[1]


def gradient(
    input: Tensor, *, spacing: Any = 1, dim: int | Sequence[int] | None = None, edge_order: int = 1
) -> list[Tensor]:
    """The derivative along each dimension of a function that is known on a grid.

    Second-order central differences inside, and one-sided ones of `edge_order` 1 or 2 at the ends (Quarteroni et al.,
    "Numerical Mathematics", 2007, 10.10).

    Args:
        input: its values; floats, or integers, which become floats.
        spacing: the distance of neighbours, for all dimensions or for each; or their coordinates along each.
        dim: the dimensions; all by default.
        edge_order: 1 or 2.

    Raises:
        RuntimeError: a dimension has too few elements, or the spacing does not fit.
    """
    spacing = 1 if spacing is None else spacing
    dims = range(input.ndim) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    axes = [normalise_dim("gradient", d, input.ndim) for d in dims]
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(axes)
    if isinstance(spacing, TensorBase):
        steps = [spacing]
    if len(set(axes)) != len(axes):
        raise shape_error("gradient", f"each dimension once, got dim={dim}")
    if len(steps) != len(axes):
        raise shape_error("gradient", f"a spacing for each of {len(axes)} dimensions, got {len(steps)}")
    if edge_order not in (1, 2):
        raise shape_error("gradient", f"edge_order is 1 or 2, got {edge_order}")
    return [_derivative(to_float(input), d, h, edge_order) for d, h in zip(axes, steps)]


def _derivative(x: Tensor, d: int, spacing: Any, edge_order: int) -> Tensor:
    n = x.shape[d]
    if n < edge_order + 1:
        raise shape_error("gradient", f"dimension {d} needs {edge_order + 1} elements at least, got {x._spec!r}")
    if is_tensor(spacing) and spacing.ndim:
        if spacing.shape != (n,):
            raise shape_error("gradient", f"{n} coordinates for dimension {d}, got {spacing._spec!r}")
        gaps = reshape((spacing[1:] - spacing[:-1]).to(x.dtype), (-1, *(1,) * (x.ndim - d - 1)))
    else:
        gaps = full((n - 1, *(1,) * (x.ndim - d - 1)), float(spacing), dtype=x.dtype, device=x.device)

    def part(first: int, count: int) -> Tensor:
        return narrow(x, d, first, count)

    slopes = (part(1, n - 1) - part(0, n - 1)) / gaps
    first, last = narrow(slopes, d, 0, 1), narrow(slopes, d, n - 2, 1)
    if n == 2:
        return cat([first, last], d)
    left, right = gaps[:-1], gaps[1:]
    inner = (left * narrow(slopes, d, 1, n - 2) + right * narrow(slopes, d, 0, n - 2)) / (left + right)
    if edge_order == 2:
        a, b = narrow(slopes, d, 1, 1), narrow(slopes, d, n - 3, 1)
        first = first - (a - first) * (gaps[:1] / (gaps[:1] + gaps[1:2]))
        last = last + (last - b) * (gaps[-1:] / (gaps[-1:] + gaps[-2:-1]))
    return cat([first, inner, last], d)
