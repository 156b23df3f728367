"""What the device can do at best, by CuPy and cuBLAS, and what a launch costs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import gpunn

from .setup import Row, Setup


def ceilings(setup: Setup) -> Iterator[Row]:
    """Bandwidth of copies, launches, products of matrices in each precision."""
    for find in (copies, launches, products):
        try:
            yield from find(setup)
        except Exception as error:
            yield {"name": find.__name__, "error": f"{type(error).__name__}: {error}"[:300]}


def products_tf32(setup: Setup) -> Iterator[Row]:
    """Products in TF32, which CuPy allows by ``CUPY_TF32`` in the environment of its process."""
    assert os.environ.get("CUPY_TF32") == "1"
    yield from products(setup, {"TF32": "float32"})


def copies(setup: Setup) -> Iterator[Row]:
    """On the device, from the host and to it; the bytes read and written per second."""
    xp, backend = setup.xp, setup.device.backend
    n = 1 << (12 if setup.tiny else 28)
    a, b = setup.normal(n), backend.empty((n,), "float32")
    yield _bandwidth("copy on the device", 2 * a.nbytes, setup.measure(lambda: xp.copyto(b, a)))
    yield _bandwidth("copy on the device, our kernel", 2 * a.nbytes, setup.measure(lambda: backend.copy(a, out=b)))
    yield _bandwidth(
        "fill on the device, our kernel", a.nbytes, setup.measure(lambda: backend.full((n,), 1, "float32", out=b))
    )
    host = backend.to_numpy(a[: n // 4])
    yield _bandwidth("from the host", host.nbytes, setup.measure(lambda: backend.from_numpy(host), repeats=5))
    yield _bandwidth("to the host", host.nbytes, setup.measure(lambda: backend.to_numpy(a[: n // 4]), repeats=5))


def _bandwidth(name: str, size: int, time: Row) -> Row:
    return {"name": name, "bytes": size, "gb_s": size / time["us"] / 1e3, **time}


PRECISIONS = {"float32": "float32", "float16": "float16", "bfloat16": "bfloat16", "float64": "float64"}


def products(setup: Setup, precisions: dict[str, str] = PRECISIONS) -> Iterator[Row]:
    """Square products, and those of W1's hidden layer, by cuBLAS."""
    shapes = [(n, n, n) for n in (512, 1024, 2048, 4096, 8192)] + [(m, 784, 512) for m in (32, 128, 512, 2048)]
    for precision, dtype in precisions.items():
        for m, k, n in [(4, 5, 6)] if setup.tiny else shapes:
            row: Row = {"name": f"product {m} x {k} x {n}", "precision": precision}
            try:
                x, y = setup.normal(m, k, dtype=dtype), setup.normal(k, n, dtype=dtype)
                time = setup.measure(lambda x=x, y=y: setup.xp.matmul(x, y), repeats=8)  # type: ignore[misc]
                yield {**row, "tflop_s": 2 * m * n * k / time["us"] / 1e6, **time}
            except Exception as error:  # a precision that this CuPy does not have
                yield {**row, "error": f"{type(error).__name__}: {error}"}


def launches(setup: Setup) -> Iterator[Row]:
    """What the host spends on one launch, by CuPy and by us, and what a kernel in a graph costs the device."""
    xp, backend = setup.xp, setup.device.backend
    x, y = setup.normal(1024), setup.normal(1024)
    out = backend.empty((1024,), "float32")
    t, u = gpunn.as_tensor(x, device=setup.device), gpunn.as_tensor(y, device=setup.device)
    fill = lambda: backend.full((1024,), 1, "float32", out=out)  # noqa: E731
    yield {"name": "xp.add(x, y, out=), 1024 elements", **setup.measure(lambda: xp.add(x, y, out=out))}
    yield {"name": "our fill, 1024 elements, checked launch", **setup.measure(fill)}
    yield {"name": "gpunn x + y, 1024 elements", **setup.measure(lambda: t + u)}
    yield {"name": "memory of 1024 elements", **setup.measure(lambda: backend.empty((1024,), "float32"))}
    yield {"name": "synchronize", **setup.measure(backend.synchronize)}
    if setup.device.type == "cuda":
        with gpunn.cuda.Stream(setup.device).cupy as stream:
            for count in (1, 100, 1000):
                stream.begin_capture()
                for _ in range(count):
                    fill()
                graph = stream.end_capture()
                yield {"name": f"graph of {count} kernels", **setup.measure(graph.launch)}
