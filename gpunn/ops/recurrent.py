"""Recurrent layers: all steps of one direction as one op. `gpunn.ops.composed.recurrent` has one step, by other ops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

from gpunn.autograd.tape import apply
from gpunn.backend.dtypes import float32, float64
from gpunn.backend.spec import Spec

from .base import Composite, Cost, Op, check_one_type, frozen, shape_error
from .comparison import le, where
from .join import cat, stack
from .linear import LinearBackward
from .math import tanh

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

WIDEST = 256
"""Units of the widest layer that has a kernel for all its steps. It reads all of W at each step, with 64 bytes a cycle
of a multiprocessor: for more units, products of the whole batch are predicted to be faster."""


@frozen
class _RecurrentLayer(Op, abstract=True):
    """All steps of a layer, from the input's part x of the gates; `reverse` goes from the last to the first."""

    reverse: bool
    saved: ClassVar[tuple[int, ...]] = (1, 3)
    gates: ClassVar[int] = 1

    @property
    def mode(self) -> str:
        """The name of the primitives' mode."""
        raise NotImplementedError

    def _states(self, x: Spec, w: Spec, b: Spec | None, *states: Spec) -> Spec:
        """All states, if the inputs fit."""
        if x.ndim != 3 or not x.shape[0]:
            raise shape_error(self, f"takes the gates of 1 or more steps (length, batch, gates), got {x!r}")
        if w.ndim != 2 or w.shape[0] != self.gates * w.shape[1] or w.shape[0] != x.shape[2]:
            size = x.shape[2] // self.gates
            raise shape_error(self, f"the weight must have shape [{self.gates * size}, {size}] for {x!r}, got {w!r}")
        if x.dtype not in (float32, float64):
            raise shape_error(self, f"takes float32 and float64, got {x!r}")
        if b is not None and b.shape != w.shape[:1]:
            raise shape_error(self, f"the bias must have shape [{w.shape[0]}] for the weight {w!r}, got {b!r}")
        check_one_type(self.name, x, w, b)
        state = (x.shape[1], w.shape[1])
        for s in states:
            if s.shape != state or s.dtype is not x.dtype:
                raise shape_error(self, f"the first state must be {x.like(state)!r} for the gates {x!r}, got {s!r}")
        return x.like((x.shape[0], *state))

    def forward(self, backend: Any, x: Any, w: Any, b: Any, h: Any, c: Any = None, out: Any = None) -> Any:
        return backend.recurrent_forward(self.mode, x, w, b, h, c, self.reverse, out=out)

    def _gradients(self, needs: Any, dy: Any, y: Any, w: Any, h: Any, c: Any = None) -> Any:
        """The gradients of all inputs; `dy` and `y` are those of (h, c, kept), None for what there is not."""
        parts = apply(RecurrentBackward(self.mode, self.reverse), *dy, *y, w, h, c)
        dx, dp = parts[0], parts[1 if self.mode == "gru" else 0]
        first = parts[2:] if self.mode == "gru" else parts[1:]
        found: tuple[Any, Any] = (None, None)
        if needs[1] or needs[2]:
            all_states = y[0]
            before = cat((all_states[1:], h[None]) if self.reverse else (h[None], all_states[:-1]), 0)
            wanted = (False, needs[1], needs[2])
            made = iter(apply(LinearBackward(wanted), dp, before if needs[1] else None, None))
            found = next(made) if needs[1] else None, next(made) if needs[2] else None
        return (dx, *found, *first)

    def cost(self, x: Spec, w: Spec, b: Spec | None, *states: Spec) -> Cost:
        return Cost(2 * x.shape[0] * x.shape[1] * w.numel(), super().cost(x, w, b, *states).bytes)


@frozen
class RNNLayer(_RecurrentLayer):
    """All steps of a layer with one activation f, tanh or ReLU, in one direction.

    y_t = f(x_t + w y_{t-1} + b), y_0 is h
    e_t = dy_t + w^T dx_{t+1}
    dx_t = e_t o f'(x_t + w y_{t-1} + b);  dw = sum of dx_t y_{t-1}^T over t;  db = sum of dx_t over t;  dh = w^T dx_1
    (Elman 1990; Werbos 1990)

    x (length, batch, size)  w (size, size)  b (size,)  h (batch, size)  ->  y (length, batch, size)
    """

    activation: str
    saves_output = (0,)

    @property
    def mode(self) -> str:
        return self.activation

    def shape(self, x: Spec, w: Spec, b: Spec | None, h: Spec) -> tuple[Spec, ...]:
        return (self._states(x, w, b, h),)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, w: Any, b: Any, h: Any) -> Any:
        return self._gradients(needs, (dy[0], None, None), (y[0], None, None), w, h)


@frozen
class LSTMLayer(_RecurrentLayer):
    """All steps of an LSTM in one direction; s is the sigmoid, and z in four parts is (p, q, r, u).

    y_t = o_t tanh(v_t)
    v_t = f_t v_{t-1} + i_t g_t, y_0 is h, v_0 is c
    z_t = x_t + w y_{t-1} + b
    i_t = s(p_t);  f_t = s(q_t);  g_t = tanh(r_t);  o_t = s(u_t)
    e_t = dy_t + w^T dx_{t+1}
    k_t = dv_t + f_{t+1} k_{t+1} + e_t o_t (1 - tanh(v_t)^2)
    dx_t = (k_t g_t i_t (1 - i_t), k_t v_{t-1} f_t (1 - f_t), k_t i_t (1 - g_t^2), e_t tanh(v_t) o_t (1 - o_t))
    dw = sum of dx_t y_{t-1}^T over t;  db = sum of dx_t over t;  dh = w^T dx_1;  dc = f_1 k_1
    (Hochreiter, Schmidhuber 1997; Gers et al. 2000)

    x (length, batch, 4 size)  w (4 size, size)  b (4 size,)  h, c (batch, size)  ->  y (length, batch, size), and all
    v likewise, and the gates (i, f, g, o) (length, batch, 4 size). Gradients of gates are added to those here.
    """

    gates = 4
    mode = "lstm"
    saved = (1, 3, 4)
    saves_output = (0, 1, 2)

    def shape(self, x: Spec, w: Spec, b: Spec | None, h: Spec, c: Spec) -> tuple[Spec, ...]:
        states = self._states(x, w, b, h, c)
        return states, states, _gates(states)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, w: Any, b: Any, h: Any, c: Any) -> Any:
        return self._gradients(needs, dy, y, w, h, c)


@frozen
class GRULayer(_RecurrentLayer):
    """All steps of a GRU in one direction; s is the sigmoid.

    y_t = n_t + z_t (y_{t-1} - n_t), y_0 is h
    p_t = w y_{t-1} + b
    r_t = s(x_{t,r} + p_{t,r});  z_t = s(x_{t,z} + p_{t,z});  n_t = tanh(x_{t,n} + r_t p_{t,n})
    e_t = dy_t + z_{t+1} e_{t+1} + w^T dp_{t+1}
    k_t = e_t (1 - z_t) (1 - n_t^2)
    dx_t = (k_t p_{t,n} r_t (1 - r_t), e_t (y_{t-1} - n_t) z_t (1 - z_t), k_t)
    dp_t = (dx_{t,r}, dx_{t,z}, k_t r_t)
    dw = sum of dp_t y_{t-1}^T over t;  db = sum of dp_t over t;  dh = z_1 e_1 + w^T dp_1
    (Cho et al. 2014; the reset gate behind the product, as in cuDNN)

    x (length, batch, 3 size)  w (3 size, size)  b (3 size,)  h (batch, size)  ->  y (length, batch, size), and all
    (r, z, n, p_n) (length, batch, 4 size). Gradients of these are added to those here.
    """

    gates = 3
    mode = "gru"
    saves_output = (0, 1)

    def shape(self, x: Spec, w: Spec, b: Spec | None, h: Spec) -> tuple[Spec, ...]:
        states = self._states(x, w, b, h)
        return states, _gates(states)

    def vjp(self, needs: Any, dy: Any, y: Any, x: Any, w: Any, b: Any, h: Any) -> Any:
        return self._gradients(needs, (dy[0], None, dy[1]), (y[0], None, y[1]), w, h)


@frozen
class RecurrentBackward(Composite):
    """The gradients of `LSTMLayer` in x, h and c, and by `mode` those of `RNNLayer` and `GRULayer`.

    They are of a layer's results and first states; of a GRU the gradient of p comes behind that of x. Those of w and b
    are a product of the whole sequence, which is an op of its own.
    """

    mode: str
    reverse: bool
    saved = tuple(range(9))

    def shape(
        self,
        dh: Spec | None,
        dc: Spec | None,
        dkept: Spec | None,
        h: Spec,
        c: Spec | None,
        kept: Spec | None,
        w: Spec,
        h0: Spec,
        c0: Spec | None,
    ) -> Any:
        steps = h.like((*h.shape[:2], w.shape[0]))
        return {"lstm": (steps, h0, h0), "gru": (steps, steps, h0)}.get(self.mode, (steps, h0))

    def forward(self, backend: Any, *arrays: Any, out: Any = None) -> Any:
        return backend.recurrent_backward(self.mode, *arrays, self.reverse, out=out)

    def formula(self, dh: Any, dc: Any, dkept: Any, h: Any, c: Any, kept: Any, w: Any, h0: Any, c0: Any) -> Any:
        """Step by step from the last one."""
        order = range(h.shape[0])[:: 1 if self.reverse else -1]
        d, dcell, size = h0 * 0, None if c0 is None else c0 * 0, h.shape[2]
        found: dict[int, tuple[Any, ...]] = {}
        for at, first in zip(order, [*order[1:], None]):
            d = d if dh is None else d + dh[at]
            a: Any = None if kept is None else kept[at].split(size, -1)
            extra = [0.0] * 4 if dkept is None else dkept[at].split(size, -1)
            if self.mode == "lstm":
                dcell = dcell if dc is None else dcell + dc[at]
                dx, dcell = _lstm_gradient(d, dcell, extra, tanh(c[at]), c0 if first is None else c[first], a)
                found[at] = (dx,)
                d = dx @ w
            elif self.mode == "gru":
                dx, dp = found[at] = _gru_gradient(d, extra, h0 if first is None else h[first], a)
                d = dp @ w + d * a[1]
            else:
                y = h[at]
                dx = d * (1 - y * y) if self.mode == "tanh" else where(le(y, 0), 0.0, d)
                found[at] = (dx,)
                d = dx @ w
        steps = [stack(list(each), 0) for each in zip(*(found[at] for at in sorted(found)))]
        return (*steps, d) if c0 is None else (*steps, d, dcell)

    def cost(self, *specs: Any) -> Cost:
        h, w = specs[3], specs[6]
        return Cost(2 * h.shape[0] * h.shape[1] * w.numel(), super().cost(*specs).bytes)


def _gates(states: Spec) -> Spec:
    """Four values a unit."""
    return states.like((*states.shape[:2], 4 * states.shape[2]))


def _lstm_gradient(d: Any, dc: Any, extra: Any, y: Any, cell: Any, kept: Any) -> tuple[Any, Any]:
    """dx of a step, and the gradient of the cell before; y = tanh c."""
    i, f, g, o = kept
    dc = dc + d * o * (1 - y * y)
    parts = (
        (dc * g + extra[0]) * i * (1 - i),
        (dc * cell + extra[1]) * f * (1 - f),
        (dc * i + extra[2]) * (1 - g * g),
        (d * y + extra[3]) * o * (1 - o),
    )
    return cat(parts, -1), dc * f


def _gru_gradient(d: Any, extra: Any, before: Any, kept: Any) -> tuple[Any, Any]:
    """dx and dP of a step."""
    r, z, n, p = kept
    dn = (d * (1 - z) + extra[2]) * (1 - n * n)
    dr = (dn * p + extra[0]) * r * (1 - r)
    dz = (d * (before - n) + extra[1]) * z * (1 - z)
    return cat((dr, dz, dn), -1), cat((dr, dz, dn * r + extra[3]), -1)


_apart: ContextVar[bool] = ContextVar("recurrent_steps_apart", default=False)


@contextmanager
def steps_apart() -> Iterator[None]:
    """Within it recurrent layers are made of elementary ops, step by step."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def is_one_op(gates: Tensor, weight: Tensor) -> bool:
    """Whether all steps of a layer with these gates and this recurrent weight are one op."""
    types = gates.dtype is weight.dtype and gates.dtype in (float32, float64)
    wide = weight.shape[-1] > WIDEST and gates.device.type != "cpu"
    return types and not wide and not _apart.get()


def recurrent_layer(
    mode: str, gates: Tensor, weight: Tensor, bias: Tensor | None, states: tuple[Tensor, ...], reverse: bool = False
) -> tuple[Tensor, ...]:
    """All states of a recurrent layer in one direction.

    Args:
        mode: RNN_TANH, RNN_RELU, LSTM or GRU.
        gates: the input's part of the gates, W_i x + b_i, (length, batch, gates x size), float32 or float64.
        weight: W_h, (gates x size, size).
        bias: b_h, (gates x size,), or None for 0.
        states: the first ones, (h,), of an LSTM (h, c); each (batch, size).
        reverse: whether to go from the last step to the first.

    Returns:
        (h,), of an LSTM (h, c), after each step: (length, batch, size).

    Raises:
        RuntimeError: shapes or types do not fit.
    """
    op: Op = {"LSTM": LSTMLayer(reverse), "GRU": GRULayer(reverse)}.get(mode) or RNNLayer(reverse, mode[4:].lower())
    results = apply(op, gates, weight, bias, *states)
    return tuple(results[: len(states)])
