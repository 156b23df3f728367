"""Products of halves by warpgroups: tiles, layouts, edges, parts, and devices that have none."""

from __future__ import annotations

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.device import DeviceError
from gpunn.backend.kernel import gemm
from gpunn.backend.kernel.gemm import schedule
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.products import computing_in

from .harness import FAST, MODES, compare, simulator
from .test_matmul import layouts, normal


@pytest.fixture(autouse=True)
def chosen():
    with rung("half_product", "wgmma"):
        yield


@pytest.fixture(params=["large", "small"])
def tile(request, monkeypatch):
    """Tiles of this size only."""
    monkeypatch.setattr(gemm, "WGMMA_TILES", {request.param: gemm.WGMMA_TILES[request.param]})
    schedule.cache_clear()
    yield request.param
    schedule.cache_clear()


def launched(monkeypatch) -> list[str]:
    """The names of the kernels that are launched, which then compute nothing."""
    names: list[str] = []
    backend = type(simulator("fast", "forward"))
    monkeypatch.setattr(backend, "launch", lambda self, text, name, *rest, **types: names.append(name))
    return names


@pytest.mark.parametrize("dtype", ["float16", bfloat16])
@pytest.mark.parametrize(
    ("x", "y"),
    [((3, 5), (5, 7)), ((130, 72), (72, 264)), ((66, 33), (33, 130)), ((2, 300), (300, 9)), ((5, 0), (0, 4))],
)
def test_shapes(x, y, dtype, tile):
    both = normal(*x, dtype=dtype), normal(*y, dtype=dtype)
    compare("matmul", *both, modes=MODES if dtype == "float16" else FAST)


def test_layouts(tile):
    """All ways in which lines run, and those where chunks can't be copied at once."""
    for x in layouts(40, 72):
        for y in layouts(72, 136):
            compare("matmul", x.astype("float16", order="K"), y.astype("float16", order="K"), modes=FAST[:1])
    for x, y in ((normal(72, 136).T, normal(264, 72).T), (normal(136, 72), normal(264, 72).T)):
        compare("matmul", x.astype("float16", order="K"), y.astype("float16", order="K"), modes=MODES[2:])
    x = normal(5, 40, 33, dtype="float16")[:, ::2, 1:]
    compare("matmul", x, normal(5, 32, 9, dtype="float16"), modes=FAST[:1])
    compare("matmul", np.broadcast_to(x[:1], x.shape), normal(32, 9, dtype="float16"), modes=FAST[:1])
    compare("matmul", normal(2, 130, 8, dtype="float16"), normal(2, 8, 6, dtype="float16"), modes=FAST[:1])


@pytest.mark.parametrize("more", [128, 512])
def test_shared_memory_may_begin_anywhere(tile, more, monkeypatch):
    """It ends where memory ends, so with some bytes more it does not begin at a multiple of 1,024."""
    monkeypatch.setitem(gemm.WGMMA_SHARED, tile, gemm.WGMMA_SHARED[tile] + more)
    compare("matmul", normal(70, 72, dtype="float16"), normal(72, 136, dtype="float16"), modes=FAST[:1])


def test_sums_in_parts(tile):
    x, y = normal(40, 700, dtype="float16"), normal(700, 36, dtype="float16")
    assert schedule(40, 36, 700, tensor=True, wgmma=True).parts > 1
    compare("matmul", x, y, modes=MODES)
    both = normal(2, 40, 700, dtype="float16"), normal(2, 700, 36, dtype="float16")
    assert schedule(40, 36, 700, 2, tensor=True, wgmma=True).parts > 1
    compare("matmul", *both, modes=FAST[:1])
    compare("linear_activation", x, np.ascontiguousarray(y.T), normal(36, dtype="float16"), "relu", 0.0, modes=FAST)


def test_infinities_and_nan_stay_where_they_belong(tile):
    """What lies beyond an edge is zero, and not what stands in memory behind it."""
    big = np.full((80, 48), np.nan, np.float16)
    big[:70, :40] = 1
    got = simulator("fast", "forward").matmul(big[:70, :40], np.ones((40, 9), np.float16))
    assert (got == 40).all()
    x = normal(70, 40, dtype="float16")
    x[3, 5], x[4, 6] = np.inf, np.nan
    got = simulator("fast", "forward").matmul(x, np.ones((40, 9), np.float16))
    assert (got[3] == np.inf).all() and np.isnan(got[4]).all() and np.isfinite(np.delete(got, [3, 4], 0)).all()


def test_floats_as_bfloat16_take_it_and_those_in_tf32_do_not(monkeypatch):
    x, y = normal(40, 24), normal(24, 16)
    backend = simulator("fast", "forward")
    halves = (a.astype(bfloat16).astype(np.float32) for a in (x, y))
    with computing_in("medium"):
        np.testing.assert_allclose(backend.matmul(x, y), np.matmul(*halves), rtol=1e-5, atol=1e-5)
    names = launched(monkeypatch)
    for precision in ("medium", "high", "highest"):
        with computing_in(precision):
            backend.matmul(x, y)
    products = [name for name in names if name.startswith("matmul")]
    assert [name.rsplit("_", 1)[0] for name in products] == ["matmul_wgmma", "matmul_tensor", "matmul"]


def test_a_device_without_it_says_so_and_it_is_taken_only_where_it_is_chosen(monkeypatch):
    backend, x = simulator("fast", "forward"), normal(8, 8, dtype="float16")
    monkeypatch.setattr(type(backend), "warpgroups", False)
    with pytest.raises(DeviceError, match=r"rung 'wgmma' is for GPUs of compute capability 9.0 \(H100, H200\)"):
        backend.matmul(x, x)
    monkeypatch.setattr(type(backend), "warpgroups", True)
    names = launched(monkeypatch)
    backend.matmul(x, x)
    with rung("half_product", "tensor"):
        backend.matmul(x, x)
    with rung("half_product", None):
        backend.matmul(x, x)
    assert names == ["matmul_wgmma_small", "matmul_tensor_small", "matmul_tensor_small"]
