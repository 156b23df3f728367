"""Ops on windows, on images smaller than the window or hardly larger: samples of all combinations, beside PyTorch."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

import gpunn
from gpunn.nn import functional as F

SAMPLES = {("max_pool", "cpu"): 120, ("max_pool", "sim"): 30, ("other", "cpu"): 25, ("other", "sim"): 12}
"""How many calls of an op: most for max pooling, where ways through the code differ by size."""
VALUES = np.array([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0])


def pooling(choose, size):
    kernel = [choose(range(1, 6)) for _ in size]
    return {
        "kernel_size": kernel,
        "stride": [choose(range(1, 6)) for _ in size],
        "padding": [choose(range(k // 2 + 1)) for k in kernel],
        "ceil_mode": choose([False, True]),
    }


def max_pooling(choose, size):
    return {**pooling(choose, size), "dilation": [choose(range(1, 6)) for _ in size], "return_indices": True}


def avg_pooling(choose, size):
    return {**pooling(choose, size), "count_include_pad": choose([False, True])}


def convolution(choose, size):
    return {
        "stride": [choose(range(1, 6)) for _ in size],
        "padding": [choose(range(3)) for _ in size],
        "dilation": [choose(range(1, 6)) for _ in size],
    }


def transposed(choose, size):
    return {**convolution(choose, size), "output_padding": [choose(range(3)) for _ in size]}


def patches(choose, size):
    return {**convolution(choose, size), "kernel_size": [choose(range(1, 6)) for _ in size]}


def folding(choose, size):
    return {**patches(choose, size), "output_size": size}


def adaptive(choose, size):
    return {"output_size": [choose(range(1, 7)) for _ in size]}


def adaptive_max(choose, size):  # what does not divide is refused
    return {"output_size": [choose([o for o in range(1, n + 1) if n % o == 0]) for n in size], "return_indices": True}


OPS = {
    "max_pool1d": max_pooling,
    "max_pool2d": max_pooling,
    "avg_pool1d": avg_pooling,
    "avg_pool2d": avg_pooling,
    "adaptive_avg_pool1d": adaptive,
    "adaptive_avg_pool2d": adaptive,
    "adaptive_max_pool2d": adaptive_max,
    "conv1d": convolution,
    "conv2d": convolution,
    "conv_transpose1d": transposed,
    "conv_transpose2d": transposed,
    "unfold": patches,
    "fold": folding,
}


def inputs(name, choose, rng, size, options):
    """Images (2, 2, *size), with ties, and weights; for `fold` the columns of such an image."""
    if name == "fold":
        kernel = options["kernel_size"]
        axes = zip(size, *(options[key] for key in ("padding", "dilation", "kernel_size", "stride")))
        columns = [max((n + 2 * p - d * (k - 1) - 1) // s + 1, 0) for n, p, d, k, s in axes]
        return [rng.choice(VALUES, (2, 2 * np.prod(kernel), np.prod(columns)))]
    images = rng.choice(VALUES, (2, 2, *size))
    return [images, rng.choice(VALUES, (2, 2, *(choose(range(1, 6)) for _ in size)))] if "conv" in name else [images]


def results(library, function, arrays, options, **where):
    """What a call gives, the gradients, and the gradients of those; None where the windows do not fit."""
    given = [library.tensor(a, **where, requires_grad=True) for a in arrays]
    try:
        y = function(*given, **options)
    except RuntimeError:
        return None
    y, *indices = y if isinstance(y, tuple) else (y,)
    weights = [np.random.default_rng(0).standard_normal(tuple(t.shape)) for t in (y, *given)]
    dy, *directions = (library.tensor(w, **where, requires_grad=True) for w in weights)
    first = library.autograd.grad(y, given, dy, create_graph=True)
    second = library.autograd.grad(first, [dy], directions)
    return [t.detach().cpu().numpy() for t in (y, *indices, *first, *second)]


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("name", OPS)
def test_windows_on_small_images(torch, name, device):
    rng, choose = np.random.default_rng(1), Random(1).choice
    compared, samples = 0, SAMPLES["max_pool" if name.startswith("max_pool") else "other", device]
    while compared < samples:
        size = [choose(range(1, 7)) for _ in range(1 if name.endswith("1d") else 2)]
        options = OPS[name](choose, size)
        arrays = inputs(name, choose, rng, size, options)
        # gpunn first: PyTorch writes beyond the image where a window of max pooling lies in the padding alone.
        ours = results(gpunn, getattr(F, name), arrays, options, device=device)
        if ours is None:
            continue
        theirs = results(torch, getattr(torch.nn.functional, name), arrays, options)
        for ours_is, theirs_is in zip(ours, theirs, strict=True):
            assert ours_is.dtype == theirs_is.dtype
            np.testing.assert_allclose(ours_is, theirs_is, 1e-10, 1e-12, err_msg=f"{name} of {size} with {options}")
        compared += 1


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize(
    ("size", "options", "places"),
    [
        ((1, 1), {"kernel_size": 3, "stride": 2, "padding": 1}, [[0]]),
        ((2, 2), {"kernel_size": 3, "stride": 2, "padding": 1}, [[3]]),
        (
            (5, 5),
            {"kernel_size": 3, "stride": 3, "padding": 1, "dilation": 2},
            [[18]],
        ),  # of (1, 1), (1, 3), (3, 1), (3, 3)
        ((1, 4), {"kernel_size": (2, 2), "stride": 2, "padding": (1, 0)}, [[1, 3]]),
        ((1, 2), {"kernel_size": (5, 1), "stride": 1, "padding": (2, 0)}, [[0, 1]]),
        ((2, 1), {"kernel_size": (2, 4), "stride": 4, "padding": (0, 2), "ceil_mode": True}, [[1]]),
    ],
)
def test_max_pooling_of_images_with_one_window(size, options, places, device):  # worked by hand
    x = gpunn.arange(2.0 * size[0] * size[1], device=device).reshape(2, 1, *size).requires_grad_()
    y, where = F.max_pool2d(x, **options, return_indices=True)
    np.testing.assert_array_equal(where.cpu().numpy(), [[places]] * 2)
    y.sum().backward()
    expected = np.zeros(x.shape)
    expected.reshape(2, -1)[:, places] = 1
    np.testing.assert_array_equal(x.grad.cpu().numpy(), expected)
