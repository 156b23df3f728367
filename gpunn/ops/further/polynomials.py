"""Orthogonal polynomials by their recurrences of three terms; A&S 22.7 is Abramowitz and Stegun (1964), table 22.7."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import TensorBase

from ..arithmetic import abs
from ..comparison import eq, where
from ..composed.numbers import sinc
from ..creation import ones_like, zeros_like
from ..promote import promote_floats, to_float

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

Step = Callable[[Any, int, Any, Any], Any]
"""(x, k, p_k, p_(k-1)) -> p_(k+1)."""


def _recurrence(name: str, input: Any, n: Any, first: Callable[[Any], Any], step: Step) -> Tensor:
    """The polynomial of order n of each element, 0 for n < 0; n is a number, or a tensor of whole numbers."""
    x, order = promote_floats(name, input, n)
    if not isinstance(x, TensorBase):
        x = zeros_like(order) + x
    several = isinstance(order, TensorBase)
    top = int(order.max().item()) if several and order.numel() else int(0 if several else order)
    before, now = ones_like(x), first(x)
    if not several:
        if top < 0:
            return zeros_like(x)
        for k in range(1, top):
            before, now = now, step(x, k, now, before)
        return now if top else before
    result = where(order < 0, 0.0, before * ones_like(order))
    for k in range(1, top + 1):
        result = where(order >= k, now, result)
        before, now = now, step(x, k, now, before)
    return result


def _chebyshev(x: Any, k: int, now: Any, before: Any) -> Any:
    return 2 * x * now - before


def chebyshev_polynomial_t(input: Any, n: Any) -> Tensor:
    """T_n: T_0 = 1, T_1 = x, T_(k+1) = 2 x T_k - T_(k-1) (A&S 22.7.4); 0 for n < 0, as all of these."""
    return _recurrence("chebyshev_polynomial_t", input, n, lambda x: x, _chebyshev)


def chebyshev_polynomial_u(input: Any, n: Any) -> Tensor:
    """U_n, as T_n with U_1 = 2 x (A&S 22.7.5)."""
    return _recurrence("chebyshev_polynomial_u", input, n, lambda x: 2 * x, _chebyshev)


def chebyshev_polynomial_v(input: Any, n: Any) -> Tensor:
    """V_n, as T_n with V_1 = 2 x - 1 (Mason and Handscomb 2003, 1.2.3)."""
    return _recurrence("chebyshev_polynomial_v", input, n, lambda x: 2 * x - 1, _chebyshev)


def chebyshev_polynomial_w(input: Any, n: Any) -> Tensor:
    """W_n, as T_n with W_1 = 2 x + 1 (Mason and Handscomb 2003, 1.2.3)."""
    return _recurrence("chebyshev_polynomial_w", input, n, lambda x: 2 * x + 1, _chebyshev)


def shifted_chebyshev_polynomial_t(input: Any, n: Any) -> Tensor:
    """T_n(2 x - 1), on the interval from 0 to 1 (A&S 22.5.14)."""
    return chebyshev_polynomial_t(2 * input - 1, n)


def shifted_chebyshev_polynomial_u(input: Any, n: Any) -> Tensor:
    """U_n(2 x - 1), on the interval from 0 to 1 (A&S 22.5.15)."""
    return chebyshev_polynomial_u(2 * input - 1, n)


def shifted_chebyshev_polynomial_v(input: Any, n: Any) -> Tensor:
    """V_n(2 x - 1), on the interval from 0 to 1."""
    return chebyshev_polynomial_v(2 * input - 1, n)


def shifted_chebyshev_polynomial_w(input: Any, n: Any) -> Tensor:
    """W_n(2 x - 1), on the interval from 0 to 1."""
    return chebyshev_polynomial_w(2 * input - 1, n)


def hermite_polynomial_h(input: Any, n: Any) -> Tensor:
    """H_n, the physicist's: H_0 = 1, H_1 = 2 x, H_(k+1) = 2 x H_k - 2 k H_(k-1) (A&S 22.7.13)."""
    return _recurrence(
        "hermite_polynomial_h", input, n, lambda x: 2 * x, lambda x, k, now, before: 2 * x * now - 2 * k * before
    )


def hermite_polynomial_he(input: Any, n: Any) -> Tensor:
    """He_n, the probabilist's: He_0 = 1, He_1 = x, He_(k+1) = x He_k - k He_(k-1) (A&S 22.7.14)."""
    return _recurrence("hermite_polynomial_he", input, n, lambda x: x, lambda x, k, now, before: x * now - k * before)


def laguerre_polynomial_l(input: Any, n: Any) -> Tensor:
    """L_n: L_0 = 1, L_1 = 1 - x, (k + 1) L_(k+1) = (2 k + 1 - x) L_k - k L_(k-1) (A&S 22.7.12)."""

    def step(x: Any, k: int, now: Any, before: Any) -> Any:
        return ((2 * k + 1 - x) * now - k * before) / (k + 1)

    return _recurrence("laguerre_polynomial_l", input, n, lambda x: 1 - x, step)


def legendre_polynomial_p(input: Any, n: Any) -> Tensor:
    """P_n: P_0 = 1, P_1 = x, (k + 1) P_(k+1) = (2 k + 1) x P_k - k P_(k-1) (A&S 22.7.10)."""

    def step(x: Any, k: int, now: Any, before: Any) -> Any:
        return ((2 * k + 1) * x * now - k * before) / (k + 1)

    return _recurrence("legendre_polynomial_p", input, n, lambda x: x, step)


def spherical_bessel_j0(input: Tensor) -> Tensor:
    """The spherical Bessel function of the first kind of order 0: sin x / x, 1 at 0, 0 at infinity (A&S 10.1.11)."""
    x = to_float(input)
    return where(eq(abs(x), math.inf), 0.0, sinc(x / math.pi))
