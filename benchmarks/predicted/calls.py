"""A call of each operation that has kernels of its own, at a shape that fills some blocks and has whole quads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gpunn
from gpunn.autograd.tape import apply
from gpunn.nn import functional as F
from gpunn.ops.batch_norm_parts import BatchNormApply, BatchStatistics
from gpunn.ops.batch_norm_pool import BatchNormMaxPool, BatchNormMaxPoolBackward
from gpunn.ops.conv_pool import Conv2dMaxPool, Conv2dMaxPoolWeightGrad
from gpunn.ops.conv_statistics import Conv2dStatistics
from gpunn.ops.cross_entropy import SoftmaxCrossEntropyGradient
from gpunn.ops.linear_cross_entropy import LinearCrossEntropy
from gpunn.ops.pool import MaxPool2dActivationBackward
from gpunn.ops.recurrent import recurrent_layer

from .call import Tensor, add, backward, fixed, halves, in_tf32, last, normal, on_rung, whole

# Products ------------------------------------------------------------------------------------------------------------

add(
    "matmul 256x128x256",
    backward(gpunn.matmul),
    normal(256, 128),
    normal(128, 256),
    fixed(256, 256),
    ladder="matmul",
)
add(
    "half product 256x256x256",
    backward(lambda x, w, b: gpunn.nn.functional.linear(x, w, b).relu()),
    halves(256, 256),
    halves(256, 256),
    halves(256),
    halves(256, 256),
    ladder="half_product",
)
add("half product 1408x64x1536", gpunn.matmul, halves(1408, 64), halves(64, 1536))
add("half product 2048x64x2048", gpunn.matmul, halves(2048, 64), halves(64, 2048))
add("wgmma product 2048x64x2048", on_rung("half_product", "wgmma", gpunn.matmul), halves(2048, 64), halves(64, 2048))
add("TF32 product 2048x32x2048", in_tf32(gpunn.matmul), fixed(2048, 32), fixed(32, 2048))
add(
    "TF32 linear 256x256x256",
    in_tf32(backward(lambda x, w, b: gpunn.nn.functional.linear(x, w, b).relu())),
    normal(256, 256),
    normal(256, 256),
    normal(256),
    fixed(256, 256),
)
add("matmul 2048x16x2048", gpunn.matmul, fixed(2048, 16), fixed(16, 2048))
add("matmul 2048x32x512", gpunn.matmul, fixed(2048, 32), fixed(32, 512))
add("matmul 16x512x64", gpunn.matmul, fixed(16, 512), fixed(512, 64))


def _linear(x: Any, w: Any, b: Any) -> Any:
    return F.linear_activation(x, w, b, "relu")


_WEIGHTS = normal(256, 128), normal(256), fixed(128, 256)
add("linear 128x128x256", backward(_linear), normal(128, 128), *_WEIGHTS, ladder="linear_forward")
add("linear backward 128x128x256", backward(_linear), normal(128, 128), *_WEIGHTS, ladder="linear_backward")
add("linear 2048x32x2048", _linear, fixed(2048, 32), fixed(2048, 32), fixed(2048))
add("linear 2048x32x512", _linear, fixed(2048, 32), fixed(512, 32), fixed(512))
add(
    "linear backward 2048x512x64",
    backward(_linear),
    *(normal(2048, 512), normal(64, 512), normal(64), fixed(2048, 64)),
)
add(
    "linear backward 32x1024x2048",
    backward(_linear),
    *(normal(32, 1024), normal(2048, 1024), normal(2048), fixed(32, 2048)),
)

# Convolutions and pooling --------------------------------------------------------------------------------------------


def _conv(x: Any, w: Any, b: Any) -> Any:
    return F.conv2d(x, w, b, padding=1)


add(
    "conv2d 4x16x16x16, 16 of 3x3",
    backward(_conv),
    *(normal(4, 16, 16, 16), normal(16, 16, 3, 3), normal(16), fixed(4, 16, 16, 16)),
    ladder="conv2d",
)
add(
    "conv2d 4x8x16x16, 8 groups of 4x4",
    backward(lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=8)),
    *(normal(4, 8, 16, 16), normal(8, 1, 4, 4), normal(8), fixed(4, 8, 15, 15)),
)
add(
    "conv2d 4x6x16x16, 16 of 5x5",
    backward(_conv),
    *(normal(4, 6, 16, 16), normal(16, 6, 5, 5), normal(16), fixed(4, 16, 14, 14)),
)
add("conv2d 16x32x16x16, 64 of 3x3", _conv, fixed(16, 32, 16, 16), fixed(64, 32, 3, 3), fixed(64))
add("conv2d 16x32x17x17, 64 of 4x4", _conv, fixed(16, 32, 17, 17), fixed(64, 32, 4, 4), fixed(64))
for kernel in (3, 5):
    add(
        f"conv2d 8x1x32x32, 16 of {kernel}x{kernel}, max pool",
        lambda x, w, b: apply(Conv2dMaxPool(padding=((1, 1), (1, 1)), activation="relu"), x, w, b),
        *(fixed(8, 1, 30 + kernel - 1, 30 + kernel - 1), fixed(16, 1, kernel, kernel), fixed(16)),
    )
    add(
        f"weight gradient of conv2d 8x1x32x32, 16 of {kernel}x{kernel}, max pool",
        partial(apply, Conv2dMaxPoolWeightGrad(kernel=(kernel, kernel), bias=True)),
        *(fixed(8, 1, 32 + kernel - 1, 32 + kernel - 1), fixed(8, 16, 16, 16), fixed(8, 16, 16, 16)),
        lambda: gpunn.randint(0, 4, (8, 16, 16, 16), dtype=gpunn.uint8, device="sim"),
    )
_TENSOR_CONV = backward(lambda x, w, b: F.conv2d(x, w, b, padding=1))
add(
    "half conv2d 8x32x16x16, 64 of 3x3",
    _TENSOR_CONV,
    halves(8, 32, 16, 16),
    halves(64, 32, 3, 3),
    halves(64),
    halves(8, 64, 16, 16),
)
add(
    "TF32 conv2d 8x32x16x16, 64 of 3x3",
    in_tf32(_TENSOR_CONV),
    normal(8, 32, 16, 16),
    normal(64, 32, 3, 3),
    normal(64),
    fixed(8, 64, 16, 16),
)
add("half conv2d 64x8x16x16, 128 of 3x3", F.conv2d, halves(64, 8, 16, 16), halves(128, 8, 3, 3))
add("TF32 conv2d 64x8x16x16, 128 of 3x3", in_tf32(F.conv2d), fixed(64, 8, 16, 16), fixed(128, 8, 3, 3))
add("conv2d 32x8x33x33, 64 of 4x4", _conv, fixed(32, 8, 33, 33), fixed(64, 8, 4, 4), fixed(64))
add("conv2d 16x8x33x33, 128 of 4x4", _conv, fixed(16, 8, 33, 33), fixed(128, 8, 4, 4), fixed(128))
add(
    "channels last conv2d 4x16x16x16, 16 of 3x3",
    backward(_conv),
    *(last(normal(4, 16, 16, 16)), last(normal(16, 16, 3, 3)), normal(16), last(fixed(4, 16, 16, 16))),
    ladder="conv2d_channels_last",
)
add(
    "channels last conv2d 16x16x16x16, 256 of 3x3",
    _conv,
    *(last(fixed(16, 16, 16, 16)), last(fixed(256, 16, 3, 3)), fixed(256)),
)
add(
    "channels last conv2d 16x8x32x32, 128 of 3x3",
    _conv,
    *(last(fixed(16, 8, 32, 32)), last(fixed(128, 8, 3, 3)), fixed(128)),
)
add(
    "channels last conv2d 1x256x4x4, 512 of 3x3",
    backward(_conv),
    *(last(normal(1, 256, 4, 4)), last(normal(512, 256, 3, 3)), normal(512), last(fixed(1, 512, 4, 4))),
)
_AT_ONCE = backward(F.conv2d)
add("conv2d 1x256x2x2, 2048 of 2x2", _AT_ONCE, fixed(1, 256, 2, 2), normal(2048, 256, 2, 2), fixed(1, 2048, 1, 1))
add("conv2d 16x8x4x4, 2048 of 2x2", _AT_ONCE, fixed(16, 8, 4, 4), normal(2048, 8, 2, 2), fixed(16, 2048, 3, 3))
add(
    "channels last conv2d 1x512x2x2, 2048 of 2x2",
    _AT_ONCE,
    *(last(fixed(1, 512, 2, 2)), last(normal(2048, 512, 2, 2)), last(fixed(1, 2048, 1, 1))),
)
add("channels last conv2d 1x128x4x4, 2048 of 3x3", F.conv2d, last(fixed(1, 128, 4, 4)), last(fixed(2048, 128, 3, 3)))
add(
    "half channels last conv2d 8x32x16x16, 64 of 3x3",
    _TENSOR_CONV,
    *(last(halves(8, 32, 16, 16)), last(halves(64, 32, 3, 3)), halves(64), last(halves(8, 64, 16, 16))),
)
add(
    "TF32 channels last conv2d 8x32x16x16, 64 of 3x3",
    in_tf32(_TENSOR_CONV),
    *(last(normal(8, 32, 16, 16)), last(normal(64, 32, 3, 3)), normal(64), last(fixed(8, 64, 16, 16))),
)
add(
    "half channels last conv2d 1x512x4x4, 512 of 3x3",
    _TENSOR_CONV,
    *(last(halves(1, 512, 4, 4)), last(halves(512, 512, 3, 3)), halves(512), last(halves(1, 512, 4, 4))),
)
add(
    "half channels last conv2d 16x16x28x28, 256 of 1x1",
    F.conv2d,
    *(last(halves(16, 16, 28, 28)), last(halves(256, 16, 1, 1))),
)
_UNFOLD = backward(lambda x: F.unfold(x, 3, padding=1))
add("unfold 4x16x16x16", _UNFOLD, normal(4, 16, 16, 16), fixed(4, 144, 256), ladder="im2col")
add("fold 4x16x16x16", _UNFOLD, normal(4, 16, 16, 16), fixed(4, 144, 256), ladder="col2im")
add(
    "max_pool2d 8x16x32x32",
    backward(lambda x: F.max_pool2d(x, 2)),
    *(normal(8, 16, 32, 32), fixed(8, 16, 16, 16)),
    ladder="max_pool_backward",
)
add(
    "channels last max_pool2d 8x16x32x32",
    backward(lambda x: F.max_pool2d(x, 2)),
    *(last(normal(8, 16, 32, 32)), last(fixed(8, 16, 16, 16))),
)
add(
    "channels last max_pool2d 8x16x32x32, 3x3",
    backward(lambda x: F.max_pool2d(x, 3, 2, 1)),
    *(last(normal(8, 16, 32, 32)), last(fixed(8, 16, 16, 16))),
)
add(
    "gradients of ReLU and max_pool2d 8x16x32x32",
    partial(apply, MaxPool2dActivationBackward((2, 2), (2, 2), size=(32, 32))),
    *(fixed(8, 16, 16, 16), fixed(8, 16, 16, 16)),
    lambda: gpunn.randint(0, 4, (8, 16, 16, 16), dtype=gpunn.uint8, device="sim"),
)
add(
    "max_pool2d with indices 8x16x32x32",
    lambda x: F.max_pool2d(x, 2, return_indices=True),
    fixed(8, 16, 32, 32),
    ladder="max_pool",
)


def _twice_max_pool(x: Tensor, dy: Tensor) -> Any:
    """The gradient of a gradient of max pooling gathers."""
    dy.requires_grad_()
    (dx,) = gpunn.autograd.grad(F.max_pool2d(x, 2), [x], dy, create_graph=True)
    return gpunn.autograd.grad(dx, [dy], x.detach())


add("max_pool2d twice 8x16x32x32", _twice_max_pool, normal(8, 16, 32, 32), fixed(8, 16, 16, 16))
add("avg_pool2d 8x16x32x32", backward(lambda x: F.avg_pool2d(x, 2)), normal(8, 16, 32, 32), fixed(8, 16, 16, 16))
add(
    "adaptive_avg_pool2d 8x64x16x16",
    backward(lambda x: F.adaptive_avg_pool2d(x, 1)),
    *(normal(8, 64, 16, 16), fixed(8, 64, 1, 1)),
    ladder="adaptive_avg_pool",
)

# Rows ----------------------------------------------------------------------------------------------------------------

_SOFTMAX = backward(lambda x: F.softmax(x, 1))
add("softmax 64x1024", _SOFTMAX, normal(64, 1024), fixed(64, 1024), ladder="softmax")
add("softmax 16x32x64, axis 1", _SOFTMAX, normal(16, 32, 64), fixed(16, 32, 64), ladder="softmax")
_ATTENTION = normal(2, 4, 128, 64), normal(2, 4, 128, 64), normal(2, 4, 128, 64), fixed(2, 4, 128, 64)
add("attention 2x4x128x64", backward(F.scaled_dot_product_attention), *_ATTENTION)
add(
    "attention 2x4x128x64, causal",
    backward(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
    *_ATTENTION,
)
add(
    "attention 2x4x128x64, dropout",
    backward(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.1)),
    *_ATTENTION,
)


def _entropy(x: Any, t: Any) -> Any:
    return F.cross_entropy(x, t, reduction="none")


add(
    "cross_entropy 128x1024",
    backward(_entropy),
    normal(128, 1024),
    whole(1024, 128),
    fixed(128),
    ladder="cross_entropy",
)
add(
    "cross_entropy 8192x16, weighted",
    backward(lambda x, w, t: F.cross_entropy(x, t, w)),
    *(normal(8192, 16), lambda: gpunn.rand(16, device="sim"), whole(16, 8192), fixed()),
)
add("cross_entropy 73728x32", lambda x, t: F.cross_entropy(x, t), normal(73728, 32), whole(32, 73728))


def _loss_and_gradient(dl: Any, x: Any, t: Any) -> Any:
    return apply(SoftmaxCrossEntropyGradient(), dl, x, t, None)


add(
    "cross_entropy and gradient 128x1024",
    _loss_and_gradient,
    *(fixed(), normal(128, 1024), whole(1024, 128)),
    ladder="cross_entropy",
)
for rows in (128, 1024):
    add(
        f"linear cross_entropy and gradient {rows}x128x10",
        lambda dl, x, w, b, t: apply(LinearCrossEntropy(), dl, x, w, b, t, None),
        *(fixed(), normal(rows, 128), normal(10, 128), normal(10), whole(10, rows)),
    )
add(
    "nll_loss 128x1024",
    backward(F.nll_loss),
    *(normal(128, 1024), whole(1024, 128), fixed()),
)
add("nll_loss 16x64x64", backward(F.nll_loss), normal(16, 64, 64), whole(64, 16, 64), fixed())
add(
    "nll_loss 73728x4",
    backward(lambda x, w, t: F.nll_loss(x, t, w)),
    *(normal(73728, 4), lambda: gpunn.rand(4, device="sim"), whole(4, 73728), fixed()),
)
add(
    "binary_cross_entropy_with_logits 128x512",
    backward(F.binary_cross_entropy_with_logits),
    *(normal(128, 512), lambda: gpunn.rand(128, 512, device="sim"), fixed()),
)
add(
    "binary_cross_entropy 128x512",
    F.binary_cross_entropy,
    *(lambda: gpunn.rand(128, 512, device="sim"), lambda: gpunn.rand(128, 512, device="sim")),
)
add(
    "layer_norm 64x1024",
    backward(lambda x, w, b: F.layer_norm(x, (1024,), w, b)),
    *(normal(64, 1024), normal(1024), normal(1024), fixed(64, 1024)),
    ladder="row_norm",
)
add(
    "group_norm 8x32x16x16",
    backward(lambda x, w, b: F.group_norm(x, 8, w, b)),
    *(normal(8, 32, 16, 16), normal(32), normal(32), fixed(8, 32, 16, 16)),
)
add(
    "layer_norm 4096x64",
    backward(lambda x, w, b: F.layer_norm(x, (64,), w, b)),
    *(normal(4096, 64), normal(64), normal(64), fixed(4096, 64)),
)


def _layer(mode: str) -> Callable[..., Tensor]:
    """The states of a layer; of an LSTM c too, whose gradient is then one more thing that is read."""

    def work(x: Any, w: Any, b: Any, *first: Any) -> Any:
        states = recurrent_layer(mode, x, w, b, first)
        return states[0] if len(states) == 1 else states[0] + states[1]

    return work


for mode, gates in (("RNN_TANH", 1), ("RNN_RELU", 1), ("LSTM", 4), ("GRU", 3)):
    add(
        f"{mode.lower()} 6x16x128",
        backward(_layer(mode)),
        *(normal(6, 16, gates * 128), normal(gates * 128, 128), normal(gates * 128)),
        *(*[normal(16, 128)] * (2 if mode == "LSTM" else 1), fixed(6, 16, 128)),
    )


def _norm(x: Any, w: Any, b: Any) -> Any:
    return F.batch_norm(x, None, None, w, b, training=True)


add(
    "batch_norm 8x16x32x32",
    backward(_norm),
    *(normal(8, 16, 32, 32), normal(16), normal(16), fixed(8, 16, 32, 32)),
    ladder="batch_norm",
)
add(
    "batch_norm 512x128",
    backward(_norm),
    *(normal(512, 128), normal(128), normal(128), fixed(512, 128)),
    ladder="batch_norm",
)
_SCALES = fixed(16), lambda: gpunn.rand(16, device="sim"), fixed(16), fixed(16)
add(
    "batch_norm 8x16x32x32, a sum behind it",
    partial(apply, BatchNormApply(1e-5, relu_of_sum=True)),
    *(fixed(8, 16, 32, 32), *_SCALES, fixed(8, 16, 32, 32)),
)
add("statistics of 8x16x32x32", lambda x: apply(BatchStatistics(), x, None, None, None), fixed(8, 16, 32, 32))
add(
    "statistics of conv2d 16x32x16x16, 64 of 3x3",
    lambda x, w, b: apply(Conv2dStatistics(padding=((1, 1), (1, 1))), x, w, b, None, None, None),
    *(fixed(16, 32, 16, 16), fixed(64, 32, 3, 3), fixed(64)),
)
for side in (32, 2):
    add(
        f"batch_norm 32x16x{side}x{side}, max pool",
        partial(apply, BatchNormMaxPool(1e-5, True)),
        *(fixed(32, 16, side, side), *_SCALES),
    )
    add(
        f"gradients of batch_norm 32x16x{side}x{side}, max pool",
        partial(apply, BatchNormMaxPoolBackward(1e-5, (True, True, True))),
        *[fixed(32, 16, side // 2, side // 2)] * 2,
        lambda side=side: gpunn.randint(0, 4, (32, 16, side // 2, side // 2), dtype=gpunn.uint8, device="sim"),
        *(fixed(32, 16, side, side), fixed(16), *_SCALES[:2]),
    )
add(
    "running statistics of instance_norm 8x128x4x4",
    lambda x, mean, var: F.instance_norm(x, mean, var),
    *(normal(8, 128, 4, 4), normal(128), normal(128)),
)
