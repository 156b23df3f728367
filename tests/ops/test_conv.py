"""Convolution, unfold and fold: inputs that do not fit, blocks, what is computed and what is not."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gpunn
from gpunn import ops
from gpunn.backend.numpy import conv as primitives

from .cases.conv import conv2d_by_loops
from .harness import normal, recorded_ops

X, W, B = gpunn.zeros(2, 3, 8, 6), gpunn.zeros(4, 3, 3, 3), gpunn.zeros(4)


def message(function, *args, **kwargs):
    with pytest.raises(RuntimeError) as error:
        function(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize(
    ("weight", "options", "parts"),
    [
        (gpunn.zeros(4, 2, 3, 3), {}, ["float32[4, 2, 3, 3]", "takes 2 channels", "float32[2, 3, 8, 6]", "has 3"]),
        (gpunn.zeros(4, 3, 3, 3), {"groups": 2}, ["divisible by groups=2", "has 3"]),
        (gpunn.zeros(4, 3, 3, 3), {"groups": 3}, ["divisible by groups=3", "gives 4"]),
        (gpunn.zeros(6, 2, 3, 3), {"groups": 3}, ["takes 2 x 3 groups = 6 channels", "has 3"]),
        (gpunn.zeros(4, 3, 9, 3), {}, ["kernel of 9 x 3", "image of 8 x 6", "float32[2, 3, 8, 6]"]),
        (gpunn.zeros(4, 3, 3, 5), {"dilation": 2}, ["kernel of 3 x 5 (5 x 9 with dilation [2, 2])", "image of 8 x 6"]),
        (gpunn.zeros(4, 3, 3, 9), {"padding": 1}, ["kernel of 3 x 9", "(10 x 8 with padding)"]),
        (gpunn.zeros(4, 3, 3), {}, ["weight of 4 dimensions", "float32[4, 3, 3]"]),
        (gpunn.zeros(0, 3, 3, 3), {}, ["float32[0, 3, 3, 3]", "no output channel"]),
        (gpunn.zeros(4, 3, 3, 3, dtype=gpunn.float64), {}, ["one type", "float64[4, 3, 3, 3]", ".double()"]),
        (W, {"bias": gpunn.zeros(3)}, ["bias must have shape [4]", "float32[3]"]),
        (W, {"stride": 0}, ["stride must be at least 1", "0"]),
        (W, {"stride": (1, 1, 1)}, ["stride", "2 axes", "(1, 1, 1)"]),
        (W, {"padding": -1}, ["padding must be at least 0", "-1"]),
        (W, {"padding": "full"}, ["'same', 'valid' or numbers", "'full'"]),
        (W, {"padding": "same", "stride": 2}, ["padding='same'", "stride [2, 2]"]),
        (W, {"dilation": 0}, ["dilation must be at least 1"]),
        (W, {"groups": 0}, ["groups must be at least 1"]),
    ],
)
def test_what_does_not_fit_is_named(weight, options, parts):
    error = message(ops.conv2d, X, weight, **options)
    assert error.lower().startswith("conv2d: ")
    for part in parts:
        assert part in error


def test_input_of_another_kind_is_named():
    assert "float32[8, 6]" in message(ops.conv2d, X[0, 0], W)
    assert "takes floats, got int64" in message(ops.conv2d, gpunn.zeros(2, 3, 8, 6, dtype=gpunn.int64), W)
    with pytest.raises(TypeError, match=r"stride is an integer.*1\.5"):
        ops.conv2d(X, W, stride=1.5)
    with pytest.raises(ValueError, match="no activation 'rleu'"):
        ops.conv2d_activation(X, W, activation="rleu")


def test_conv1d_speaks_of_sequences():
    x, w = gpunn.zeros(2, 3, 8), gpunn.zeros(4, 2, 3)
    error = message(ops.conv1d, x, w)
    assert error.startswith("conv1d: ") and "(N, C, L)" in error and "float32[2, 3, 8]" in error
    assert "kernel of 9 is larger than the image of 8" in message(ops.conv1d, x, gpunn.zeros(4, 3, 9))


@pytest.mark.parametrize(
    ("weight", "options", "parts"),
    [
        (gpunn.zeros(4, 3, 3, 3), {}, ["takes 4 channels", "has 3"]),
        (gpunn.zeros(3, 4, 3, 3), {"groups": 2}, ["divisible by groups=2"]),
        (gpunn.zeros(3, 4, 3, 3), {"output_padding": 1}, ["output_padding", "[1, 1]", "stride [1, 1]"]),
        (gpunn.zeros(3, 4, 3, 3), {"padding": 5}, ["0 x -2", "smaller padding"]),
        (gpunn.zeros(3, 4, 3, 3), {"bias": gpunn.zeros(3)}, ["bias must have shape [4]"]),
        (gpunn.zeros(3, 4, 3), {}, ["float32[3, 4, 3]"]),
    ],
)
def test_what_does_not_fit_the_transposed_is_named(weight, options, parts):
    error = message(ops.conv_transpose2d, X, weight, **options)
    assert error.startswith("conv_transpose2d: ")
    for part in parts:
        assert part in error


def test_columns_that_do_not_fit_are_named():
    assert "multiple of the 9 elements" in message(ops.fold, gpunn.zeros(2, 28, 36), 8, 3)
    error = message(ops.fold, gpunn.zeros(2, 27, 35), 8, 3)
    assert "6 x 6 = 36 patches" in error and "float32[2, 27, 35]" in error
    assert "larger than the image" in message(ops.unfold, X, 9)
    assert "float32[8, 6]" in message(ops.unfold, X[0, 0], 3)
    assert "float32[6]" in message(ops.fold, X[0, 0, 0], 8, 3)


@pytest.mark.parametrize("block_bytes", [1, 300, 5_000])
@pytest.mark.parametrize(
    "options",
    [{}, {"padding": 2}, {"stride": 2, "padding": 1}, {"stride": (1, 3)}, {"dilation": (3, 1)}, {"groups": 2}],
)
def test_blocks_of_any_size_give_the_same(monkeypatch, block_bytes, options):
    # From one row of one image at a time to several images: results and gradients are those of a single block.
    def run():
        tensors = [normal(5, 4, 9, 7), normal(4, 4 // options.get("groups", 1), 3, 2, seed=1), normal(4, seed=2)]
        tensors = [gpunn.tensor(t, requires_grad=True) for t in tensors]
        y = ops.conv2d(*tensors, **options)
        y.backward(gpunn.tensor(normal(*y.shape, seed=3)))
        return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]

    expected = run()
    monkeypatch.setattr(primitives, "BLOCK_BYTES", block_bytes)
    for got, e in zip(run(), expected):
        np.testing.assert_allclose(got, e, rtol=1e-12, atol=1e-12)


def test_half_precision_gradients_are_summed_in_float32(monkeypatch):
    # 4096 ones: float16 stops counting at 2048.
    monkeypatch.setattr(primitives, "BLOCK_BYTES", 1000)
    x = gpunn.ones(64, 1, 8, 8, dtype=gpunn.float16)
    w = gpunn.ones(1, 1, 1, 1, dtype=gpunn.float16, requires_grad=True)
    ops.conv2d(x, w, stride=1, padding=1).sum().backward()
    assert w.grad.dtype is gpunn.float16
    assert w.grad.item() == 4096


def test_the_first_layer_gets_no_input_gradient():
    w = gpunn.tensor(normal(4, 3, 3, 3), requires_grad=True)
    x = gpunn.tensor(normal(2, 3, 8, 6))
    with recorded_ops() as seen:
        ops.conv2d(x, w).sum().backward()
    assert "Conv2dWeightGrad" in seen and "Conv2dInputGrad" not in seen
    x, w = x.requires_grad_(), w.detach()
    with recorded_ops() as seen:
        ops.conv2d(x, w).sum().backward()
    assert "Conv2dInputGrad" in seen and "Conv2dWeightGrad" not in seen


def test_a_bias_alone_can_be_trained():
    b = gpunn.tensor(np.zeros(4), requires_grad=True)
    ops.conv2d(gpunn.tensor(normal(2, 3, 8, 6)), gpunn.tensor(normal(4, 3, 3, 3)), b).sum().backward()
    np.testing.assert_array_equal(b.grad.numpy(), np.full(4, 2 * 6 * 4))


def test_infinity_stays_where_it_is():
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 0, 0] = np.inf
    y = ops.conv2d(gpunn.tensor(x), gpunn.ones(1, 1, 3, 3, dtype=gpunn.float64), padding=1).numpy()
    expected = np.zeros((1, 1, 5, 5))
    expected[0, 0, :2, :2] = np.inf
    np.testing.assert_array_equal(y, expected)


def test_the_same_bits_every_time():
    x, w = normal(33, 8, 14, 14).astype("float32"), normal(16, 8, 3, 3, seed=1).astype("float32")

    def run():
        a, b = gpunn.tensor(x, requires_grad=True), gpunn.tensor(w, requires_grad=True)
        y = ops.conv2d(a, b, padding=1)
        (y * y).sum().backward()
        return y.detach().numpy(), a.grad.numpy(), b.grad.numpy()

    for first, second in zip(run(), run()):
        np.testing.assert_array_equal(first, second)


def test_threads_do_not_share_memory():
    x = [gpunn.tensor(normal(16, 8, 14, 14, seed=s).astype("float32")) for s in range(2)]
    w = gpunn.tensor(normal(16, 8, 3, 3).astype("float32"))
    expected = [ops.conv2d(a, w).numpy() for a in x]

    def run(which):
        return [ops.conv2d(x[which], w).numpy() for _ in range(20)]

    with ThreadPoolExecutor(2) as pool:
        for got, e in zip(pool.map(run, range(2)), expected):
            for y in got:  # to rounding: the BLAS may share out its work in another way while it has two callers
                np.testing.assert_allclose(y, e, rtol=1e-4, atol=1e-4)


def test_results_are_contiguous():
    # view() of a result, as in x.view(x.size(0), -1) between convolution and linear layers, never copies
    for options in ({}, {"padding": 1}, {"stride": 2}):
        assert ops.conv2d(gpunn.tensor(normal(2, 3, 8, 6)), gpunn.tensor(normal(4, 3, 3, 3)), **options).is_contiguous()


def test_cost_counts_a_product_and_a_sum_for_each_weight_at_each_position():
    op = ops.conv.Conv2d(padding=((1, 1), (1, 1)))
    cost = op.cost(X._spec, W._spec, B._spec)
    assert cost.flop == 2 * (2 * 8 * 6) * (4 * 3 * 3 * 3)
    assert cost.bytes == 4 * (2 * 3 * 8 * 6 + 4 * 3 * 3 * 3 + 4 + 2 * 4 * 8 * 6)


def test_the_primitive_writes_where_it_is_told_to():
    x, w, b = normal(2, 3, 5, 4), normal(4, 3, 3, 2, seed=1), normal(4, seed=2)
    geometry = ((3, 3), (1, 1), (0, 0), (1, 1), 1)
    y = np.full((2, 4, 3, 3), np.nan)
    assert primitives.conv2d_forward(x, w, b, *geometry, out=y) is y
    np.testing.assert_allclose(y, conv2d_by_loops(x, w, b), rtol=1e-12)
    dx = np.full(x.shape, np.nan)
    assert primitives.conv2d_input_grad(y, w, (5, 4), *geometry[1:], out=dx) is dx
    np.testing.assert_array_equal(dx, primitives.conv2d_input_grad(y, w, (5, 4), *geometry[1:]))
    outs = np.full(w.shape, np.nan), np.full(4, np.nan)
    results = primitives.conv2d_weight_grad(x, y, (3, 2), *geometry[1:], True, out=outs)
    assert all(r is o for r, o in zip(results, outs))
    for got, e in zip(outs, primitives.conv2d_weight_grad(x, y, (3, 2), *geometry[1:], True)):
        np.testing.assert_array_equal(got, e)
