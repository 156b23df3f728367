"""Attention and its gradients over kernels."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend import numpy as numpy_backend

from .harness import FAST, compare, simulator

RNG = np.random.default_rng(0)
ALL = (True, True, True)
INF = np.inf


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def arrays(batch, queries, keys, width, values, dtype="float32"):
    """Queries, keys and values."""
    sizes = (queries, width), (keys, width), (keys, values)
    return tuple(normal(*batch, *size, dtype=dtype) for size in sizes)


def forward_and_backward(qkv, mask, scale=0.3, causal=False, wanted=ALL, drop=(), **options):
    compare("attention_forward", *qkv, mask, scale, causal, *drop, **options)
    with np.errstate(all="ignore"):
        o, lse = numpy_backend.attention_forward(*qkv, mask, scale, causal, *drop)
    dy = normal(*o.shape, dtype=o.dtype)
    compare("attention_backward", dy, *qkv, mask, o, lse, scale, causal, wanted, *drop, **options)


@pytest.mark.parametrize(
    "shape",
    [((2, 3), 5, 7, 4, 3), ((2,), 35, 70, 33, 40), ((), 33, 1, 128, 1), ((3,), 1, 33, 1, 128), ((1,), 16, 32, 32, 64)],
)
@pytest.mark.parametrize("causal", [False, True])
def test_any_shape(shape, causal):
    # Where a query has one key, its gradient is 0: what is left of dO V^T - D is rounding of numbers of some tens.
    forward_and_backward(arrays(*shape), None, causal=causal, rtol=2e-5, atol=1e-5, modes=FAST)


def test_in_check_mode():
    mask = normal(2, 1, 1, 37)
    mask[0, 0, 0, ::2] = -INF
    forward_and_backward(arrays((2, 2), 34, 37, 36, 5), mask, rtol=2e-5)
    forward_and_backward(arrays((1,), 3, 70, 0, 2), None)
    forward_and_backward(arrays((2,), 34, 37, 3, 5), None, drop=(0.4, 7, 2, 5), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float16", bfloat16])
def test_types(dtype):
    tolerance = {} if dtype == "float64" else {"atol": 0.05}
    forward_and_backward(arrays((2,), 35, 40, 12, 33, dtype), normal(35, 40, dtype=dtype), modes=FAST, **tolerance)


@pytest.mark.parametrize(
    "mask",
    [
        normal(1),
        normal(5, 1),
        normal(3, 5, 7),
        normal(2, 1, 1, 7),
        normal(7, 5, 3, 2).transpose(),
        normal(2, 3, 5, 14)[:, ::-1, :, ::-2],
    ],
    ids=lambda mask: str(mask.shape),
)
def test_masks_are_broadcast(mask):
    forward_and_backward(arrays((2, 3), 5, 7, 4, 3), mask, rtol=2e-5, modes=FAST)


def test_many_batches():
    """More than a Layout has, which the mask makes impossible to merge."""
    mask = normal(2, 1, 2, 1, 2, 1, 2, 3, 3)
    forward_and_backward(arrays((2,) * 7, 3, 3, 2, 2), mask, rtol=2e-5, modes=FAST)


@pytest.mark.parametrize(
    "shape", [((0,), 3, 4, 2, 2), ((2,), 0, 4, 2, 2), ((2,), 3, 0, 2, 2), ((2,), 3, 4, 0, 2), ((2,), 3, 4, 2, 0)]
)
def test_of_nothing(shape):
    forward_and_backward(arrays(*shape), None, modes=FAST)


@pytest.mark.parametrize("wanted", [(True, False, False), (False, True, False), (False, False, True)])
def test_only_what_is_wanted(wanted):
    forward_and_backward(arrays((2,), 5, 7, 4, 3), None, wanted=wanted, rtol=2e-5, modes=FAST)


def test_strided_inputs():
    q, k, v = arrays((6, 9), 4, 8, 6, 4)
    forward_and_backward((q.transpose(0, 2, 1, 3)[:, :, ::2], k[:, :4, :, ::-1], v[:, :4]), None, rtol=2e-5, modes=FAST)


def test_rows_without_keys_and_what_is_not_finite():
    mask = np.zeros((4, 40), np.float32)
    mask[0] = -INF
    mask[1, :35] = -INF
    mask[2, 3] = INF
    mask[3, 3] = np.nan
    qkv = arrays((2,), 4, 40, 3, 3)
    forward_and_backward(qkv, mask, rtol=2e-5, modes=FAST)
    for backend in (numpy_backend, simulator("fast", "forward")):
        with np.errstate(all="ignore"):
            o, lse = backend.attention_forward(*qkv, mask, 1.0, False)
        assert (o[:, 0] == 0).all()
        assert (lse[:, 0] == -INF).all()
        assert np.isfinite(o[:, 1]).all()
        assert np.isnan(o[:, 2:]).all()


@pytest.mark.parametrize(
    ("dtype", "drop"),
    [("float32", (0.3, 5, 2**40, 13)), ("float64", (0.7, 2**64 - 1, 0, 1000003)), (bfloat16, (0.5, 1, 1, 0))],
)
@pytest.mark.parametrize("causal", [False, True])
def test_dropout(dtype, drop, causal):
    tolerance = {"float32": {"rtol": 2e-5}, "float64": {"rtol": 1e-12}}.get(dtype, {"atol": 0.1})
    forward_and_backward(arrays((3,), 35, 43, 5, 6, dtype), None, 0.3, causal, drop=drop, modes=FAST, **tolerance)


def test_all_are_dropped():
    q, k, v = arrays((2,), 3, 4, 5, 6)
    forward_and_backward((q, k, v), None, drop=(1.0, 1, 1, 0), modes=FAST)
    assert not simulator("fast", "forward").attention_forward(q, k, v, None, 1.0, False, 1.0, 1, 1, 0)[0].any()


def mask_of(drop, shape):
    """The factors by NumPy's own generator, from its own counter and key."""
    p, seed, call, place = drop
    bits = np.random.Philox(key=np.array([seed, 1], np.uint64), counter=np.array([0, call, 0, 0], np.uint64))
    u = np.random.Generator(bits).random(place + np.prod(shape), dtype=np.float32)[place:].reshape(shape)
    return (u >= p) / (1 - p)


@pytest.mark.parametrize("drop", [(), (0.3, 9, 4, 21)])
@pytest.mark.parametrize("causal", [False, True])
def test_against_the_formula(causal, drop):
    """By the whole matrix, in float64; scores of some thousands, which overflow without a maximum."""
    q, k, v = arrays((2,), 40, 50, 9, 6, "float64")
    q *= 1000
    s = q @ k.swapaxes(1, 2) * 0.5
    if causal:
        s[:, ~np.tri(40, 50, dtype=bool)] = -INF
    m = s.max(-1, keepdims=True)
    p = np.exp(s - m)
    total = p.sum(-1, keepdims=True)
    p /= total
    z = mask_of(drop, p.shape) if drop else 1.0
    dy = normal(2, 40, 6, dtype="float64")
    dp = dy @ v.swapaxes(1, 2) * z
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * 0.5
    gradients = ds @ k, ds.swapaxes(1, 2) @ q, (p * z).swapaxes(1, 2) @ dy
    for backend in (numpy_backend, simulator("fast", "forward")):
        o, lse = backend.attention_forward(q, k, v, None, 0.5, causal, *drop)
        np.testing.assert_allclose(o, (p * z) @ v, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(lse, (m + np.log(total))[..., 0], rtol=1e-13)
        found = backend.attention_backward(dy, q, k, v, None, o, lse, 0.5, causal, ALL, *drop)
        for a, b in zip(found, gradients, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * abs(b).max())


@pytest.mark.parametrize("drop", [(), (0.3, 9, 4, 21)])
@pytest.mark.parametrize("causal", [False, True])
def test_blocks_of_numpy(causal, drop):
    """So many scores that there are several blocks of rows."""
    q, k, v = arrays((2,), 300, 400, 4, 3, "float64")
    mask = normal(2, 1, 400, dtype="float64")
    s = q @ k.swapaxes(1, 2) + mask
    if causal:
        s[:, ~np.tri(300, 400, dtype=bool)] = -INF
    p = np.exp(s - s.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    if drop:
        p *= mask_of(drop, p.shape)
    o, lse = numpy_backend.attention_forward(q, k, v, mask, 1.0, causal, *drop)
    np.testing.assert_allclose(o, p @ v, rtol=1e-12, atol=1e-12)
    dy = normal(*o.shape, dtype="float64")
    dv = numpy_backend.attention_backward(dy, q, k, v, mask, o, lse, 1.0, causal, (False, False, True), *drop)[0]
    np.testing.assert_allclose(dv, p.swapaxes(1, 2) @ dy, rtol=1e-11, atol=1e-12)
