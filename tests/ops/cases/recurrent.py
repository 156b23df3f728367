"""Cases of `gpunn.ops.recurrent`: PyTorch's layers with the identity for the weight of their input."""

from gpunn.ops.recurrent import recurrent_layer

from ..harness import add, normal

STEPS, BATCH, SIZE = 3, 2, 2
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def ours(mode, reverse, bias):
    def function(x, w, *rest):
        b, states = (rest[0], rest[1:]) if bias else (None, rest)
        return recurrent_layer(mode, x, w, b, states, reverse)

    return function


def theirs(mode, reverse, bias):
    def function(x, w, *rest):
        import torch

        b, states = (rest[0], rest[1:]) if bias else (None, rest)
        weights = [torch.eye(len(w), dtype=w.dtype), w]
        weights += [torch.zeros_like(b), b] if bias else []
        layer = getattr(torch, mode.lower())
        h, c = states[0], states[-1]
        found = []
        for step in x.flip(0) if reverse else x:  # one by one, for c after each
            first = (h[None], c[None]) if mode == "LSTM" else h[None]
            _, *last = layer(step[None], first, weights, bias, 1, 0.0, False, False, False)
            h, c = last[0][0], last[-1][0]
            found.append((h, c)[: len(states)])
        return tuple(torch.stack(s[::-1] if reverse else s) for s in zip(*found))

    return function


for mode, gates in GATES.items():
    for reverse in (False, True):
        for bias in (True, False):
            if reverse and not bias:
                continue
            states = [normal(BATCH, SIZE, seed=s) for s in range(3, 5 if mode == "LSTM" else 4)]
            add(
                f"{mode.lower()}{'-reverse' if reverse else ''}{'' if bias else '-no-bias'}",
                ours(mode, reverse, bias),
                normal(STEPS, BATCH, gates * SIZE),
                normal(gates * SIZE, SIZE, seed=1),
                *([normal(gates * SIZE, seed=2)] if bias else []),
                *states,
                torch=theirs(mode, reverse, bias),
            )
