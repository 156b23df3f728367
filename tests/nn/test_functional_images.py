"""Convolutions and poolings of volumes, interpolate and grid_sample against PyTorch's: gradients of both orders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gpunn
from gpunn.nn import functional as F

RNG = np.random.default_rng(1)
VOLUME = RNG.standard_normal((2, 4, 5, 4, 6))
IMAGE, SEQUENCE = VOLUME[0], VOLUME[0, 0]
TIES = np.round(VOLUME)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_convolutions_of_volumes(same):
    geometries = [
        (1, 0, 1, 1), (2, 1, 1, 2), ((2, 1, 3), (1, 0, 2), (2, 1, 1), 1), (1, "same", (1, 2, 2), 2), (1, "valid", 1, 4),
    ]  # fmt: skip
    for stride, padding, dilation, groups in geometries:
        w, b = RNG.standard_normal((4, 4 // groups, 2, 3, 2)), RNG.standard_normal(4)
        same(lambda F, x, w, b, g=(stride, padding, dilation, groups): F.conv3d(x, w, b, *g), VOLUME, w, b)
    same(lambda F, x, w: F.conv3d(x, w), IMAGE, RNG.standard_normal((3, 4, 1, 1, 1)))
    for g in [(1, 0, 0, 1, 1), (2, (1, 0, 1), 1, 2, 1), ((2, 1, 3), 1, (1, 0, 2), 1, (1, 2, 1))]:
        w, b = RNG.standard_normal((4, 3, 2, 3, 2)), RNG.standard_normal(3 * g[3])
        same(lambda F, x, w, b, g=g: F.conv_transpose3d(x, w, b, *g), VOLUME, w, b)
    arrays = [RNG.standard_normal(s) for s in ((7, 2, 3), (3, 3, 5), (5,))]
    same(lambda F, x, w, b: F.conv_tbc(x, w, b, 1), *arrays)


def test_poolings_of_volumes(same):
    for k, stride, padding, ceil in itertools.product([2, (2, 3, 1)], [None, (1, 2, 3)], [0, (1, 1, 0)], [False, True]):
        same(lambda F, x, g=(k, stride, padding, ceil): F.avg_pool3d(x, *g), VOLUME, second=False)
        g = (k, stride, padding, (2, 1, 2) if ceil else 1, ceil, True)
        same(lambda F, x, g=g: F.max_pool3d(x, *g), TIES, second=False)
    same(lambda F, x: F.max_pool3d_with_indices(x, 2), VOLUME)
    same(lambda F, x: F.avg_pool3d(x, 2, 1, 1, False, False, 5), IMAGE)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_adaptive_poolings(axes, same):
    x = {1: TIES[0, 0], 2: TIES[0], 3: TIES}[axes]
    for size in (1, 3, (7, None, 4)[:axes], (5, 9, 8)[:axes]):
        size = size[0] if axes == 1 and isinstance(size, tuple) else size
        same(lambda F, x, size=size: getattr(F, f"adaptive_max_pool{axes}d")(x, size, True), x)
        same(lambda F, x, size=size: getattr(F, f"adaptive_max_pool{axes}d")(x, size), x[0])
        same(lambda F, x, size=size: getattr(F, f"adaptive_avg_pool{axes}d")(x, size), x)


def test_maxima_that_are_not_a_number(same):
    x = VOLUME.copy()
    x[0, 0, 1:3, 2, 3] = np.nan
    same(lambda F, x: F.max_pool3d(x, 2, 1, return_indices=True), x, second=False)
    same(lambda F, x: F.adaptive_max_pool3d(x, (3, 3, 4), True), x, second=False)


SIZES = [{"size": 4}, {"size": (9, 3, 8)}, {"size": 1}, {"scale_factor": 1.7}, {"scale_factor": 0.6}]
SIZES += [{"scale_factor": (1.3, 0.7, 2.1), "recompute_scale_factor": True}]
MODES = [(m, a, None) for m in ("nearest", "nearest-exact", "area") for a in (1, 2, 3)]
MODES += [
    (m, a, c) for m, a in (("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3)) for c in (False, True)
]


@pytest.mark.parametrize(("mode", "axes", "align_corners"), MODES)
def test_interpolate(mode, axes, align_corners, same):
    x = {1: SEQUENCE[None, :, :4].reshape(1, 4, -1), 2: IMAGE, 3: VOLUME}[axes]
    for antialias in (False, True) if mode in ("bilinear", "bicubic") else (False,):
        for given in [*SIZES, {"size": x.shape[2:]}]:
            options = {k: v[:axes] if isinstance(v, tuple) else v for k, v in given.items()}
            options |= {"mode": mode, "align_corners": align_corners, "antialias": antialias}
            same(lambda F, x, o=options: F.interpolate(x, **o), x, second=given is SIZES[3])
    options |= {"size": (3, 7, 5)[:axes]}
    same(lambda F, x: F.interpolate(x, **options), x, dtype="float32", rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*upsample.* is deprecated.*:UserWarning")
def test_interpolate_by_factors_that_are_kept(same):
    for mode in ("nearest", "bilinear", "bicubic"):
        same(lambda F, x, m=mode: F.interpolate(x, scale_factor=(1.3, 2.1), mode=m), IMAGE)
    same(lambda F, x: F.upsample_nearest(x, scale_factor=2), IMAGE)
    same(lambda F, x: F.upsample_bilinear(x, size=(3, 9)), IMAGE)


def test_interpolate_refuses_what_does_not_go_together():
    x = gpunn.zeros(1, 1, 3, 3)
    with pytest.raises(ValueError, match="give one of size and scale_factor"):
        F.interpolate(x)
    with pytest.raises(ValueError, match="align_corners is for linear and cubic modes, got mode='nearest'"):
        F.interpolate(x, 2, align_corners=True)
    with pytest.raises(NotImplementedError, match="'trilinear' is for inputs of 5 dimensions"):
        F.interpolate(x, 2, mode="trilinear")
    with pytest.raises(NotImplementedError, match="mode is one of nearest"):
        F.interpolate(x, 2, mode="cubic")
    with pytest.raises(RuntimeError, match=r"sizes are at least 1, got \[0, 2\]"):
        F.interpolate(x, (0, 2))


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize(
    ("mode", "axes"), [("bilinear", 2), ("nearest", 2), ("bicubic", 2), ("bilinear", 3), ("nearest", 3)]
)
def test_grid_sample(mode, axes, padding_mode, same):
    x = VOLUME[:, :2] if axes == 3 else VOLUME[:, :, 0]
    grid = np.random.default_rng(3).uniform(-1.9, 1.9, (*(2, 3, 2, 4)[: axes + 1], axes))
    grid.reshape(-1)[:4] = 5, -7, 1, -1  # PyTorch has no second gradient
    for aligned in (False, True):
        same(lambda F, x, g, a=aligned: F.grid_sample(x, g, mode, padding_mode, a), x, grid, second=False)


def test_second_gradient_of_grid_sample():
    x, grid = gpunn.tensor(IMAGE[:1, :1, :2, :3]), gpunn.tensor(RNG.uniform(-0.9, 0.9, (1, 1, 1, 2)))
    for t in (x, grid):
        t.requires_grad_()
    assert gpunn.autograd.gradgradcheck(lambda x, g: F.grid_sample(x, g, align_corners=False), (x, grid))
