"""Frequencies: Fourier transforms as products with cosines and sines, so that gradients go through them; windows."""

from __future__ import annotations

from typing import Any

import numpy as np

import gpunn
from gpunn.nn import functional as F

from .table import from_onnx


def _rows(x: Any, size: int) -> Any:
    """The first of the rows (..., n, c), and zeros where there are fewer."""
    n = x.shape[-2]
    return F.pad(x, [0, 0, 0, size - n]) if n != size else x


def _transformed(x: Any, n: int, inverse: bool, onesided: bool) -> Any:
    """X_k = sum of x_j e^(-2 pi i jk / n), or back, of (..., steps, 1 or 2): real parts, and imaginary ones if any."""
    half = n // 2 + 1
    turn = 2 * np.pi * np.outer(np.arange(half if onesided and not inverse else n), np.arange(n)) / n
    cos, sin = np.cos(turn), np.sin(turn) * (1 if inverse else -1)
    if inverse and onesided:  # the other half is the mirror image of this one
        twice = np.where((np.arange(half) == 0) | (2 * np.arange(half) == n), 1.0, 2.0)
        cos, sin, x = cos[:, :half] * twice, sin[:, :half] * twice, _rows(x, half)
    else:
        x = _rows(x, n)
    scale = n if inverse else 1
    c, s = (gpunn.tensor(m / scale, dtype=x.dtype, device=x.device) for m in (cos, sin))
    real = x.narrow(-1, 0, 1)
    if x.shape[-1] == 1:
        return gpunn.cat([c @ real, s @ real], -1)
    imaginary = x.narrow(-1, 1, 1)
    re = c @ real - s @ imaginary
    return re if inverse and onesided else gpunn.cat([re, c @ imaginary + s @ real], -1)


@from_onnx("DFT", host=(1, 2))
def _dft(node: Any, x: Any, length: Any = None, axis: Any = None) -> Any:
    at = node.get("axis", 1) if node.version < 20 else -2 if axis is None else int(axis.reshape(()))
    inverse, onesided = bool(node.get("inverse", 0)), bool(node.get("onesided", 0))
    y = x.movedim(at % x.ndim, -2)
    n = 2 * (y.shape[-2] - 1) if inverse and onesided else y.shape[-2]
    n = n if length is None else int(length.reshape(()))
    return _transformed(y, n, inverse, onesided).movedim(-2, at % x.ndim)


@from_onnx("STFT", host=(1, 3))
def _stft(node: Any, x: Any, step: Any, window: Any = None, length: Any = None) -> Any:
    """The transform of each frame, which is weighted by a window."""
    n = window.shape[0] if length is None else int(length.reshape(()))
    hop = int(step.reshape(()))
    frames = gpunn.stack([x.narrow(1, i, n) for i in range(0, x.shape[1] - n + 1, hop)], 1)
    frames = frames if window is None else frames * window.reshape(-1, 1)
    return _transformed(frames, n, False, bool(node.get("onesided", 1)))


@from_onnx("HannWindow", "HammingWindow", "BlackmanWindow", host=(0,))
def _window(node: Any, size: Any) -> Any:
    """a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N), with N one less where the window is symmetric."""
    count = int(size.reshape(()))
    length = count if node.get("periodic", 1) else count - 1
    a = {"HannWindow": (0.5, 0.5, 0.0), "HammingWindow": (25 / 46, 21 / 46, 0.0), "BlackmanWindow": (0.42, 0.5, 0.08)}
    a0, a1, a2 = a[node.kind]
    turn = 2 * np.pi * np.arange(count) / max(length, 1)
    dtype = node.dtype("output_datatype") if node.get("output_datatype") is not None else gpunn.float32
    return (a0 - a1 * np.cos(turn) + a2 * np.cos(2 * turn)).astype(dtype.numpy)


@from_onnx("MelWeightMatrix", host=(0, 1, 2, 3, 4))
def _mel_weights(node: Any, bands: Any, length: Any, rate: Any, low: Any, high: Any) -> Any:
    """Triangles over the bins of a spectrum, at equal distances on the mel scale, 2595 log10(1 + f / 700)."""
    count, n, rate = (int(v.reshape(())) for v in (bands, length, rate))
    mels = 2595 * np.log10(1 + np.asarray([low.item(), high.item()]) / 700)
    steps = mels[0] + np.arange(count + 2) * (mels[1] - mels[0]) / (count + 2)  # by ONNX's definition, not count + 1
    bins = ((n + 1) * 700 * (10 ** (steps / 2595) - 1) // rate).astype(int)
    weights = np.zeros((n // 2 + 1, count))
    for i, (first, middle, last) in enumerate(zip(bins, bins[1:], bins[2:])):
        weights[first:middle, i] = (np.arange(first, middle) - first) / max(middle - first, 1)
        weights[middle:last, i] = (last - np.arange(middle, last)) / max(last - middle, 1)
        weights[middle, i] = 1
    dtype = node.dtype("output_datatype") if node.get("output_datatype") is not None else gpunn.float32
    return weights.astype(dtype.numpy)
