"""A call of each operation that has kernels of its own, at a shape that fills some blocks and has whole quads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gpunn
from gpunn import ops, optim
from gpunn.autograd.tape import apply
from gpunn.backend.kernel.ladder import LADDERS
from gpunn.backend.products import computing_in
from gpunn.nn import functional as F
from gpunn.ops.cross_entropy import SoftmaxCrossEntropyGradient
from gpunn.ops.recurrent import recurrent_layer

from .chains import chain, chain_sum

Tensor = gpunn.Tensor


@dataclass(frozen=True)
class Call:
    """Some work on the device sim.

    Attributes:
        inputs: makes what the work takes.
        work: is counted.
        ladder: of which each rung in `rungs` is counted; empty: what is picked.
    """

    inputs: Callable[[], tuple[Any, ...]]
    work: Callable[..., Any]
    ladder: str = ""
    rungs: tuple[str, ...] = ()


CALLS: dict[str, Call] = {}


def _add(name: str, work: Callable[..., Any], *inputs: Callable[[], Any], ladder: str = "") -> None:
    """A call forward and, where inputs have a gradient, backward: the last input is then the gradient of the result."""
    rungs = LADDERS[ladder].rungs if ladder else ()
    CALLS[name] = Call(lambda: tuple(make() for make in inputs), work, ladder, rungs)


def _normal(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randn(*shape, device="sim", requires_grad=True)


def _fixed(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randn(*shape, device="sim")


def _halves(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randn(*shape, device="sim", dtype=gpunn.bfloat16, requires_grad=True)


def _whole(high: int, *shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randint(0, high, shape, device="sim")


def _mask(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randn(*shape, device="sim") > 0


def _bytes(*shape: int) -> Callable[[], Tensor]:
    return lambda: gpunn.randint(0, 256, shape, device="sim").to(gpunn.uint8)


def _backward(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """The function and its gradients; the last argument is the gradient of its result."""

    def work(*inputs: Tensor) -> Any:
        *given, dy = inputs
        y = function(*given)
        return y, gpunn.autograd.grad(y, [x for x in given if x.requires_grad], dy)

    return work


def _in_tf32(work: Callable[..., Any]) -> Callable[..., Any]:
    """The work, with factors of products rounded to TF32."""

    def inside(*inputs: Tensor) -> Any:
        with computing_in("high"):
            return work(*inputs)

    return inside


def _optimizer(make: Callable[[list[Tensor]], Any]) -> Callable[[], Any]:
    """An optimizer of one parameter, which has made a step and its moments."""

    def made() -> Any:
        p = gpunn.randn(256, 256, device="sim", requires_grad=True)
        p.grad = gpunn.randn(256, 256, device="sim")
        optimizer = make([p])
        optimizer.step()
        return optimizer

    return made


# Products ------------------------------------------------------------------------------------------------------------

_add(
    "matmul 256x128x256",
    _backward(gpunn.matmul),
    _normal(256, 128),
    _normal(128, 256),
    _fixed(256, 256),
    ladder="matmul",
)
_add(
    "half product 256x256x256",
    _backward(lambda x, w, b: gpunn.nn.functional.linear(x, w, b).relu()),
    _halves(256, 256),
    _halves(256, 256),
    _halves(256),
    _halves(256, 256),
    ladder="half_product",
)
_add("half product 2048x64x2048", gpunn.matmul, _halves(2048, 64), _halves(64, 2048))
_add("TF32 product 2048x64x2048", _in_tf32(gpunn.matmul), _fixed(2048, 64), _fixed(64, 2048))
_add(
    "TF32 linear 256x256x256",
    _in_tf32(_backward(lambda x, w, b: gpunn.nn.functional.linear(x, w, b).relu())),
    _normal(256, 256),
    _normal(256, 256),
    _normal(256),
    _fixed(256, 256),
)
_add("matmul 2048x32x2048", gpunn.matmul, _fixed(2048, 32), _fixed(32, 2048))
_add("matmul 1024x32x512", gpunn.matmul, _fixed(1024, 32), _fixed(32, 512))
_add("matmul 16x512x64", gpunn.matmul, _fixed(16, 512), _fixed(512, 64))


def _linear(x: Any, w: Any, b: Any) -> Any:
    return F.linear_activation(x, w, b, "relu")


_WEIGHTS = _normal(256, 128), _normal(256), _fixed(128, 256)
_add("linear 128x128x256", _backward(_linear), _normal(128, 128), *_WEIGHTS, ladder="linear_forward")
_add("linear backward 128x128x256", _backward(_linear), _normal(128, 128), *_WEIGHTS, ladder="linear_backward")
_add("linear 2048x32x2048", _linear, _fixed(2048, 32), _fixed(2048, 32), _fixed(2048))
_add(
    "linear backward 32x2048x2048",
    _backward(_linear),
    *(_normal(32, 2048), _normal(2048, 2048), _normal(2048), _fixed(32, 2048)),
)

# Convolutions and pooling --------------------------------------------------------------------------------------------


def _conv(x: Any, w: Any, b: Any) -> Any:
    return F.conv2d(x, w, b, padding=1)


_add(
    "conv2d 4x16x16x16, 16 of 3x3",
    _backward(_conv),
    *(_normal(4, 16, 16, 16), _normal(16, 16, 3, 3), _normal(16), _fixed(4, 16, 16, 16)),
    ladder="conv2d",
)
_add(
    "conv2d 4x8x16x16, 8 groups of 3x3",
    _backward(lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=8)),
    *(_normal(4, 8, 16, 16), _normal(8, 1, 3, 3), _normal(8), _fixed(4, 8, 16, 16)),
)
_add("conv2d 16x32x16x16, 64 of 3x3", _conv, _fixed(16, 32, 16, 16), _fixed(64, 32, 3, 3), _fixed(64))
_TENSOR_CONV = _backward(lambda x, w, b: F.conv2d(x, w, b, padding=1))
_add(
    "half conv2d 16x32x16x16, 64 of 3x3",
    _TENSOR_CONV,
    _halves(16, 32, 16, 16),
    _halves(64, 32, 3, 3),
    _halves(64),
    _halves(16, 64, 16, 16),
)
_add(
    "TF32 conv2d 16x32x16x16, 64 of 3x3",
    _in_tf32(_TENSOR_CONV),
    _normal(16, 32, 16, 16),
    _normal(64, 32, 3, 3),
    _normal(64),
    _fixed(16, 64, 16, 16),
)
_add("half conv2d 64x32x16x16, 128 of 3x3", F.conv2d, _halves(64, 32, 16, 16), _halves(128, 32, 3, 3))
_add("TF32 conv2d 64x32x16x16, 128 of 3x3", _in_tf32(F.conv2d), _fixed(64, 32, 16, 16), _fixed(128, 32, 3, 3))
_add("conv2d 32x8x32x32, 64 of 3x3", _conv, _fixed(32, 8, 32, 32), _fixed(64, 8, 3, 3), _fixed(64))
_add("conv2d 16x8x32x32, 128 of 3x3", _conv, _fixed(16, 8, 32, 32), _fixed(128, 8, 3, 3), _fixed(128))
_UNFOLD = _backward(lambda x: F.unfold(x, 3, padding=1))
_add("unfold 4x16x16x16", _UNFOLD, _normal(4, 16, 16, 16), _fixed(4, 144, 256), ladder="im2col")
_add("fold 4x16x16x16", _UNFOLD, _normal(4, 16, 16, 16), _fixed(4, 144, 256), ladder="col2im")
_add(
    "max_pool2d 8x16x32x32",
    _backward(lambda x: F.max_pool2d(x, 2)),
    *(_normal(8, 16, 32, 32), _fixed(8, 16, 16, 16)),
    ladder="max_pool_backward",
)
_add(
    "max_pool2d with indices 8x16x32x32",
    lambda x: F.max_pool2d(x, 2, return_indices=True),
    _fixed(8, 16, 32, 32),
    ladder="max_pool",
)


def _twice_max_pool(x: Tensor, dy: Tensor) -> Any:
    """The gradient of a gradient of max pooling gathers."""
    dy.requires_grad_()
    (dx,) = gpunn.autograd.grad(F.max_pool2d(x, 2), [x], dy, create_graph=True)
    return gpunn.autograd.grad(dx, [dy], x.detach())


_add("max_pool2d twice 8x16x32x32", _twice_max_pool, _normal(8, 16, 32, 32), _fixed(8, 16, 16, 16))
_add("avg_pool2d 8x16x32x32", _backward(lambda x: F.avg_pool2d(x, 2)), _normal(8, 16, 32, 32), _fixed(8, 16, 16, 16))
_add(
    "adaptive_avg_pool2d 8x64x16x16",
    _backward(lambda x: F.adaptive_avg_pool2d(x, 1)),
    *(_normal(8, 64, 16, 16), _fixed(8, 64, 1, 1)),
    ladder="adaptive_avg_pool",
)

# Rows ----------------------------------------------------------------------------------------------------------------

_SOFTMAX = _backward(lambda x: F.softmax(x, 1))
_add("softmax 64x1024", _SOFTMAX, _normal(64, 1024), _fixed(64, 1024), ladder="softmax")
_add("softmax 16x32x64, axis 1", _SOFTMAX, _normal(16, 32, 64), _fixed(16, 32, 64), ladder="softmax")
_ATTENTION = _normal(2, 4, 128, 64), _normal(2, 4, 128, 64), _normal(2, 4, 128, 64), _fixed(2, 4, 128, 64)
_add("attention 2x4x128x64", _backward(F.scaled_dot_product_attention), *_ATTENTION)
_add(
    "attention 2x4x128x64, causal",
    _backward(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
    *_ATTENTION,
)
_add(
    "attention 2x4x128x64, dropout",
    _backward(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.1)),
    *_ATTENTION,
)


def _entropy(x: Any, t: Any) -> Any:
    return F.cross_entropy(x, t, reduction="none")


_add(
    "cross_entropy 128x1024",
    _backward(_entropy),
    _normal(128, 1024),
    _whole(1024, 128),
    _fixed(128),
    ladder="cross_entropy",
)
_add(
    "cross_entropy 8192x16, weighted",
    _backward(lambda x, w, t: F.cross_entropy(x, t, w)),
    *(_normal(8192, 16), lambda: gpunn.rand(16, device="sim"), _whole(16, 8192), _fixed()),
)


def _loss_and_gradient(dl: Any, x: Any, t: Any) -> Any:
    return apply(SoftmaxCrossEntropyGradient(), dl, x, t, None)


_add(
    "cross_entropy and gradient 128x1024",
    _loss_and_gradient,
    *(_fixed(), _normal(128, 1024), _whole(1024, 128)),
    ladder="cross_entropy",
)
_add(
    "nll_loss 128x1024",
    _backward(F.nll_loss),
    *(_normal(128, 1024), _whole(1024, 128), _fixed()),
)
_add("nll_loss 16x64x64", _backward(F.nll_loss), _normal(16, 64, 64), _whole(64, 16, 64), _fixed())
_add(
    "nll_loss 73728x4",
    _backward(lambda x, w, t: F.nll_loss(x, t, w)),
    *(_normal(73728, 4), lambda: gpunn.rand(4, device="sim"), _whole(4, 73728), _fixed()),
)
_add(
    "binary_cross_entropy_with_logits 128x512",
    _backward(F.binary_cross_entropy_with_logits),
    *(_normal(128, 512), lambda: gpunn.rand(128, 512, device="sim"), _fixed()),
)
_add(
    "binary_cross_entropy 128x512",
    F.binary_cross_entropy,
    *(lambda: gpunn.rand(128, 512, device="sim"), lambda: gpunn.rand(128, 512, device="sim")),
)
_add(
    "layer_norm 64x1024",
    _backward(lambda x, w, b: F.layer_norm(x, (1024,), w, b)),
    *(_normal(64, 1024), _normal(1024), _normal(1024), _fixed(64, 1024)),
    ladder="row_norm",
)
_add(
    "group_norm 8x32x16x16",
    _backward(lambda x, w, b: F.group_norm(x, 8, w, b)),
    *(_normal(8, 32, 16, 16), _normal(32), _normal(32), _fixed(8, 32, 16, 16)),
)
_add(
    "layer_norm 4096x64",
    _backward(lambda x, w, b: F.layer_norm(x, (64,), w, b)),
    *(_normal(4096, 64), _normal(64), _normal(64), _fixed(4096, 64)),
)


def _layer(mode: str) -> Callable[..., Tensor]:
    """The states of a layer; of an LSTM c too, whose gradient is then one more thing that is read."""

    def work(x: Any, w: Any, b: Any, *first: Any) -> Any:
        states = recurrent_layer(mode, x, w, b, first)
        return states[0] if len(states) == 1 else states[0] + states[1]

    return work


for mode, gates in (("RNN_TANH", 1), ("RNN_RELU", 1), ("LSTM", 4), ("GRU", 3)):
    _add(
        f"{mode.lower()} 6x16x128",
        _backward(_layer(mode)),
        *(_normal(6, 16, gates * 128), _normal(gates * 128, 128), _normal(gates * 128)),
        *(*[_normal(16, 128)] * (2 if mode == "LSTM" else 1), _fixed(6, 16, 128)),
    )


def _norm(x: Any, w: Any, b: Any) -> Any:
    return F.batch_norm(x, None, None, w, b, training=True)


_add(
    "batch_norm 8x16x32x32",
    _backward(_norm),
    *(_normal(8, 16, 32, 32), _normal(16), _normal(16), _fixed(8, 16, 32, 32)),
    ladder="batch_norm",
)
_add(
    "batch_norm 512x128",
    _backward(_norm),
    *(_normal(512, 128), _normal(128), _normal(128), _fixed(512, 128)),
    ladder="batch_norm",
)

# Reductions and order ------------------------------------------------------------------------------------------------

_add("sum of rows 64x1024", lambda x: x.sum(1), _fixed(64, 1024), ladder="reduce")
_add("sum of short rows 4096x64", lambda x: x.sum(1), _fixed(4096, 64))
_add("sum of columns 256x256", lambda x: x.sum(0), _fixed(256, 256), ladder="reduce")
_add("sum of all 512x512", lambda x: x.sum(), _fixed(512, 512), ladder="reduce")
_add("logsumexp of rows 64x1024", lambda x: gpunn.logsumexp(x, 1), _fixed(64, 1024), ladder="reduce")
_add("logsumexp of all 512x512", lambda x: gpunn.logsumexp(x, (0, 1)), _fixed(512, 512))
_add("logsumexp of short rows 4096x64", lambda x: gpunn.logsumexp(x, 1), _fixed(4096, 64))
_add("logsumexp of columns 256x256", lambda x: gpunn.logsumexp(x, 0), _fixed(256, 256), ladder="reduce")
_add("cumsum 64x1024", lambda x: x.cumsum(1), _fixed(64, 1024), ladder="cumsum")
_add("argmax of rows 64x1024", lambda x: x.argmax(1), _fixed(64, 1024), ladder="extreme")
_add("argmax of columns 256x256", lambda x: x.argmax(0), _fixed(256, 256), ladder="extreme")
_add("sort 4x4096", lambda x: x.sort(1), _fixed(4, 4096))
_add("sort 16x1024", lambda x: x.sort(1), _fixed(16, 1024))

# Elements ------------------------------------------------------------------------------------------------------------

_add("tanh 256x256", lambda x: x.tanh(), _fixed(256, 256))
_add("gelu 256x256", _backward(F.gelu), _normal(256, 256), _fixed(256, 256))
_add("clamp 256x256", lambda x: x.clamp(-1, 1), _fixed(256, 256))
_add("add 256x256", lambda x, y: x + y, _fixed(256, 256), _fixed(256, 256))
_add("add a row 256x256", lambda x, y: x + y, _fixed(256, 256), _fixed(256))
_add("add a column 256x256", lambda x, y: x + y, _fixed(256, 256), _fixed(256, 1))
_add("less 256x256", lambda x, y: x < y, _fixed(256, 256), _fixed(256, 256))
_add("less than a row 256x256", lambda x, y: x < y, _fixed(256, 256), _fixed(256))
_add("isfinite 256x256", lambda x: x.isfinite(), _fixed(256, 256))
_add("where 256x256", gpunn.where, _mask(256, 256), _fixed(256, 256), _fixed(256, 256))
_add("where of a row 256x256", gpunn.where, _mask(256, 256), _fixed(256), _fixed(256, 256))
_add("chain 256x256", chain, *[_fixed(256, 256)] * 3)
_add("chain with a row 256x256", chain, _fixed(256, 256), _fixed(256), _fixed(256, 256))
_add("chain summed 64x1024", chain_sum, *[_fixed(64, 1024)] * 3)
_add("cast 256x256", lambda x: x.to(gpunn.bfloat16), _fixed(256, 256))
_add("dropout 256x256", lambda x: F.dropout(x, 0.5), _fixed(256, 256), ladder="dropout")
_add("transpose 256x512", lambda x: x.T.contiguous(), _fixed(256, 512), ladder="copy")
_add("every second column 256x512", lambda x: x[:, ::2].contiguous(), _fixed(256, 512))
_add("clone 256x256", lambda x: x.clone(), _fixed(256, 256))
_add("zeros 256x256", lambda: gpunn.full((256, 256), 1.0, device="sim"))
_add("eye 256", lambda: gpunn.eye(256, device="sim"))
_add("arange 65536", lambda: gpunn.arange(65536, device="sim"))
_add("tril 256x256", lambda x: x.tril(), _fixed(256, 256))


def _put(x: Tensor, index: Tensor, values: Tensor) -> None:
    x[index] = values


# Indices -------------------------------------------------------------------------------------------------------------

_add(
    "embedding 512 of 256x64",
    _backward(lambda w, i: F.embedding(i, w)),
    *(_normal(256, 64), _whole(256, 512), _fixed(512, 64)),
    ladder="embedding_backward",
)
_add("one_hot 512 of 256", lambda i: F.one_hot(i, 256), _whole(256, 512))
_add(
    "index_put 512 of 256x64",
    _put,
    *(_fixed(256, 64), _whole(256, 512), _fixed(512, 64)),
    ladder="index_put",
)
_add(
    "index_add 512 of 256x64",
    lambda x, i, v: x.index_add(0, i, v),
    *(_fixed(256, 64), _whole(256, 512), _fixed(512, 64)),
    ladder="index_sum",
)
_add("pairs of indices 512 of 256x64", lambda x, i, j: x[i, j], _fixed(256, 64), _whole(256, 512), _whole(64, 512))
_add(
    "gather_images 32 of 64x1x28x28",
    ops.gather_images,
    *(_bytes(64, 1, 28, 28), _whole(64, 32), _fixed(1), _fixed(1)),
    ladder="gather_images",
)

# Updates -------------------------------------------------------------------------------------------------------------

for _name, _make in (
    ("SGD", lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9)),
    ("Adam", optim.Adam),
    ("RMSprop", optim.RMSprop),
    ("Adagrad", optim.Adagrad),
    ("Adadelta", optim.Adadelta),
    ("Adamax", optim.Adamax),
    ("NAdam", optim.NAdam),
    ("RAdam", optim.RAdam),
    ("ASGD", optim.ASGD),
    ("Rprop", optim.Rprop),
    ("Lion", optim.Lion),
):
    _add(f"{_name} 256x256", lambda optimizer: optimizer.step(), _optimizer(_make))
