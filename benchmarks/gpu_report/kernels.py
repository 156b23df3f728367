"""Our kernels beside what a CuPy user would write for the same: the operations of W7, and some that everybody uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import gpunn
from gpunn.nn import functional as F

from .setup import Row, Setup


@dataclass(frozen=True)
class Kernel:
    """An operation in two ways.

    Attributes:
        name: what it is called.
        sizes: of its arrays, on a GPU; `tiny` ones on the simulator.
        make: its inputs, from a setup and the sizes.
        ours: takes them as tensors.
        theirs: takes the array module and the arrays; None where CuPy has nothing like it.
        bytes: what has to be read and written at least, from the inputs' and the result's bytes.
    """

    name: str
    sizes: tuple[int, ...]
    tiny: tuple[int, ...]
    make: Callable[..., tuple[Any, ...]]
    ours: Callable[..., Any]
    theirs: Callable[..., Any] | None = None
    rtol: float = 1e-4


def _matrix(setup: Setup, *sizes: int) -> tuple[Any, ...]:
    return (setup.normal(*sizes),)


def _two(setup: Setup, *sizes: int) -> tuple[Any, ...]:
    return setup.normal(*sizes), setup.normal(*sizes)


def _product(setup: Setup, m: int, k: int, n: int) -> tuple[Any, ...]:
    return setup.normal(m, k), setup.normal(n, k), setup.normal(n)


def _labelled(setup: Setup, n: int, classes: int) -> tuple[Any, ...]:
    labels = setup.rng.integers(0, classes, n)
    return setup.normal(n, classes), setup.device.backend.from_numpy(labels)


def _convolution(setup: Setup, n: int, c: int, size: int, o: int) -> tuple[Any, ...]:
    return setup.normal(n, c, size, size), setup.normal(o, c, 3, 3), setup.normal(o)


def _softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _cross_entropy(xp: Any, x: Any, t: Any) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    log_sum = xp.log(xp.exp(shifted).sum(axis=1))
    return (log_sum - shifted[xp.arange(len(x)), t]).mean()


def _layer_norm(xp: Any, x: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / xp.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(1e-5))


def _batch_norm(xp: Any, x: Any) -> Any:
    centred = x - x.mean(axis=(0, 2, 3), keepdims=True)
    return centred / xp.sqrt((centred * centred).mean(axis=(0, 2, 3), keepdims=True) + np.float32(1e-5))


IMAGES = ((256, 128, 32, 32), (2, 3, 8, 8))
KERNELS = (
    Kernel("add", (8192, 8192), (4, 5), _two, lambda x, y: x + y, lambda xp, x, y: x + y),
    Kernel("tanh", (8192, 8192), (4, 5), _matrix, lambda x: x.tanh(), lambda xp, x: xp.tanh(x)),
    Kernel("gelu", (8192, 8192), (4, 5), _matrix, lambda x: F.gelu(x)),
    Kernel(
        "transpose", (8192, 8192), (4, 5), _matrix, lambda x: x.T.contiguous(), lambda xp, x: xp.ascontiguousarray(x.T)
    ),
    Kernel("sum of rows", (8192, 8192), (4, 5), _matrix, lambda x: x.sum(1), lambda xp, x: x.sum(axis=1), rtol=1e-3),
    Kernel("sum of columns", (8192, 8192), (4, 5), _matrix, lambda x: x.sum(0), lambda xp, x: x.sum(axis=0), rtol=1e-3),
    Kernel("sum of all", (8192, 8192), (4, 5), _matrix, lambda x: x.sum(), lambda xp, x: x.sum(), rtol=1e-2),
    Kernel(
        "running sum",
        (8192, 8192),
        (4, 5),
        _matrix,
        lambda x: x.cumsum(1),
        lambda xp, x: xp.cumsum(x, axis=1),
        rtol=1e-2,
    ),
    Kernel("softmax", (16384, 1000), (4, 5), _matrix, lambda x: F.softmax(x, 1), _softmax),
    Kernel("cross entropy", (16384, 1000), (4, 5), _labelled, F.cross_entropy, _cross_entropy),
    Kernel(
        "layer norm", (16384, 1024), (4, 5), _matrix, lambda x: F.layer_norm(x, x.shape[1:]), _layer_norm, rtol=1e-3
    ),
    Kernel(
        "batch norm", *IMAGES, _matrix, lambda x: F.batch_norm(x, None, None, training=True), _batch_norm, rtol=1e-3
    ),
    Kernel("max pool 2 x 2", *IMAGES, _matrix, lambda x: F.max_pool2d(x, 2)),
    Kernel("average pool 2 x 2", *IMAGES, _matrix, lambda x: F.avg_pool2d(x, 2)),
    Kernel("im2col 3 x 3", (64, 64, 32, 32), (2, 3, 8, 8), _matrix, lambda x: F.unfold(x, 3, padding=1)),
    Kernel(
        "convolution 3 x 3", (64, 64, 32, 64), (2, 3, 8, 4), _convolution, lambda x, w, b: F.conv2d(x, w, b, padding=1)
    ),
    *(
        Kernel(
            "product",
            (m, k, n),
            (4, 5, 6),
            _product,
            lambda x, w, b: x @ w.T,
            lambda xp, x, w, b: x @ w.T,
            rtol=1e-3,
        )
        for m, k, n in ((32, 784, 512), (128, 784, 512), (2048, 784, 512), (1024, 1024, 1024), (4096, 4096, 4096))
    ),
    *(
        Kernel(
            "linear, bias, relu",
            (m, k, n),
            (4, 5, 6),
            _product,
            lambda x, w, b: F.linear_activation(x, w, b, "relu"),
            lambda xp, x, w, b: xp.maximum(x @ w.T + b, 0),
            rtol=1e-3,
        )
        for m, k, n in ((128, 784, 512), (16384, 784, 512))
    ),
)


def kernels(setup: Setup) -> Iterator[Row]:
    """A row for each operation, forward, and where it has a gradient also forward and backward."""
    for kernel in KERNELS:
        try:
            yield _row(setup, kernel)
        except Exception as error:
            yield {"name": kernel.name, "error": f"{type(error).__name__}: {error}"[:300]}
    for n in (1000,) if setup.tiny else (670_000, 67_000_000):
        try:
            yield from updates(setup, n)
        except Exception as error:
            yield {"name": f"updates of {n:,} parameters", "error": f"{type(error).__name__}: {error}"[:300]}


def _row(setup: Setup, kernel: Kernel) -> Row:
    sizes = kernel.tiny if setup.tiny else kernel.sizes
    following = setup.rotated(lambda: kernel.make(setup, *sizes))
    arrays = following()
    result = _ours(kernel, arrays)
    moved = sum(a.nbytes for a in arrays) + result.nbytes
    time = setup.measure(lambda: _ours(kernel, following()))
    row: Row = {"name": kernel.name, "sizes": list(sizes), "bytes": moved, "gb_s": moved / time["us"] / 1e3, **time}
    gradient = lambda: _gradient(kernel, following())  # noqa: E731
    row["with_gradient_us"] = setup.measure(gradient)["us"]
    return {**row, **_theirs(setup, kernel, result, arrays, following)}


def _theirs(setup: Setup, kernel: Kernel, result: gpunn.Tensor, arrays: Any, following: Callable[[], Any]) -> Row:
    """CuPy's time, and how far its result is from ours; nothing where it has no such operation, or can't do it."""
    if kernel.theirs is None:
        return {}
    try:
        expected = kernel.theirs(setup.xp, *arrays)
        time = setup.measure(lambda: kernel.theirs(setup.xp, *following()))  # type: ignore[misc]
    except Exception as error:  # cuBLAS may be missing
        return {"cupy_error": f"{type(error).__name__}: {error}"[:300]}
    difference = _difference(setup, result, expected)
    return {"error_to_cupy": difference, "agrees": difference <= kernel.rtol, "cupy_us": time["us"]}


def _ours(kernel: Kernel, arrays: Any) -> gpunn.Tensor:
    with gpunn.no_grad():
        result: gpunn.Tensor = kernel.ours(*(tensor_of(a) for a in arrays))
    return result


def _gradient(kernel: Kernel, arrays: Any) -> None:
    tensors = [tensor_of(a) for a in arrays]
    floats = [t.requires_grad_() for t in tensors if t.is_floating_point()]
    y = kernel.ours(*tensors)
    gpunn.autograd.grad(y, floats, gpunn.ones_like(y), allow_unused=True)


def tensor_of(array: Any) -> gpunn.Tensor:
    """A tensor on the setup's device that shares the memory of its array."""
    if isinstance(array, np.ndarray):  # the simulator's
        return gpunn.tensor(array, device="sim")
    return gpunn.as_tensor(array)


def _difference(setup: Setup, result: gpunn.Tensor, expected: Any) -> float:
    """The largest difference, relative to the largest element."""
    backend = setup.device.backend
    got = backend.to_numpy(result._data).astype(np.float64)
    wanted = backend.to_numpy(backend.asarray(expected)).astype(np.float64)
    return float(np.max(np.abs(got - wanted)) / max(np.max(np.abs(wanted)), 1e-30))


def updates(setup: Setup, n: int) -> Iterator[Row]:
    """Steps of optimizers on n parameters; for Adam 28 bytes each: p, m and v read and written, g read."""
    p = gpunn.tensor(setup.rng.standard_normal(n, dtype=np.float32), device=setup.device, requires_grad=True)
    p.grad = gpunn.ones_like(p)
    for name, optimizer, size in (
        ("SGD", gpunn.optim.SGD([p], lr=1e-3), 12),
        ("SGD with momentum", gpunn.optim.SGD([p], lr=1e-3, momentum=0.9), 20),
        ("Adam", gpunn.optim.Adam([p]), 28),
    ):
        time = setup.measure(optimizer.step)
        yield {"name": f"{name}, {n:,} parameters", "bytes": size * n, "gb_s": size * n / time["us"] / 1e3, **time}
