"""Dropout: elements or channels set to 0 at random in training, so that no one is relied on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd import inplace
from gpunn.autograd.mode import state
from gpunn.autograd.tape import apply
from gpunn.backend.spec import Spec
from gpunn.random import DROPOUT, default_generator

from .base import Op, frozen, shape_error
from .comparison import ne
from .creation import ones
from .view import squeeze, unsqueeze

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class Dropout(Op):
    """y = x m / (1 - p), m = 1 with probability 1 - p, else 0;  dx = dy m / (1 - p) (Srivastava et al. 2014)

    The mask is a function of seed, call number and the element's index: the gradient makes it again, nothing is saved.
    The call number is the second input, a Python number. `offset` is the index that the first element has in the whole
    batch, for a part of one.
    """

    p: float
    seed: int
    offset: int = 0
    images = (0,)

    def shape(self, x: Spec, call: int) -> Spec:
        if not x.dtype.is_floating_point:
            raise shape_error("dropout", f"takes floats, got {x!r}; convert with .float()")
        return x

    def forward(self, backend: Any, x: Any, call: int, out: Any = None) -> Any:
        return backend.dropout(x, self.p, self.seed, call, self.offset, out=out)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, call: int) -> Any:
        return apply(self, dy, call), None


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element set to 0 with probability p, the others over 1 - p, which keeps the mean; the input if not training.

    The same seed (`gpunn.manual_seed`) and order of calls give the same zeros.

    Args:
        input: floats of any shape.
        p: the probability, 0 to 1.
        training: False returns the input.
        inplace: put the result into the input.

    Raises:
        ValueError: p is no probability.
    """
    return _run("dropout", _elements, input, p, training, inplace)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels, for inputs (c, l) or (n, c, l) (Tompson et al. 2015)."""
    if input.ndim not in (2, 3):
        raise shape_error("dropout1d", f"takes 2 or 3 dimensions, (c, l) or (n, c, l), got {input._spec!r}")
    return _run("dropout1d", _without_batch if input.ndim == 2 else _channels, input, p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels, for inputs (n, c, h, w).

    An input of 3 dimensions is taken as (n, c, l), with a warning, and one of another number as (n, c, ...): PyTorch
    does so.
    """
    if input.ndim != 4:
        warnings.warn(
            f"dropout2d: takes 4 dimensions (n, c, h, w), got {input._spec!r}, which is taken as (n, c, ...); "
            "use dropout1d or dropout",
            stacklevel=2,
        )
    return _run("dropout2d", _channels, input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels, for inputs (c, d, h, w) or (n, c, d, h, w)."""
    if input.ndim not in (4, 5):
        raise shape_error("dropout3d", f"takes 4 or 5 dimensions, (c, d, h, w) or (n, c, d, h, w), got {input._spec!r}")
    return _run("dropout3d", _without_batch if input.ndim == 4 else _channels, input, p, training, inplace)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Elements set to SELU's negative limit with probability p, then scaled so that mean 0 and variance 1 stay.

    With a' = -1.7580993408473766, the limit: y = a (x m + a' (1 - m)) + b, a = ((1 - p) (1 + p a'^2))^(-1/2),
    b = -a p a' (Klambauer et al. 2017, section 2, "New dropout technique").
    """
    return _run("alpha_dropout", _alpha, input, p, training, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels, for inputs (n, c, ...)."""
    if input.ndim < 2:
        raise shape_error("feature_alpha_dropout", f"takes 2 or more dimensions, (n, c, ...), got {input._spec!r}")
    return _run("feature_alpha_dropout", _alpha_channels, input, p, training, inplace)


def _run(
    name: str,
    function: Callable[[Tensor, float], Tensor],
    x: Tensor,
    p: float,
    training: bool,
    in_place: bool,
) -> Tensor:
    _check(name, p)
    if not training or p == 0:
        return x
    return inplace.update(x, function, p) if in_place else function(x, p)


def drop_op(shape: tuple[int, ...], p: float) -> Dropout:
    """The op for elements of that shape, in the part of a batch that is computed.

    Raises:
        ValueError: p is no probability.
    """
    _check("dropout", p)
    offset = 0 if state.part is None else state.part.first * prod(shape[1:])
    return Dropout(float(p), default_generator.initial_seed(), offset)


def next_draw() -> int:
    """The call number of the next mask."""
    return default_generator.next_call(DROPOUT)


def _check(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: dropout probability has to be between 0 and 1, but got {p}")


def _elements(x: Tensor, p: float) -> Tensor:
    return apply(drop_op(x.shape, p), x, next_draw())


def _channels(x: Tensor, p: float) -> Tensor:
    sizes = (*x.shape[:2], *(1 for _ in x.shape[2:]))
    return x * _elements(ones(sizes, dtype=x.dtype, device=x.device), p)


def _without_batch(x: Tensor, p: float) -> Tensor:
    return squeeze(_channels(unsqueeze(x, 0), p), 0)


def _alpha(x: Tensor, p: float) -> Tensor:
    return _limited(x, p, x.shape)


def _alpha_channels(x: Tensor, p: float) -> Tensor:
    return _limited(x, p, (*x.shape[:2], *(1 for _ in x.shape[2:])))


def _limited(x: Tensor, p: float, shape: tuple[int, ...]) -> Tensor:
    limit = -1.7580993408473766
    if p == 1:
        return x * 0
    kept = ne(_elements(ones(shape, dtype=x.dtype, device=x.device), p), 0).to(x.dtype)
    a = ((1 - p) * (1 + p * limit**2)) ** -0.5
    return (x * kept + (1 - kept) * limit) * a - a * p * limit
