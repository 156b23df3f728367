"""Channels that become places, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import shape_error
from ..view import reshape, transpose

if TYPE_CHECKING:
    from gpunn.tensor import Tensor

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., c r^2, h, w) -> (..., c, h r, w r): each r^2 channels are a square of pixels (Shi et al. 2016)."""
    r = upscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise shape_error("pixel_shuffle", f"takes (..., c {r}^2, h, w), got {input._spec!r}")
    *lead, channels, h, w = input.shape
    c, n = channels // (r * r), len(lead)
    x = reshape(input, (*lead, c, r, r, h, w)).permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return reshape(x, (*lead, c, h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., c, h r, w r) -> (..., c r^2, h, w), the inverse of `pixel_shuffle`."""
    r = downscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-1] % r or input.shape[-2] % r:
        raise shape_error("pixel_unshuffle", f"takes (..., c, h {r}, w {r}), got {input._spec!r}")
    *lead, c, height, width = input.shape
    h, w, n = height // r, width // r, len(lead)
    x = reshape(input, (*lead, c, h, r, w, r)).permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return reshape(x, (*lead, c * r * r, h, w))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(n, g c, ...): the channels of g groups in turns, one of each (Zhang et al. 2018, "ShuffleNet")."""
    if input.ndim < 3 or groups < 1 or input.shape[1] % groups:
        raise shape_error("channel_shuffle", f"takes (n, {groups} c, ...), got {input._spec!r}")
    n, c, *rest = input.shape
    return reshape(transpose(reshape(input, (n, groups, c // groups, *rest)), 1, 2), input.shape)
