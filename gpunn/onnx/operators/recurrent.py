"""Recurrent networks, step by step: RNN, LSTM and GRU as ONNX defines them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpunn
from gpunn.nn import functional as F

from .table import from_onnx

_FUNCTIONS: dict[str, Callable[[Any, float, float], Any]] = {
    "Tanh": lambda x, a, b: gpunn.tanh(x),
    "Sigmoid": lambda x, a, b: gpunn.sigmoid(x),
    "Relu": lambda x, a, b: F.relu(x),
    "Affine": lambda x, a, b: x * a + b,
    "LeakyRelu": lambda x, a, b: F.leaky_relu(x, a),
    "ThresholdedRelu": lambda x, a, b: gpunn.where(x > a, x, 0),
    "ScaledTanh": lambda x, a, b: gpunn.tanh(x * b) * a,
    "HardSigmoid": lambda x, a, b: gpunn.clamp(x * a + b, 0, 1),
    "Elu": lambda x, a, b: F.elu(x, a),
    "Softsign": lambda x, a, b: F.softsign(x),
    "Softplus": lambda x, a, b: F.softplus(x),
}
_DEFAULTS = {
    "LeakyRelu": (0.01, 0.0), "HardSigmoid": (0.2, 0.5), "Elu": (1.0, 0.0), "ThresholdedRelu": (1.0, 0.0),
    "Affine": (1.0, 0.0), "ScaledTanh": (1.0, 1.0),
}  # fmt: skip


class _Layer:
    """What the three have in common: directions, lengths of sequences, activations.

    Args:
        node: the operator.
        gates: rows of weights for each unit.
        names: the default activations of a direction.
    """

    def __init__(self, node: Any, gates: int, names: list[str]):
        self.node, self.gates, self.count = node, gates, len(names)
        self.hidden = node.get("hidden_size")
        self.clip = node.get("clip")
        directions = 2 if node.get("direction", "forward") == "bidirectional" else 1
        chosen = [str(n) for n in node.get("activations", names * directions)]
        alphas, betas = list(node.get("activation_alpha", [])), list(node.get("activation_beta", []))
        self.functions = []
        for i, name in enumerate(chosen):
            found = next((k for k in _FUNCTIONS if k.lower() == name.lower()), None)
            if found is None:
                raise node.unsupported(f"activation {name}")
            a, b = _DEFAULTS.get(found, (0.0, 0.0))
            a, b = alphas[i] if i < len(alphas) else a, betas[i] if i < len(betas) else b
            self.functions.append(lambda x, f=_FUNCTIONS[found], a=a, b=b: f(self._clipped(x), a, b))

    def _clipped(self, x: Any) -> Any:
        return x if self.clip is None else gpunn.clamp(x, -self.clip, self.clip)

    def run(self, step: Any, x: Any, w: Any, r: Any, b: Any, lengths: Any, states: list[Any]) -> Any:
        """All steps in all directions.

        Args:
            step: ``step(functions, x W^T + b, states, R, b of R)`` gives the new states, the first of which is h.
            x: (steps, batch, inputs), or (batch, steps, inputs) for layout 1.
            w: (directions, gates hidden, inputs); likewise the others.
            states: for each state (directions, batch, hidden), or None for zeros.
        """
        node = self.node
        if node.get("layout", 0):
            x = x.transpose(0, 1)
            states = [s if s is None else s.transpose(0, 1) for s in states]
        steps, batch = x.shape[:2]
        size = self.gates * self.hidden
        ys, lasts = [], []
        reverse_only = node.get("direction", "forward") == "reverse"
        for d in range(w.shape[0]):
            backwards = d == 1 or reverse_only
            zeros = gpunn.zeros(batch, self.hidden, dtype=x.dtype, device=x.device)
            now = [zeros if s is None else s[d] for s in states]
            bias_w, bias_r = (None, None) if b is None else (b[d][:size], b[d][size:])
            z = F.linear(x, w[d], bias_w)
            found: list[Any] = [None] * steps
            for t in reversed(range(steps)) if backwards else range(steps):
                at = slice(d * self.count, (d + 1) * self.count)
                new = step(self.functions[at], z[t], now, r[d], bias_r)
                if lengths is None:
                    now = list(new)
                    found[t] = now[0]
                else:  # beyond its end a sequence keeps its state, and gives 0
                    inside = (lengths > t).unsqueeze(1)
                    now = [gpunn.where(inside, n, o) for n, o in zip(new, now)]
                    found[t] = gpunn.where(inside, now[0], 0)
            ys.append(gpunn.stack(found))
            lasts.append(now)
        y, last = gpunn.stack(ys, 1), [gpunn.stack(s) for s in zip(*lasts)]
        if node.get("layout", 0):
            y, last = y.permute(2, 0, 1, 3), [s.transpose(0, 1) for s in last]
        return (y, *last)


@from_onnx("RNN")
def _rnn(node: Any, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None) -> Any:
    """h = f(W x + R h + b)."""

    def step(functions: Any, z: Any, states: Any, r: Any, b: Any) -> Any:
        return (functions[0](z + F.linear(states[0], r, b)),)

    return _Layer(node, 1, ["Tanh"]).run(step, x, w, r, b, lengths, [h])


@from_onnx("GRU")
def _gru(node: Any, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None) -> Any:
    """h = (1 - z) n + z h, with the gates in the order z, r, n."""
    after = node.get("linear_before_reset", 0)

    def step(functions: Any, z: Any, states: Any, r: Any, b: Any) -> Any:
        f, g = functions
        h, size = states[0], states[0].shape[-1]
        own = None if b is None else b[2 * size :]
        gates = f(z[:, : 2 * size] + F.linear(h, r[: 2 * size], None if b is None else b[: 2 * size]))
        update, reset = gates[:, :size], gates[:, size:]
        back = reset * F.linear(h, r[2 * size :], own) if after else F.linear(reset * h, r[2 * size :], own)
        return ((1 - update) * g(z[:, 2 * size :] + back) + update * h,)

    return _Layer(node, 3, ["Sigmoid", "Tanh"]).run(step, x, w, r, b, lengths, [h])


@from_onnx("LSTM")
def _lstm(
    node: Any, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h: Any = None, c: Any = None, p: Any = None
) -> Any:
    """c = f c + i g, h = o tanh(c), with the gates in the order i, o, f, g, and peepholes from c to i, o, f."""
    if node.get("input_forget", 0):
        raise node.unsupported("input_forget")
    if p is not None and w.shape[0] > 1:
        raise node.unsupported("peepholes in two directions")

    def step(functions: Any, z: Any, states: Any, r: Any, b: Any) -> Any:
        f, g, out = functions
        h, c = states
        size = h.shape[-1]
        zi, zo, zf, zc = (z + F.linear(h, r, b)).split(size, -1)
        pi, po, pf = (0, 0, 0) if p is None else p[0].split(size, -1)
        i, forget = f(zi + pi * c), f(zf + pf * c)
        c = forget * c + i * g(zc)
        return f(zo + po * c) * out(c), c

    return _Layer(node, 4, ["Sigmoid", "Tanh", "Tanh"]).run(step, x, w, r, b, lengths, [h, c])
