"""One step of a recurrent layer: the next state from the input's part of the gates and the state before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..activation import relu
from ..linear import linear
from ..math import sigmoid, tanh
from ..slicing import chunk

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = ["gru_step", "lstm_step", "rnn_relu_step", "rnn_tanh_step"]

State = tuple[Any, ...]
Weights = tuple[Any, ...]


def rnn_tanh_step(gates: Tensor, state: State, weights: Weights) -> State:
    """h' = tanh(W_i x + b_i + W_h h + b_h)  (Elman 1990), with `gates` = W_i x + b_i and weights (W_h, b_h, None)."""
    return (tanh(gates + linear(state[0], weights[0], weights[1])),)


def rnn_relu_step(gates: Tensor, state: State, weights: Weights) -> State:
    """`rnn_tanh_step` with a ReLU."""
    return (relu(gates + linear(state[0], weights[0], weights[1])),)


def lstm_step(gates: Tensor, state: State, weights: Weights) -> State:
    """(h', c') from (h, c)  (Hochreiter and Schmidhuber 1997; with the forget gate of Gers et al. 2000).

    With (i, f, g, o) = W_i x + b_i + W_h h + b_h in four parts, s the sigmoid::

        c' = s(f) c + s(i) tanh(g),  h' = s(o) tanh(c')

    The weights are (W_h, b_h, W_r); where W_r is not None, h' is projected: W_r s(o) tanh(c')  (Sak et al. 2014).
    """
    h, c = state
    i, f, g, o = chunk(gates + linear(h, weights[0], weights[1]), 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return (h if weights[2] is None else linear(h, weights[2])), c


def gru_step(gates: Tensor, state: State, weights: Weights) -> State:
    """h' from h  (Cho et al. 2014; the reset gate behind the product, as in cuDNN).

    With (r_x, z_x, n_x) = W_i x + b_i and (r_h, z_h, n_h) = W_h h + b_h, s the sigmoid::

        r = s(r_x + r_h),  z = s(z_x + z_h),  n = tanh(n_x + r n_h),  h' = n + z (h - n)
    """
    (h,) = state
    rx, zx, nx = chunk(gates, 3, -1)
    rh, zh, nh = chunk(linear(h, weights[0], weights[1]), 3, -1)
    n = tanh(nx + sigmoid(rx + rh) * nh)
    return (n + sigmoid(zx + zh) * (h - n),)
