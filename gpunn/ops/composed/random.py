"""Functions of random numbers of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpunn.autograd.inplace import update
from gpunn.random import one_by_one, uniform

from ..activation import leaky_relu
from ..base import shape_error
from ..comparison import ge, where
from ..draw import draw
from ..gather import scatter
from ..math import log
from ..order import argmax
from ..softmax import softmax
from ..view import unsqueeze

if TYPE_CHECKING:
    from gpunn.backend.dtypes import dtype as DType
    from gpunn.tensor import Tensor

__all__ = ["gumbel_softmax", "rrelu"]


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Input where it is not negative, else a input, with a drawn anew from [lower, upper) for each element in training.

    In evaluation a is (lower + upper) / 2. (Xu et al. 2015, "Empirical evaluation of rectified activations".)

    Raises:
        RuntimeError: lower is larger than upper.
    """
    if lower > upper:
        raise shape_error("rrelu", f"lower is at most upper, got {lower} and {upper}")

    def function(x: Tensor) -> Tensor:
        if not training:
            return leaky_relu(x, (lower + upper) / 2)
        slope = draw(uniform, (x.dtype,), x.shape, x.dtype, x.device) * (upper - lower) + lower
        return x * where(ge(x, 0), 1.0, slope)

    return update(input, function) if inplace else function(input)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """softmax((logits + g) / tau), g = -ln of exponential numbers: samples of categories with a gradient.

    Jang, Gu, Poole 2017, "Categorical reparameterization with Gumbel-softmax", equation 2.

    Args:
        logits: unnormalised logarithms of probabilities.
        tau: the temperature, positive.
        hard: whether the result is one-hot, still with the gradient of the soft one.
        eps: without effect, as in PyTorch.
        dim: along which softmax is taken.
    """
    noise = -log(draw(exponential, (logits.dtype,), logits.shape, logits.dtype, logits.device))
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    place = unsqueeze(argmax(soft, dim), dim)
    return scatter(soft.detach() * 0, dim, place, value=1.0) - soft.detach() + soft


@one_by_one
def exponential(rng: np.random.Generator, size: tuple[int, ...], d: DType) -> Any:
    """Numbers of the density e^-x, none of them 0."""
    wide: Any = np.float64 if d.name == "float64" else np.float32
    return np.maximum(rng.standard_exponential(size, wide), np.finfo(d.numpy if d.itemsize > 2 else wide).tiny)
