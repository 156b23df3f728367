"""Recurrent layers: a state that goes through a sequence, and a step of it alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from gpunn.ops import cat, empty, split, stack, zeros
from gpunn.ops.composed.recurrent import State, gru_step, lstm_step, rnn_relu_step, rnn_tanh_step
from gpunn.ops.recurrent import is_one_op, recurrent_layer
from gpunn.tensor import Tensor

from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence

STEPS: dict[str, tuple[Callable[..., State], int]] = {
    "RNN_TANH": (rnn_tanh_step, 1),
    "RNN_RELU": (rnn_relu_step, 1),
    "LSTM": (lstm_step, 4),
    "GRU": (gru_step, 3),
}
"""For each mode its step, and how many gates there are."""


class _Recurrent(Module):
    hidden_size: int

    def _weight(self, name: str, *size: int, device: Any, dtype: Any) -> None:
        self.register_parameter(name, Parameter(empty(*size, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draw initial values anew: uniform in [-l, l], l = 1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)


class RNNBase(_Recurrent):
    """What `RNN`, `LSTM` and `GRU` share: layers on top of one another, in one direction or in both.

    Shapes:
        input (length, batch, input_size), with `batch_first` (batch, length, input_size), without a batch
        (length, input_size), or a `PackedSequence`; output likewise, with directions x size in the last dimension;
        states (layers x directions, batch, size). The size of h is `proj_size`, where that is not 0, else
        `hidden_size`.

    Args:
        mode: RNN_TANH, RNN_RELU, LSTM or GRU.
        input_size: of each element of the sequence.
        hidden_size: of the state.
        num_layers: each but the first gets the output of the one before.
        bias: whether there are biases.
        batch_first: which dimension of input and output is the batch.
        dropout: on the output of each layer but the last.
        bidirectional: whether a second state goes from the end to the start.
        proj_size: of an LSTM's projected h, 0 for none.

    Attributes:
        weight_ih_l0: W_i of layer 0, (gates x hidden_size, input_size); of the way back ``weight_ih_l0_reverse``.
        weight_hh_l0: W_h, (gates x hidden_size, size of h); and so on, ``bias_ih_l0``, ``bias_hh_l0``,
            ``weight_hr_l0``.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if not 0 <= dropout <= 1 or isinstance(dropout, bool):
            raise ValueError(f"dropout should be a number in range [0, 1], the probability of a zero; got {dropout}")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout comes behind all layers but the last, so that with num_layers=1 there is none", stacklevel=2
            )
        if hidden_size <= 0:
            raise ValueError(f"hidden_size must be greater than zero, got {hidden_size}")
        if num_layers <= 0:
            raise ValueError(f"num_layers must be greater than zero, got {num_layers}")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"proj_size has to be smaller than hidden_size, got {proj_size} and {hidden_size}")
        if proj_size and mode != "LSTM":
            raise ValueError("proj_size is for an LSTM only")
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows, made = STEPS[mode][1] * hidden_size, {"device": device, "dtype": dtype}
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                size = input_size if not layer else self._size * (1 + bidirectional)
                self._weight(f"weight_ih{suffix}", rows, size, **made)
                self._weight(f"weight_hh{suffix}", rows, self._size, **made)
                if bias:
                    self._weight(f"bias_ih{suffix}", rows, **made)
                    self._weight(f"bias_hh{suffix}", rows, **made)
                if proj_size:
                    self._weight(f"weight_hr{suffix}", proj_size, hidden_size, **made)
        self.reset_parameters()

    @property
    def _size(self) -> int:
        """Of h."""
        return self.proj_size or self.hidden_size

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]

    def flatten_parameters(self) -> None:
        """Nothing: there is no other layout of the weights."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The weights of each layer and direction."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        suffixes = [suffix for layer in range(self.num_layers) for suffix in self._suffixes(layer)]
        return [[getattr(self, n + s) for n in names if hasattr(self, n + s)] for s in suffixes]

    def _run(self, input: Any, states: Sequence[Tensor] | None) -> tuple[Any, State]:
        """The output, and the last states."""
        packed = isinstance(input, PackedSequence)
        if packed:
            x, sizes = input.data, input.batch_sizes.tolist()
            batched, batch = True, sizes[0]
        else:
            x, batched = input, input.ndim == 3
            if input.ndim not in (2, 3):
                raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input._spec!r}")
            if not batched:
                x = x.unsqueeze(1)
            elif self.batch_first:
                x = x.transpose(0, 1)
            sizes, batch = [], x.shape[1]
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {x.shape[-1]} in {x._spec!r}"
            )
        if not len(x):
            raise RuntimeError(
                f"{type(self).__name__}: Expected sequence length to be larger than 0 in RNN, got {x._spec!r}"
            )
        states = self._initial(states, batch, batched, x)
        if packed and input.sorted_indices is not None:
            states = [s.index_select(1, input.sorted_indices) for s in states]
        last: list[State] = []
        for layer in range(self.num_layers):
            ways = []
            for way, suffix in enumerate(self._suffixes(layer)):
                start = tuple(s[len(last)] for s in states)
                outputs, end = self._one_way(x, sizes, start, suffix, reverse=way == 1)
                ways.append(outputs)
                last.append(end)
            x = ways[0] if len(ways) == 1 else cat(ways, -1)
            if layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        ends = tuple(stack(list(each), 0) for each in zip(*last))
        if packed:
            if input.unsorted_indices is not None:
                ends = tuple(s.index_select(1, input.unsorted_indices) for s in ends)
            return input._replace(data=x), ends
        if not batched:
            return x.squeeze(1), tuple(s.squeeze(1) for s in ends)
        return (x.transpose(0, 1) if self.batch_first else x), ends

    def _initial(self, states: Sequence[Tensor] | None, batch: int, batched: bool, x: Tensor) -> list[Tensor]:
        """The states before the first step (layers x directions, batch, size)."""
        count = self.num_layers * (1 + self.bidirectional)
        sizes = [self._size, self.hidden_size][: 2 if self.mode == "LSTM" else 1]
        if states is None:
            return [zeros(count, batch, size, dtype=x.dtype, device=x.device) for size in sizes]
        result = []
        for state, size in zip(states, sizes):
            wanted = (count, batch, size) if batched else (count, size)
            if state.shape != wanted:
                raise RuntimeError(f"{type(self).__name__}: Expected hidden size {wanted}, got {tuple(state.shape)}")
            result.append(state if batched else state.unsqueeze(1))
        return result

    def _one_way(self, x: Tensor, sizes: list[int], state: State, suffix: str, reverse: bool) -> tuple[Tensor, State]:
        """The outputs of a layer in one direction, in the order of time, and the last state."""
        weight: Any = getattr(self, "weight_hh" + suffix)
        bias, other, project = (getattr(self, name + suffix, None) for name in ("bias_hh", "bias_ih", "weight_hr"))
        gates = F.linear(x, getattr(self, "weight_ih" + suffix), other)  # of all steps at once
        if not sizes and project is None and len(gates) and is_one_op(gates, weight):
            results = recurrent_layer(self.mode, gates, weight, bias, state, reverse)
            return results[0], tuple(s[0 if reverse else -1] for s in results)
        inputs = split(gates, sizes, 0) if sizes else gates.unbind(0)
        step, outputs = STEPS[self.mode][0], []
        for each in reversed(inputs) if reverse else inputs:
            n, batch = each.shape[0], state[0].shape[0]
            now = state if n == batch else tuple(s[:n] for s in state)
            new = step(each, now, (weight, bias, project))
            # Of packed sequences some have ended, or on the way back not begun: their states stay.
            state = new if n == batch else tuple(cat([a, s[n:]], 0) for a, s in zip(new, state))
            outputs.append(new[0])
        outputs = outputs[::-1] if reverse else outputs
        return (cat if sizes else stack)(outputs, 0), state

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, usual in (
            ("proj_size", 0),
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0),
            ("bidirectional", False),
        ):
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """h' = tanh(W_i x + b_i + W_h h + b_h), for each element of a sequence (Elman 1990).

    Args:
        input_size: see `RNNBase`, as all that follow.
        hidden_size: of the state.
        num_layers: how many.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: whether there are biases.
        batch_first: which dimension is the batch.
        dropout: between layers.
        bidirectional: whether a second state goes back.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h,) = self._run(input, None if hx is None else [hx])
        return output, h


class GRU(RNNBase):
    """A state behind a reset and an update gate (Cho et al. 2014); see `gpunn.ops.composed.recurrent.gru_step`."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        output, (h,) = self._run(input, None if hx is None else [hx])
        return output, h


class LSTM(RNNBase):
    """A state h and a cell c behind three gates (Hochreiter and Schmidhuber 1997); see `lstm_step` there."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("LSTM", *args, **kwargs)

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        output, (h, c) = self._run(input, hx)
        return output, (h, c)


class RNNCellBase(_Recurrent):
    """One step of a recurrent layer: input (batch, input_size) or (input_size,), states likewise."""

    gates: ClassVar[int]

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows, made = self.gates * hidden_size, {"device": device, "dtype": dtype}
        self._weight("weight_ih", rows, input_size, **made)
        self._weight("weight_hh", rows, hidden_size, **made)
        for name in ("bias_ih", "bias_hh"):
            if bias:
                self._weight(name, rows, **made)
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def _step(self, step: Callable[..., State], input: Tensor, states: Sequence[Tensor] | None, count: int) -> State:
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 1D or 2D with {self.input_size} elements in the last "
                f"dimension, got {input._spec!r}"
            )
        if states is None:
            nothing = zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype, device=input.device)
            states = [nothing] * count
        gates = F.linear(input, self.weight_ih, self.bias_ih)
        return step(gates, tuple(states), (self.weight_hh, self.bias_hh, None))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """h' = tanh(W_i x + b_i + W_h h + b_h), or with a ReLU."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, bias, device, dtype)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        step = rnn_tanh_step if self.nonlinearity == "tanh" else rnn_relu_step
        result: Tensor = self._step(step, input, None if hx is None else [hx], 1)[0]
        return result

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class LSTMCell(RNNCellBase):
    """(h', c') from an element of a sequence and (h, c)."""

    gates = 4

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = self._step(lstm_step, input, hx, 2)
        return h, c


class GRUCell(RNNCellBase):
    """h' from an element of a sequence and h."""

    gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        result: Tensor = self._step(gru_step, input, None if hx is None else [hx], 1)[0]
        return result
