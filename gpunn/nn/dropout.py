"""Dropout."""

from __future__ import annotations

from gpunn.tensor import Tensor

from . import functional as F
from .module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is a probability from 0 to 1, got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, each element becomes 0 with probability p, and the others x / (1 - p); in evaluation y = x.

    The mean stays what it is, and no unit can rely on another one to be there.
    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".

    Args:
        p: the probability.
        inplace: also make y the new value of the input.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """As `Dropout`, for whole channels: (N, C, L) or (C, L). Arguments as there."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """As `Dropout`, for whole channels: (N, C, H, W) or (C, H, W). Arguments as there.

    Neighbouring pixels are much alike, so dropping single ones would hide little.
    Tompson et al. 2015, "Efficient object localization using convolutional networks".
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """As `Dropout`, for whole channels: (N, C, D, H, W) or (C, D, H, W). Arguments as there."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout behind `SELU`, which sets elements to SELU's lower limit and keeps mean and variance.

    Klambauer et al. 2017, "Self-normalizing neural networks". Arguments as of `Dropout`.
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """As `AlphaDropout`, for whole channels: (N, C, ...). Arguments as of `Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
