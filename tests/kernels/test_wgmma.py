"""Products of halves by warpgroups: tiles, layouts, edges, parts, and devices that have none."""

from __future__ import annotations

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.device import DeviceError
from gpunn.backend.kernel import gemm, tiles
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
def tile(request, replan):
    """Tiles of this size only."""
    replan(gemm, "WGMMA_TILES", {request.param: gemm.WGMMA_TILES[request.param]})
    return request.param


def launched(monkeypatch) -> list[str]:
    """The names of the kernels that are launched, which then compute nothing."""
    names: list[str] = []
    backend = type(simulator("fast", "forward"))
    monkeypatch.setattr(backend, "launch", lambda self, text, name, *rest, **types: names.append(name))
    return names


@pytest.mark.parametrize("dtype", ["float16", bfloat16])
@pytest.mark.parametrize(
    ("x", "y"),
    [((3, 8), (8, 16)), ((130, 72), (72, 264)), ((66, 40), (40, 136)), ((2, 328), (328, 8)), ((64, 64), (64, 128))],
)
def test_shapes(x, y, dtype, tile):
    both = normal(*x, dtype=dtype), normal(*y, dtype=dtype)
    compare("matmul", *both, modes=MODES if dtype == "float16" else FAST)


def odd(*shape: int) -> np.ndarray:
    """Elements that begin two bytes behind a multiple of 16."""
    memory = np.zeros(np.prod(shape) + 16, np.float16)
    start = (-memory.ctypes.data // 2) % 8 + 1
    x = memory[start : start + np.prod(shape)].reshape(shape)
    x[...] = normal(*shape)
    return x


HALF = "float16"
FACTORS = {  # each with whether a tensor map describes both
    "lines of multiples of 16 bytes": (lambda: (normal(66, 40, dtype=HALF), normal(40, 136, dtype=HALF)), True),
    "other lines of x": (lambda: (normal(66, 33, dtype=HALF), normal(33, 136, dtype=HALF)), False),
    "other lines of y": (lambda: (normal(66, 40, dtype=HALF), normal(40, 130, dtype=HALF)), False),
    "lines that are cut": (lambda: (normal(66, 40, dtype=HALF)[:, :33], normal(33, 136, dtype=HALF)), True),
    "a single line": (lambda: (normal(1, 33, dtype=HALF), normal(33, 136, dtype=HALF)), True),
    "x between multiples of 16 bytes": (lambda: (odd(66, 40), normal(40, 136, dtype=HALF)), False),
    "y between multiples of 16 bytes": (lambda: (normal(66, 40, dtype=HALF), odd(40, 136)), False),
    "one line again and again": (
        lambda: (np.broadcast_to(normal(1, 40, dtype=HALF), (66, 40)), normal(40, 136, dtype=HALF)),
        False,
    ),
    "no lines": (lambda: (normal(2, 5, 40, dtype=HALF)[:, :, ::5], normal(2, 8, 8, dtype=HALF)), True),  # is copied
    "matrices in one another": (
        lambda: (normal(3, 9, 40, dtype=HALF).swapaxes(0, 1), normal(9, 40, 8, dtype=HALF)),
        True,
    ),
    "matrices at other steps": (
        lambda: (normal(3, 9, 20, dtype=HALF).swapaxes(0, 1), normal(9, 20, 8, dtype=HALF)),
        False,
    ),
    "nothing to add up": (lambda: (np.zeros((5, 0), HALF), np.zeros((0, 8), HALF)), False),
}


@pytest.mark.parametrize("case", FACTORS)
def test_what_a_map_can_not_describe_goes_to_the_rung_tensor(case, monkeypatch):
    make, mapped = FACTORS[case]
    x, y = make()
    compare("matmul", x, y, modes=FAST[:1])
    names = launched(monkeypatch)
    simulator("fast", "forward").matmul(x, y)
    product = next(name for name in names if name.startswith("matmul"))
    assert product.startswith("matmul_wgmma" if mapped else "matmul_tensor")


@pytest.mark.parametrize("across", [False, True])
def test_batches_of_any_steps(tile, across):
    """Matrices side by side in lines, broadcast, along several axes: all are matrices of one map."""
    y = normal(3, 2, 40, 24, dtype=HALF)
    if across:
        x = normal(3, 40, 2, 72, dtype=HALF).transpose(0, 2, 3, 1)[:, :, :70]
    else:
        x = normal(3, 70, 2, 40, dtype=HALF).transpose(0, 2, 1, 3)
    for factors in ((x, y), (x, y[:1]), (x[:, :1], y), (x, y[0, 0]), (x[:1, :1], y)):
        compare("matmul", *factors, modes=FAST[:1])
    compare("matmul", x[::2], y[::2], modes=MODES[3:])
    compare("matmul", normal(2, 136, 8, dtype=HALF), normal(2, 8, 8, dtype=HALF), modes=FAST[:1])


def test_layouts(tile):
    """All ways in which lines run."""
    for x in layouts(40, 72):
        for y in layouts(72, 136):
            compare("matmul", x.astype("float16", order="K"), y.astype("float16", order="K"), modes=FAST[:1])
    for x, y in ((normal(72, 136).T, normal(264, 72).T), (normal(136, 72), normal(264, 72).T)):
        compare("matmul", x.astype("float16", order="K"), y.astype("float16", order="K"), modes=MODES[2:])
    x = normal(5, 40, 48, dtype="float16")[:, ::2, 16:]
    compare("matmul", x, normal(5, 32, 8, dtype="float16"), modes=FAST[:1])
    compare("matmul", np.broadcast_to(x[:1], x.shape), normal(32, 8, dtype="float16"), modes=FAST[:1])


@pytest.mark.parametrize("more", [128, 512])
def test_shared_memory_may_begin_anywhere(tile, more, monkeypatch):
    """It ends where memory ends, so with some bytes more it does not begin at a multiple of 1,024."""
    monkeypatch.setitem(tiles.WGMMA_SHARED, tile, tiles.WGMMA_SHARED[tile] + more)
    compare("matmul", normal(70, 72, dtype="float16"), normal(72, 136, dtype="float16"), modes=FAST[:1])


def test_sums_in_parts(tile):
    x, y = normal(40, 712, dtype="float16"), normal(712, 40, dtype="float16")
    plan = schedule(40, 40, 712, tensor=True, wgmma=True)
    assert plan.parts > 1
    assert plan.part_depth % 64 == 0  # a box of terms is never cut
    compare("matmul", x, y, modes=MODES)
    both = normal(2, 40, 712, dtype="float16"), normal(2, 712, 40, dtype="float16")
    assert schedule(40, 40, 712, 2, tensor=True, wgmma=True).parts > 1
    compare("matmul", *both, modes=FAST[:1])
    compare("linear_activation", x, np.ascontiguousarray(y.T), normal(40, dtype="float16"), "relu", 0.0, modes=FAST)


def test_infinities_and_nan_stay_where_they_belong(tile):
    """What lies beyond an edge is zero, and not what stands in memory behind it."""
    big = np.full((80, 48), np.nan, np.float16)
    big[:70, :40] = 1
    got = simulator("fast", "forward").matmul(big[:70, :40], np.ones((40, 16), np.float16)[:, :9])
    assert (got == 40).all()
    x = normal(70, 40, dtype="float16")
    x[3, 5], x[4, 6] = np.inf, np.nan
    got = simulator("fast", "forward").matmul(x, np.ones((40, 8), np.float16))
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
