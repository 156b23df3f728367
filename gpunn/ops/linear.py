"""The affine map, with its activation in the same op."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import FLOAT
from gpunn.backend.spec import Spec

from .activation import activation_backward, check_activation, derivative_from_output
from .base import Composite, Cost, Op, check_one_type, frozen, shape_error

if TYPE_CHECKING:
    from gpunn.tensor import Tensor


@frozen
class LinearActivation(Op):
    """Affine map of the last axis, then an activation f, in one pass.

    Y = f(Z), Z = X W^T + b          X (..., i)  W (o, i)  b (o,)  ->  Y (..., o)
    dZ = dY o f'(Z);  dX = dZ W;  dW = dZ^T X;  db = sum of dZ over the batch   (Goodfellow et al. 2016, 6.5)

    Where f' needs Z itself (GELU, SiLU, softplus), Z is a second result.
    """

    activation: str = "none"
    parameter: float = 0.0
    saved = (0, 1)
    saved_for = ((1,), (0,))

    @property
    def saves_output(self) -> bool | tuple[int, ...]:
        """Y, or Z beside it, for f'."""
        return (1,) if self.returns_z else self.activation != "none"

    @property
    def returns_z(self) -> bool:
        """Whether Z is a second result."""
        return not derivative_from_output(self.activation, self.parameter)

    def shape(self, x: Spec, w: Spec, b: Spec | None) -> Any:
        name = "Linear" if self.activation == "none" else self.name
        if w.ndim != 2:
            raise shape_error(name, f"the weight has 2 dimensions (out, in), got {w!r}")
        if not x.ndim or x.shape[-1] != w.shape[1]:
            raise shape_error(
                name,
                f"the input {x!r} does not fit the weight {w!r}: its last dimension must be {w.shape[1]}"
                + (f", not {x.shape[-1]}" if x.ndim else ""),
            )
        if b is not None and b.shape != (w.shape[0],):
            raise shape_error(name, f"the bias must have shape [{w.shape[0]}] for the weight {w!r}, got {b!r}")
        if w.dtype.category != FLOAT:
            raise shape_error(name, f"takes floats, got the weight {w!r}; convert with .float()")
        check_one_type(name, x, w, b)
        y = x.like((*x.shape[:-1], w.shape[0]))
        return (y, y) if self.returns_z else y

    def forward(self, backend: Any, x: Any, w: Any, b: Any, out: Any = None) -> Any:
        if not self.returns_z:
            return backend.linear_activation(x, w, b, self.activation, self.parameter, out=out)
        z_out, y_out = (None, None) if out is None else (out[1], out[0])
        z = backend.linear_activation(x, w, b, "none", 0.0, out=z_out)
        return backend.activation(z, self.activation, self.parameter, out=y_out), z

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, w: Any, b: Any) -> Any:
        if not self.returns_z:
            dz: Any = activation_backward(dy, y, self.activation, self.parameter)
        else:
            dz = None if dy[0] is None else activation_backward(dy[0], y[1], self.activation, self.parameter)
            dz = dz if dy[1] is None else dy[1] if dz is None else dz + dy[1]
        gradients = iter(apply(_backward(needs), dz, x if needs[1] else None, w if needs[0] else None))
        return tuple(next(gradients) if needed else None for needed in needs)

    def cost(self, x: Spec, w: Spec, b: Spec | None) -> Cost:
        rows = prod(x.shape[:-1])
        moved = x.nbytes + w.nbytes + (b.nbytes if b is not None else 0)
        return Cost(2 * rows * w.numel(), moved + (1 + self.returns_z) * rows * w.shape[0] * x.dtype.itemsize)


@frozen
class LinearBackward(Composite):
    """dX = dZ W,  dW = dZ^T X,  db = sum of dZ over the batch: the gradients of Z = X W^T + b.

    `wanted` says which of (dX, dW, db) are computed; the others are not among the results. X is None where dW is not
    wanted, W where dX is not.
    """

    wanted: tuple[bool, bool, bool]
    saved = (0, 1, 2)

    def shape(self, dz: Spec, x: Spec | None, w: Spec | None) -> Any:
        results = []
        if w is not None:
            results.append(dz.like((*dz.shape[:-1], w.shape[1])))
        if x is not None:
            results.append(dz.like((dz.shape[-1], x.shape[-1])))
        if self.wanted[2]:
            results.append(dz.like(dz.shape[-1:]))
        return tuple(results)

    def forward(self, backend: Any, dz: Any, x: Any, w: Any, out: Any = None) -> Any:
        return backend.linear_backward(dz, x, w, self.wanted, out=out)

    def formula(self, dz: Any, x: Any, w: Any) -> Any:
        n = prod(dz.shape[:-1])
        rows = dz.reshape(n, dz.shape[-1])
        results = []
        if w is not None:
            results.append((rows @ w).reshape(*dz.shape[:-1], w.shape[1]))
        if x is not None:
            results.append(rows.t() @ x.reshape(n, x.shape[-1]))
        if self.wanted[2]:
            results.append(rows.sum(0))
        return tuple(results)

    def cost(self, dz: Spec, x: Spec | None, w: Spec | None) -> Cost:
        inner = [s.shape[-1] for s in (x, w) if s is not None]
        moved = [s.nbytes for s in (dz, x, w, *self.shape(dz, x, w)) if s is not None]
        return Cost(2 * dz.numel() * sum(inner), sum(moved))


@frozen
class ActivationLinearBackward(Composite):
    """dX = dZ W o f'(V),  dW = dZ^T X,  db = sum of dZ over the batch: the gradients of Z = f(V) W^T + b, X = f(V).

    f' follows from X; in the place of that of X it is the gradient of V. See `LinearBackward`; X is None only where
    neither dX nor dW is wanted.
    """

    activation: str
    parameter: float
    wanted: tuple[bool, bool, bool]
    saved = (0, 1, 2)

    def shape(self, dz: Spec, x: Spec | None, w: Spec | None) -> Any:
        return LinearBackward(self.wanted).shape(dz, x if self.wanted[1] else None, w)

    def forward(self, backend: Any, dz: Any, x: Any, w: Any, out: Any = None) -> Any:
        return backend.activation_linear_backward(dz, x, w, self.activation, self.parameter, self.wanted, out=out)

    def formula(self, dz: Any, x: Any, w: Any) -> Any:
        results = LinearBackward(self.wanted).formula(dz, x if self.wanted[1] else None, w)
        if w is None:
            return results
        return activation_backward(results[0], x, self.activation, self.parameter), *results[1:]

    def cost(self, dz: Spec, x: Spec | None, w: Spec | None) -> Cost:
        products = LinearBackward(self.wanted).cost(dz, x if self.wanted[1] else None, w)
        if x is None or w is None:
            return products
        return Cost(products.flop + 2 * x.numel(), products.bytes + (0 if self.wanted[1] else x.nbytes))


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias.

    Args:
        input: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,), or None.

    Raises:
        RuntimeError: sizes or types do not fit; the message names them.
    """
    if weight.ndim == 1:
        return linear(input, weight.unsqueeze(0), bias).squeeze(-1)
    return apply(PLAIN, input, weight, bias)


def linear_activation(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none", parameter: float | None = None
) -> Tensor:
    """f(input @ weight.T + bias) as one op.

    Args:
        input: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,), or None.
        activation: none, relu, leaky_relu, elu, sigmoid, tanh, softplus, gelu, gelu_tanh or silu.
        parameter: leaky_relu's slope, elu's alpha, softplus's beta; their PyTorch defaults if None.
    """
    op = _forward(activation, check_activation(activation, parameter, "linear_activation"))
    result = apply(op, input, weight, bias)
    return result[0] if op.returns_z else result


PLAIN = LinearActivation()
_forward, _backward = cache(LinearActivation), cache(LinearBackward)  # making a frozen object takes its time
