"""Networks for sequences: a transformer and an LSTM that tell classes, and a language model."""

from __future__ import annotations

import math

import numpy as np

from gpunn import nn
from gpunn.backend.dtypes import get_default_dtype
from gpunn.tensor import Tensor, tensor

from .activations import ACTIVATIONS


def positions(length: int, size: int) -> Tensor:
    """(length, size): sin(t / 10000^(2i / size)) in column 2i of row t, the cosine of it in column 2i + 1.

    Vaswani et al. 2017, "Attention is all you need", 3.5.
    """
    t, i = np.arange(length)[:, None], np.arange(0, size, 2)
    angles = t * np.exp(-math.log(10000.0) * i / size)
    table = np.zeros((length, size))
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)[:, : size // 2]
    return tensor(table, dtype=get_default_dtype())


class TransformerClassifier(nn.Module):
    """The encoder of a transformer on sequences of numbers, the mean over the positions, and a linear layer.

    Args:
        length: of a sequence.
        features: how many numbers each of its elements has.
        outputs: the number of classes or targets.
        d_model: the size of an element inside.
        nhead: how many heads the attention has; d_model is a multiple of it.
        layers: how many there are.
        dim_feedforward: inside a layer; 4 d_model if not given.
        dropout: see `nn.TransformerEncoderLayer`.
        activation: see `ACTIVATIONS`.
    """

    def __init__(
        self,
        length: int,
        features: int,
        outputs: int,
        d_model: int = 64,
        nhead: int = 4,
        layers: int = 2,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        activation: str = "relu",
    ):
        super().__init__()
        self.shape = (length, features)
        self.embed = nn.Linear(features, d_model)
        self.register_buffer("positions", positions(length, d_model), persistent=False)
        self.encoder = _encoder(d_model, nhead, layers, dim_feedforward, dropout, activation)
        self.out = nn.Linear(d_model, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, length, features), or an image (n, channels, length, width) row by row -> (n, outputs)."""
        x = self.embed(_rows(x, self.shape)) + self.positions
        out: Tensor = self.out(self.encoder(x).mean(1))
        return out


class LSTMClassifier(nn.Module):
    """An LSTM, and a linear layer of what it gives for the last element of a sequence.

    Args:
        length: of a sequence.
        features: how many numbers each of its elements has.
        outputs: the number of classes or targets.
        hidden: the size of the state.
        layers: how many there are.
        dropout: between layers.
    """

    def __init__(
        self, length: int, features: int, outputs: int, hidden: int = 64, layers: int = 1, dropout: float = 0.0
    ):
        super().__init__()
        self.shape = (length, features)
        self.lstm = nn.LSTM(features, hidden, layers, dropout=dropout, batch_first=True)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, length, features), or an image (n, channels, length, width) row by row -> (n, outputs)."""
        states, _ = self.lstm(_rows(x, self.shape))
        out: Tensor = self.out(states[:, -1])
        return out


class TransformerLM(nn.Module):
    """A language model: of each token, with those before it, the logits of the next one.

    Args:
        tokens: how many there are.
        length: the longest sequence.
        d_model, nhead, layers, dim_feedforward, dropout, activation: as of `TransformerClassifier`.
    """

    def __init__(
        self,
        tokens: int,
        length: int,
        d_model: int = 64,
        nhead: int = 4,
        layers: int = 2,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        activation: str = "gelu",
    ):
        super().__init__()
        self.embed = nn.Embedding(tokens, d_model)
        self.register_buffer("positions", positions(length, d_model), persistent=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length), persistent=False)
        self.encoder = _encoder(d_model, nhead, layers, dim_feedforward, dropout, activation)
        self.out = nn.Linear(d_model, tokens)

    def forward(self, x: Tensor) -> Tensor:
        """(n, length) int64 -> (n, length, tokens); sequences may be shorter."""
        length, longest = x.shape[1], self.positions.shape[0]
        if length > longest:
            raise ValueError(f"TransformerLM: a sequence has {length} tokens; expected at most {longest}")
        inside = self.embed(x) + self.positions[:length]
        out: Tensor = self.out(self.encoder(inside, self.mask[:length, :length]))
        return out


def _encoder(
    d_model: int, nhead: int, layers: int, feedforward: int | None, dropout: float, activation: str
) -> nn.TransformerEncoder:
    """Layers with the norms before each part, which train without a warm-up (Xiong et al. 2020, "On layer
    normalization in the transformer architecture"), and a norm at the end.
    """
    act = ACTIVATIONS[activation]()
    layer = nn.TransformerEncoderLayer(
        d_model, nhead, feedforward or 4 * d_model, dropout, act, batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, layers, nn.LayerNorm(d_model), enable_nested_tensor=False)


def _rows(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Sequences (n, length, features); of images (n, channels, height, width) their rows, with all channels."""
    if x.ndim == 4:
        x = x.transpose(1, 2).flatten(2)
    if x.ndim != 3 or x.shape[1:] != shape:
        raise ValueError(f"the sequences have shape {tuple(x.shape)}; expected (n, {shape[0]}, {shape[1]})")
    return x
