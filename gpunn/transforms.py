"""Changes of images at random that keep what they show, made on the device, as a part of the training step.

Each is a module that takes a batch of images x (n, channels, height, width), of which each image gets random numbers of
its own, and targets beside it if there are some: ``x = flip(x)`` or ``x, y = flip(x, y)``. In evaluation mode only
`Normalize` does something. A Trainer is given them as ``Trainer(..., augment=Compose([RandomCrop(4), MixUp(10)]))``;
inside the step they are in its plan, and draw from `gpunn.manual_seed`: the same seed gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpunn import nn
from gpunn.nn import functional as F
from gpunn.ops import arange, cos, expand, gather, sin, stack, tan, where
from gpunn.random import rand
from gpunn.tensor import Tensor, tensor

__all__ = [
    "Compose", "Cutout", "MixUp", "Normalize", "RandomAffine", "RandomCrop", "RandomHorizontalFlip",
    "RandomVerticalFlip", "Transform", "affine",
]  # fmt: skip


class Transform(nn.Module):
    """Base class: a subclass has `transform`.

    mixes_samples: whether an image's result depends on others of the batch
    """

    mixes_samples = False

    def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
        """The images, and with targets these too."""
        if self.training:
            x = self.transform(_checked(self, x))
        return x if y is None else (x, y)

    def transform(self, x: Tensor) -> Tensor:
        """What becomes of images (n, c, h, w) in training."""
        raise NotImplementedError(f"{type(self).__name__} lacks transform")


class Compose(nn.ModuleList):
    """Several transforms, one after the other."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
        """What all of them make of it."""
        for transform in self:
            if y is None:
                x = transform(x)
            else:
                x, y = transform(x, y)
        return x if y is None else (x, y)

    @property
    def mixes_samples(self) -> bool:
        """Whether one of them does."""
        return any(getattr(transform, "mixes_samples", False) for transform in self)


class Normalize(Transform):
    """(x - mean) / std, in evaluation mode too.

    mean, std: a number for each channel
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        if len(mean) != len(std) or not all(s > 0 for s in std):
            raise ValueError(f"Normalize: mean is {mean} and std {std}; expected as many, and deviations above 0")
        self.register_buffer("mean", tensor(list(mean)).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("std", tensor(list(std)).reshape(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
        """The images, and with targets these too."""
        x = (_checked(self, x) - self.mean.to(x.dtype)) / self.std.to(x.dtype)
        return x if y is None else (x, y)


class _Flip(Transform):
    axis: int

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is {p}; expected a probability")
        self.p = p

    def transform(self, x: Tensor) -> Tensor:
        return where(_each(x, _uniform(x) < self.p), x.flip(self.axis), x)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class RandomHorizontalFlip(_Flip):
    """The mirror image, left for right, with the probability p."""

    axis = 3


class RandomVerticalFlip(_Flip):
    """The mirror image, top for bottom, with the probability p."""

    axis = 2


class RandomCrop(Transform):
    """The image with a border of zeros, and a part as large as the image cut out of it, at any place alike.

    padding: pixels on each side
    """

    def __init__(self, padding: int):
        super().__init__()
        if not isinstance(padding, int) or padding < 1:
            raise ValueError(f"RandomCrop: padding is {padding}; expected whole pixels, at least 1")
        self.padding = padding

    def transform(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        wide = F.pad(x, (self.padding,) * 4)
        top, left = (_choice(x, 2 * self.padding + 1).reshape(n, 1) for _ in range(2))
        rows = (top + arange(h, device=x.device)).reshape(n, 1, h, 1)
        columns = (left + arange(w, device=x.device)).reshape(n, 1, 1, w)
        wide = gather(wide, 2, expand(rows, n, c, h, wide.shape[3]))
        return gather(wide, 3, expand(columns, n, c, h, w))

    def extra_repr(self) -> str:
        return f"padding={self.padding}"


class Cutout(Transform):
    """A square of zeros in each image, around any of its pixels, so that a part of it may lie outside.

    DeVries & Taylor 2017, "Improved regularization of convolutional neural networks with cutout".

    size: of its sides, in pixels
    """

    def __init__(self, size: int):
        super().__init__()
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"Cutout: size is {size}; expected whole pixels, at least 1")
        self.size = size

    def transform(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        inside = []
        for length in (h, w):
            first = _choice(x, length).reshape(n, 1) - self.size // 2
            at = arange(length, device=x.device)
            inside.append((at >= first) & (at < first + self.size))
        hidden = inside[0].reshape(n, 1, h, 1) & inside[1].reshape(n, 1, 1, w)
        return where(hidden, 0, x)

    def extra_repr(self) -> str:
        return f"size={self.size}"


class RandomAffine(Transform):
    """Each image turned, moved, scaled and sheared, all at random; what comes in from outside is 0.

    degrees:   the angle is between -degrees and degrees
    translate: largest shifts to the sides and up or down, as fractions of width and height
    scale:     the smallest and the largest factor
    shear:     the shear along x is between -shear and shear degrees
    """

    def __init__(
        self,
        degrees: float,
        translate: tuple[float, float] = (0.0, 0.0),
        scale: tuple[float, float] = (1.0, 1.0),
        shear: float = 0.0,
    ):
        super().__init__()
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"RandomAffine: scale is {scale}; expected the smallest and the largest, above 0")
        if not (0 <= degrees <= 180 and 0 <= shear < 90 and all(0 <= t <= 1 for t in translate)):
            raise ValueError(
                f"RandomAffine: degrees {degrees}, shear {shear}, translate {translate}; expected angles up to 180 and "
                "90, and fractions"
            )
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear

    def transform(self, x: Tensor) -> Tensor:
        turn, dx, dy, size, shear = (2 * _uniform(x) - 1 for _ in range(5))
        low, high = self.scale
        return affine(
            x,
            turn * math.radians(self.degrees),
            (dx * (self.translate[0] * x.shape[3]), dy * (self.translate[1] * x.shape[2])),
            (low + high) / 2 + size * ((high - low) / 2),
            shear * math.radians(self.shear),
        )

    def extra_repr(self) -> str:
        return f"degrees={self.degrees}, translate={self.translate}, scale={self.scale}, shear={self.shear}"


def affine(x: Tensor, angle: Tensor, shift: tuple[Tensor, Tensor], scale: Tensor, shear: Tensor) -> Tensor:
    """Images (n, c, h, w) sheared, scaled, turned about their centre and shifted: what lies at p comes to
    s R H p + t, with R = [[cos a, -sin a], [sin a, cos a]] and H = [[1, tan k], [0, 1]], x to the right and y down.

    Each pixel is read where it comes from, at H^-1 R^T (p - t) / s, between pixels by their weights, 0 outside.

    Args:
        angle: a (n,), in radians.
        shift: t along x and y, each (n,), in pixels.
        scale: s (n,).
        shear: k (n,), in radians.
    """
    h, w = x.shape[2:]
    c, s, k = cos(angle), sin(angle), tan(shear)
    # H^-1 R^T = [[1, -k], [0, 1]] [[c, s], [-s, c]]
    rows = [[(c + k * s) / scale, (s - k * c) / scale], [-s / scale, c / scale]]
    half = (w / 2, h / 2)  # of a length of 2 between the edges
    theta = []
    for i, row in enumerate(rows):
        moved = -(row[0] * shift[0] + row[1] * shift[1]) / half[i]
        theta.append(stack([row[j] * (half[j] / half[i]) for j in range(2)] + [moved], 1))
    grid = F.affine_grid(stack(theta, 1), x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


class MixUp(Transform):
    """l x + (1 - l) x' and l y + (1 - l) y', for the batch x and the same batch in reverse order x', and for one l from
    Beta(alpha, alpha)  (Zhang, Cisse, Dauphin, Lopez-Paz 2018, "mixup: beyond empirical risk minimization").

    Classes become probabilities (n, classes), as the loss cross_entropy takes them; probabilities and amounts y are
    mixed as they are. Each batch is shuffled already, so that the reverse order makes pairs as any other one does.

    classes: how many there are; None for amounts
    alpha:   how strongly images are mixed; at 1 all l are alike
    """

    mixes_samples = True

    def __init__(self, classes: int | None, alpha: float = 0.2):
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"MixUp: alpha is {alpha}; expected a number above 0")
        self.classes, self.alpha = classes, alpha
        self.register_buffer("quantiles", tensor(_beta_quantiles(alpha)), persistent=False)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Any:
        """Images and targets; in evaluation mode as they are."""
        if not self.training:
            return x if y is None else (x, y)
        if y is None:
            raise ValueError("MixUp: expected targets too, which are mixed alike")
        at = rand(1, device=x.device) * (len(self.quantiles) - 1)
        below = at.floor()
        low, high = (self.quantiles.index_select(0, below.long() + i) for i in range(2))
        share = (low + (at - below) * (high - low)).to(x.dtype)
        if not y.is_floating_point():
            if self.classes is None:
                raise ValueError(f"MixUp: classes is None, for amounts, and the targets are {y._spec!r}; say how many")
            y = F.one_hot(y, self.classes).to(x.dtype)
        share_y = share.to(y.dtype)
        x = x * share + x.flip(0) * (1 - share)
        return x, y * share_y + y.flip(0) * (1 - share_y)

    def extra_repr(self) -> str:
        return f"classes={self.classes}, alpha={self.alpha}"


def _beta_quantiles(alpha: float, count: int = 1024) -> list[float]:
    """The quantiles 0, 1/count, ..., 1 of Beta(alpha, alpha), and the last one once more.

    With t^alpha = x the density a x^(a-1) (1-x)^(a-1) of the lower half has no pole at 0; the other half is its mirror
    image. The integral is that of the trapezoidal rule.
    """
    t = np.linspace(0, 0.5**alpha, 100_001)
    x = t ** (1 / alpha)
    density = (1 - x) ** (alpha - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    at = np.linspace(0, 1, count + 1)
    lower = np.interp(2 * np.minimum(at, 1 - at), mass / mass[-1], t) ** (1 / alpha)
    found = np.where(at <= 0.5, lower, 1 - lower)
    return [*found.tolist(), 1.0]


def _checked(transform: nn.Module, x: Tensor) -> Tensor:
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"{type(transform).__name__}: expected images (n, channels, height, width) of floats, got {x._spec!r}"
        )
    return x


def _each(x: Tensor, values: Tensor) -> Tensor:
    """One value for each image (n,), to broadcast against the images."""
    return values.reshape(x.shape[0], 1, 1, 1)


def _choice(x: Tensor, count: int) -> Tensor:
    """For each image a whole number from 0 to count - 1: floor(u count), of uniform numbers below 1. int64 (n,)"""
    return (_uniform(x) * count).floor().long()


def _uniform(x: Tensor) -> Tensor:
    """For each image a number from 0 up to 1 (n,): of a part of a batch, those that it has in the whole."""
    return rand(x.shape[0], dtype=x.dtype, device=x.device)
