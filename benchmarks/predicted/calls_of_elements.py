"""Calls that go over elements: reductions, orders, indices, updates."""

from __future__ import annotations

from functools import partial
from typing import Any

import gpunn
from gpunn import ops, optim
from gpunn.nn import functional as F
from gpunn.optim.bound import BoundProducts

from .call import Tensor, add, backward, bytes, fixed, halves, mask, normal, optimizer, whole
from .chains import chain, chain_sum

# Reductions and order ------------------------------------------------------------------------------------------------

add("sum of rows 64x1024", lambda x: x.sum(1), fixed(64, 1024), ladder="reduce")
add("sum of short rows 4096x64", lambda x: x.sum(1), fixed(4096, 64))
add("sum of many short rows 8192x64", lambda x: x.sum(1), fixed(8192, 64))
add("sum of columns 256x256", lambda x: x.sum(0), fixed(256, 256), ladder="reduce")
add("sum of all 512x512", lambda x: x.sum(), fixed(512, 512), ladder="reduce")
add("logsumexp of rows 64x1024", lambda x: gpunn.logsumexp(x, 1), fixed(64, 1024), ladder="reduce")
add("logsumexp of all 512x512", lambda x: gpunn.logsumexp(x, (0, 1)), fixed(512, 512))
add("logsumexp of short rows 4096x64", lambda x: gpunn.logsumexp(x, 1), fixed(4096, 64))
add("logsumexp of many short rows 8192x64", lambda x: gpunn.logsumexp(x, 1), fixed(8192, 64))
add("logsumexp of columns 256x256", lambda x: gpunn.logsumexp(x, 0), fixed(256, 256), ladder="reduce")
add("cumsum 64x1024", lambda x: x.cumsum(1), fixed(64, 1024), ladder="cumsum")
add("argmax of rows 64x1024", lambda x: x.argmax(1), fixed(64, 1024), ladder="extreme")
add("argmax of columns 256x256", lambda x: x.argmax(0), fixed(256, 256), ladder="extreme")
add("sort 4x4096", lambda x: x.sort(1), fixed(4, 4096))
add("sort 16x1024", lambda x: x.sort(1), fixed(16, 1024))

# Elements ------------------------------------------------------------------------------------------------------------

add("tanh 256x256", lambda x: x.tanh(), fixed(256, 256))
add("gelu 256x256", backward(F.gelu), normal(256, 256), fixed(256, 256))
add("clamp 256x256", lambda x: x.clamp(-1, 1), fixed(256, 256))
add("add 256x256", lambda x, y: x + y, fixed(256, 256), fixed(256, 256))
add("add a row 256x256", lambda x, y: x + y, fixed(256, 256), fixed(256))
add("add a column 256x256", lambda x, y: x + y, fixed(256, 256), fixed(256, 1))
add("less 256x256", lambda x, y: x < y, fixed(256, 256), fixed(256, 256))
add("less than a row 256x256", lambda x, y: x < y, fixed(256, 256), fixed(256))
add("isfinite 256x256", lambda x: x.isfinite(), fixed(256, 256))
add("where 256x256", gpunn.where, mask(256, 256), fixed(256, 256), fixed(256, 256))
add("where of a row 256x256", gpunn.where, mask(256, 256), fixed(256), fixed(256, 256))
add("chain 256x256", chain, *[fixed(256, 256)] * 3)
add("chain with a row 256x256", chain, fixed(256, 256), fixed(256), fixed(256, 256))
add("chain summed 64x1024", chain_sum, *[fixed(64, 1024)] * 3)
add("cast 256x256", lambda x: x.to(gpunn.bfloat16), fixed(256, 256))
add("dropout 256x256", lambda x: F.dropout(x, 0.5), fixed(256, 256), ladder="dropout")
add("transpose 256x512", lambda x: x.T.contiguous(), fixed(256, 512), ladder="copy")
add("every second column 256x512", lambda x: x[:, ::2].contiguous(), fixed(256, 512))
add("clone 256x256", lambda x: x.clone(), fixed(256, 256))
add("zeros 256x256", lambda: gpunn.full((256, 256), 1.0, device="sim"))
add("eye 256", lambda: gpunn.eye(256, device="sim"))
add("arange 65536", lambda: gpunn.arange(65536, device="sim"))
add("tril 256x256", lambda x: x.tril(), fixed(256, 256))


def _put(x: Tensor, index: Tensor, values: Tensor) -> None:
    x[index] = values


# Indices -------------------------------------------------------------------------------------------------------------

add(
    "embedding 512 of 256x64",
    backward(lambda w, i: F.embedding(i, w)),
    *(normal(256, 64), whole(256, 512), fixed(512, 64)),
    ladder="embedding_backward",
)
add("one_hot 512 of 256", lambda i: F.one_hot(i, 256), whole(256, 512))
add(
    "index_put 512 of 256x64",
    _put,
    *(fixed(256, 64), whole(256, 512), fixed(512, 64)),
    ladder="index_put",
)
add(
    "index_add 512 of 256x64",
    lambda x, i, v: x.index_add(0, i, v),
    *(fixed(256, 64), whole(256, 512), fixed(512, 64)),
    ladder="index_sum",
)
add("pairs of indices 512 of 256x64", lambda x, i, j: x[i, j], fixed(256, 64), whole(256, 512), whole(64, 512))
add(
    "gather_images 32 of 64x1x28x28",
    ops.gather_images,
    *(bytes(64, 1, 28, 28), whole(64, 32), fixed(1), fixed(1)),
    ladder="gather_images",
)

# Updates -------------------------------------------------------------------------------------------------------------

_SGD = partial(optim.SGD, lr=0.1, momentum=0.9)
for _name, _make in (
    ("SGD", _SGD),
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
    add(f"{_name} 256x256", lambda optimizer: optimizer.step(), optimizer(_make))


def _by_product(made: Any, dz: Tensor, x: Tensor) -> None:
    """A weight's update in the product that makes its gradient."""
    ((weight,),) = (group["params"] for group in made.param_groups)
    BoundProducts(made, weight, None)(dz._data, x._data)


for _name, _make in (("SGD", _SGD), ("Adam", optim.Adam)):
    for _size in (512, 2048):
        _shape = f"{_size}x32x{_size}"
        _made = optimizer(_make, _size, _size)
        add(f"{_name} of a product {_shape}", _by_product, _made, fixed(32, _size), fixed(32, _size))
        add(f"{_name} of a half product {_shape}", _by_product, _made, halves(32, _size), halves(32, _size))
