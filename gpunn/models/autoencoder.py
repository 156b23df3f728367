"""Networks that give their input back, through few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, Literal

from gpunn import nn
from gpunn.nn import functional as F
from gpunn.random import randn, randn_like
from gpunn.tensor import Tensor

from .activations import ACTIVATIONS


def _layers(sizes: Sequence[int], activation: str) -> list[nn.Module]:
    """Linear layers of these sizes, each with the activation behind it."""
    return [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), ACTIVATIONS[activation]())]


class Autoencoder(nn.Module):
    """decoder(encoder(x)), of linear layers  (Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with
    neural networks"). It learns from the loss of its output and its input: ``loss(model(x), x)``.

    Args:
        input_shape: of a sample.
        sizes: of the encoder's layers; the last one is that of the code. The decoder has the same in reverse order.
        activation: between the layers, see `ACTIVATIONS`; code and output have none.
    """

    reconstructs = True

    def __init__(self, input_shape: tuple[int, ...], sizes: Sequence[int] = (128, 32), activation: str = "relu"):
        super().__init__()
        there = [prod(input_shape), *sizes]
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(there, activation)[:-1])
        self.decoder = nn.Sequential(*_layers(there[::-1], activation)[:-1], nn.Unflatten(1, tuple(input_shape)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, *input_shape) -> the same."""
        out: Tensor = self.decoder(self.encoder(x))
        return out

    def training_loss(self) -> nn.Module:
        """The mean of the squared differences."""
        return nn.MSELoss()


class VAE(nn.Module):
    """A variational autoencoder  (Kingma & Welling 2014, "Auto-encoding variational Bayes", appendix C).

    The encoder gives mean m and log variance v of the code z = m + exp(v / 2) e with e from N(0, 1), the decoder makes
    the output of z. In evaluation mode z is m, so that the same input always gives the same. `VAELoss` is its loss,
    with the input as the target. With the defaults, and samples of 784 numbers, 652,824 parameters.

    Args:
        input_shape: of a sample.
        sizes: of the encoder's layers; the last one is that of the code. The decoder has the same in reverse order.
        activation: between the layers, see `ACTIVATIONS`.
    """

    reconstructs = True

    def __init__(self, input_shape: tuple[int, ...], sizes: Sequence[int] = (400, 20), activation: str = "relu"):
        super().__init__()
        *hidden, code = [prod(input_shape), *sizes]
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(hidden, activation))
        self.mean = nn.Linear(hidden[-1], code)
        self.log_variance = nn.Linear(hidden[-1], code)
        layers = _layers([code, *hidden[::-1]], activation)[:-1]
        self.decoder = nn.Sequential(*layers, nn.Unflatten(1, tuple(input_shape)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, *input_shape) -> what the decoder gives of that shape, and m and v (n, code)."""
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean
        if self.training:
            z = mean + (0.5 * log_variance).exp() * randn_like(mean)
        return self.decoder(z), mean, log_variance

    def sample(self, n: int) -> Tensor:
        """What the decoder makes of `n` codes from N(0, 1): (n, *input_shape)."""
        weight = self.mean.weight
        out: Tensor = self.decoder(randn(n, weight.shape[0], dtype=weight.dtype, device=weight.device))
        return out

    def training_loss(self) -> nn.Module:
        """`VAELoss` of real numbers."""
        return VAELoss()


class VAELoss(nn.Module):
    """The negative evidence lower bound, as the mean over the samples.

    L = R + beta KL,  KL = -1/2 sum (1 + v - m^2 - e^v)    (Kingma & Welling 2014, appendix B; beta: Higgins et al.
        2017, "beta-VAE")
    R = 1/2 sum (x - y)^2, for real numbers; or the binary cross entropy of numbers x from 0 to 1 with the logits y

    Args:
        likelihood: ``"gaussian"`` with a variance of 1, up to its constant, or ``"bernoulli"``.
        beta: the weight of KL.
    """

    reduction = "mean"

    def __init__(self, likelihood: Literal["gaussian", "bernoulli"] = "gaussian", beta: float = 1.0):
        super().__init__()
        if likelihood not in ("gaussian", "bernoulli"):
            raise ValueError(f"VAELoss: likelihood is {likelihood!r}; expected 'gaussian' or 'bernoulli'")
        self.likelihood, self.beta = likelihood, beta

    def forward(self, output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        """output: as `VAE` gives it; target: what went in, (n, *input_shape)."""
        y, mean, log_variance = output
        if self.likelihood == "gaussian":
            lost = 0.5 * F.mse_loss(y, target, reduction="sum")
        else:
            lost = F.binary_cross_entropy_with_logits(y, target, reduction="sum")
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        return (lost + self.beta * divergence) / target.shape[0]

    def prediction(self, output: Any) -> Tensor:
        """Of a network's output what is compared with the target by metrics, and what it predicts."""
        y: Tensor = output[0]
        return y
