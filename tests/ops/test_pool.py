"""Pooling: which element is taken, inputs that do not fit, blocks."""

import numpy as np
import pytest

import gpunn
from gpunn import ops
from gpunn.backend.numpy import pool as primitives

from .harness import normal

NAN, INF = np.nan, np.inf


def image(*rows):
    return gpunn.tensor(np.array(rows, dtype=np.float64)[None, None], requires_grad=True)


def message(function, *args, **kwargs):
    with pytest.raises(RuntimeError) as error:
        function(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize(
    ("rows", "value", "index"),
    [
        (([1, 5], [5, 2]), 5, 1),  # of equal elements the first
        (([0, 0], [0, 0]), 0, 0),
        (([1, NAN], [NAN, 2]), NAN, 2),  # NaN is never hidden; the last one
        (([NAN, 9], [1, 2]), NAN, 0),
        (([-INF, -INF], [-INF, -INF]), -INF, 0),
    ],
)
def test_which_element_is_taken(rows, value, index):
    y, where = ops.max_pool2d(image(*rows), 2, return_indices=True)
    np.testing.assert_array_equal(y.detach().numpy(), [[[[value]]]])
    assert where.dtype is gpunn.int64
    assert where.item() == index


def test_padding_is_never_taken():
    x = image([-INF, -INF], [-INF, -INF])
    y, where = ops.max_pool2d(x, 2, padding=1, return_indices=True)
    np.testing.assert_array_equal(where.numpy(), [[[[0, 1], [2, 3]]]])
    y.backward(gpunn.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=gpunn.float64))
    np.testing.assert_array_equal(x.grad.numpy(), [[[[1, 2], [3, 4]]]])


def test_gradients_of_overlapping_windows_add_up():
    x = image([0, 1, 0], [2, 9, 3], [0, 4, 0])
    ops.max_pool2d(x, 2, stride=1).backward(gpunn.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=gpunn.float64))
    np.testing.assert_array_equal(x.grad.numpy(), [[[[0, 0, 0], [0, 10, 0], [0, 0, 0]]]])


def test_infinite_gradient_stays_where_it_is():
    x = image([1, 2], [3, 4])
    ops.max_pool2d(x, 2).backward(gpunn.tensor([[[[INF]]]], dtype=gpunn.float64))
    np.testing.assert_array_equal(x.grad.numpy(), [[[[0, 0], [0, INF]]]])


def test_an_infinite_element_spoils_only_the_means_of_its_windows():
    # Of 5 rows, windows 0 to 2 and 2 to 4; of 5 columns, 0 to 1, 1 to 3 and 3 to 4.
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    x[0, 0, 0, 0] = INF
    y = ops.adaptive_avg_pool2d(gpunn.tensor(x), (2, 3))
    np.testing.assert_array_equal(y.numpy()[0, 0], [[INF, 7, 8.5], [15.5, 17, 18.5]])


def test_half_precision_gradients_are_summed_in_float32():
    # One element is the largest of 2601 windows: float16 stops counting at 2048.
    x = np.zeros((1, 1, 101, 101))
    x[0, 0, 50, 50] = 1
    x = gpunn.tensor(x, dtype=gpunn.float16, requires_grad=True)
    ops.max_pool2d(x, 51, stride=1).sum().backward()
    assert x.grad[0, 0, 50, 50].item() == 2600  # 2601 in float16


@pytest.mark.parametrize("function", [ops.max_pool2d, ops.avg_pool2d])
@pytest.mark.parametrize("options", [{}, {"stride": 1}, {"padding": 1, "stride": 2, "ceil_mode": True}])
def test_blocks_of_any_size_give_the_same(monkeypatch, function, options):
    def run():
        x = gpunn.tensor(normal(5, 3, 7, 6), requires_grad=True)
        y = function(x, 3, **options)
        y.backward(gpunn.tensor(normal(*y.shape, seed=1)))
        return y.detach().numpy(), x.grad.numpy()

    expected = run()
    monkeypatch.setattr(primitives, "BLOCK_BYTES", 700)
    for got, e in zip(run(), expected):
        np.testing.assert_array_equal(got, e)


@pytest.mark.parametrize("function", [ops.max_pool2d, ops.avg_pool2d])
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"kernel_size": 9}, ["kernel of 9 x 9", "image of 8 x 6", "float32[2, 3, 8, 6]"]),
        ({"kernel_size": 2, "padding": 2}, ["at most half a window", "[2, 2]", "2 x 2"]),
        ({"kernel_size": 2, "stride": 0}, ["stride must be at least 1"]),
        ({"kernel_size": (1, 2, 3)}, ["kernel_size", "(1, 2, 3)"]),
        ({"kernel_size": 0}, ["kernel_size must be at least 1"]),
    ],
)
def test_windows_that_do_not_fit_are_named(function, options, parts):
    error = message(function, gpunn.zeros(2, 3, 8, 6), **options)
    assert error.startswith(f"{function.__name__}: ")
    for part in parts:
        assert part in error


def test_what_else_does_not_fit_is_named():
    x = gpunn.zeros(2, 3, 8, 6)
    assert "(N, C, H, W)" in message(ops.max_pool2d, x[0, 0], 2)
    assert "(N, C, L)" in message(ops.max_pool1d, x, 2)
    assert "dilation must be at least 1" in message(ops.max_pool2d, x, 2, dilation=0)
    assert "divisor_override must not be 0" in message(ops.avg_pool2d, x, 2, divisor_override=0)
    assert "takes floats" in message(ops.avg_pool2d, x.long(), 2)
    assert "at least 1" in message(ops.adaptive_max_pool2d, x, 0)
    assert "output_size" in message(ops.adaptive_avg_pool2d, x, (1, 2, 3))
    assert "H and W at least 1" in message(ops.adaptive_avg_pool2d, x[:, :, :0], 2)
    # Elements at -1 and 2 of an image of two rows: PyTorch reads beyond the image here.
    assert "in the padding alone" in message(ops.max_pool2d, gpunn.zeros(1, 1, 2, 9), 2, 1, 1, 3)


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_truth_values_have_no_largest_one(device):  # as in PyTorch
    x = gpunn.tensor([[[[True, False], [False, False]]]], device=device)
    with pytest.raises(NotImplementedError, match=r"max_pool2d: got bool\[1, 1, 2, 2\].*expected numbers"):
        ops.max_pool2d(x, 2)


def test_max_pooling_keeps_one_byte_for_each_result():
    y, which = primitives.max_pool2d(normal(1, 2, 4, 4), (2, 2), (2, 2), (2, 2), (0, 0), (1, 1))
    assert which.dtype == np.uint8
    assert which.shape == y.shape


def test_the_primitive_writes_where_it_is_told_to():
    x, geometry = normal(2, 3, 5, 5), ((3, 3), (2, 2), (1, 1), (1, 1))
    y, which = np.full((2, 3, 3, 3), np.nan), np.full((2, 3, 3, 3), 77, np.uint8)
    expected = primitives.max_pool2d(x, (3, 3), *geometry)
    primitives.max_pool2d(x, (3, 3), *geometry, out=(y, which))
    np.testing.assert_array_equal(y, expected[0])
    np.testing.assert_array_equal(which, expected[1])
    dx = np.full(x.shape, np.nan)
    assert primitives.max_pool2d_backward(y, which, (5, 5), *geometry, out=dx) is dx
    np.testing.assert_array_equal(dx, primitives.max_pool2d_backward(y, which, (5, 5), *geometry))
    mean = np.full(y.shape, np.nan)
    assert primitives.avg_pool2d(x, (3, 3), *geometry[:3], True, None, out=mean) is mean
    np.testing.assert_array_equal(mean, primitives.avg_pool2d(x, (3, 3), *geometry[:3], True, None))


POOLS = {
    **{f"{kind}_pool{d}d": (2,) for kind in ("max", "avg", "adaptive_max", "adaptive_avg") for d in (1, 2, 3)},
    **{f"lp_pool{d}d": (2.0, 2) for d in (1, 2, 3)},
    **{f"fractional_max_pool{d}d": (2, 2) for d in (2, 3)},
}


@pytest.mark.parametrize("name", POOLS)
def test_no_channel_is_pooled_where_pytorch_pools_none(torch, name):
    size = (6,) * int(name[-2])
    for library in (torch, gpunn):
        pool = getattr(library.nn.functional, name)
        assert pool(library.ones(0, 3, *size), *POOLS[name]).shape[:2] == (0, 3)
        if name in ("adaptive_avg_pool1d", "adaptive_avg_pool2d"):  # these need none
            assert pool(library.ones(2, 0, *size), *POOLS[name]).shape[:2] == (2, 0)
            continue
        with pytest.raises(RuntimeError) as error:
            pool(library.ones(2, 0, *size), *POOLS[name])
    if name[:12] != "adaptive_avg" or name[-2] == "3":
        assert f"takes images of at least 1 channel, got float32{[2, 0, *size]}" in str(error.value)
