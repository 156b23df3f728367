"""Products in half precision on tensor cores: shapes, layouts, edges, parts, and the affine map on them."""

import numpy as np
import pytest
from ml_dtypes import bfloat16

from gpunn.backend.kernel import gemm
from gpunn.backend.kernel.gemm import schedule

from .harness import FAST, MODES, compare, simulator
from .test_matmul import layouts, normal

LADDER = {"ladder": "half_product"}


def preferred(tiles, size):
    """These tiles, of which all but those of that size take very long."""
    return {name: t if name == size else t._replace(cycles=10**6, alone=10**6) for name, t in tiles.items()}


@pytest.fixture(params=["wide", "large", "small"])
def tile(request, replan):
    """Tiles of this size, but where matrices are not of whole chunks."""
    replan(gemm, "TENSOR_TILES", preferred(gemm.TENSOR_TILES, request.param))
    return request.param


@pytest.mark.parametrize("dtype", ["float16", bfloat16])
@pytest.mark.parametrize(
    ("x", "y"), [((3, 5), (5, 7)), ((70, 40), (40, 130)), ((130, 33), (33, 66)), ((1, 300), (300, 1)), ((5, 0), (0, 4))]
)
def test_shapes(x, y, dtype, tile):
    compare(
        "matmul",
        normal(*x, dtype=dtype),
        normal(*y, dtype=dtype),
        modes=MODES if dtype == "float16" else FAST,
        **LADDER,
    )


def test_layouts(tile):
    """All ways in which lines run, and those where chunks can't be copied at once."""
    for x in layouts(40, 24):
        for y in layouts(24, 16):
            compare("matmul", x.astype("float16", order="K"), y.astype("float16", order="K"), modes=FAST[:1])
    x = normal(5, 40, 33, dtype="float16")[:, ::2, 1:]
    compare("matmul", x, normal(5, 32, 9, dtype="float16"), modes=FAST[:1])
    compare("matmul", np.broadcast_to(x[:1], x.shape), normal(32, 9, dtype="float16"), modes=FAST[:1])


def test_wide_tiles_are_for_whole_chunks(monkeypatch, replan):
    """What does not lie so is multiplied in large ones, with the same parts: to the same bits."""
    replan(gemm, "TENSOR_TILES", preferred(gemm.TENSOR_TILES, "wide"))
    backend, launched = simulator("fast", "forward"), []
    x, y = normal(72, 712, dtype="float16"), normal(712, 40, dtype="float16")
    apart = np.zeros((72, 713), np.float16)[:, 1:]  # lines begin anywhere
    apart[...] = x
    launch = backend.launch

    def noted(text, name, *args, **types):
        launched.append(name)
        launch(text, name, *args, **types)

    monkeypatch.setattr(backend, "launch", noted)
    results = [backend.matmul(a, b) for a, b in ((x, y), (apart, y), (x, np.asfortranarray(y)))]
    assert schedule(72, 40, 712, tensor=True).parts > 1
    assert launched == ["matmul_tensor_wide", "matmul_tensor_large", "matmul_tensor_wide"]
    assert all(z.tobytes() == results[0].tobytes() for z in results)


def test_sums_in_parts(tile):
    x, y = normal(40, 700, dtype="float16"), normal(700, 36, dtype="float16")
    assert schedule(40, 36, 700, tensor=True).parts > 1
    compare("matmul", x, y, modes=MODES)
    both = normal(2, 40, 700, dtype="float16"), normal(2, 700, 36, dtype="float16")
    compare("matmul", *both, modes=FAST[:1])
    compare("matmul", normal(2, 130, 9, dtype="float16"), normal(2, 9, 5, dtype="float16"), modes=FAST[:1])
    compare("linear_activation", x, np.ascontiguousarray(y.T), normal(36, dtype="float16"), "relu", 0.0, modes=FAST)


@pytest.mark.parametrize("dtype", ["float16", bfloat16])
@pytest.mark.parametrize("sizes", [(3, 5, 7), (40, 33, 36), (130, 64, 40), (0, 5, 3), (5, 0, 3), (5, 3, 0)])
def test_the_affine_map(sizes, dtype):
    rows, inputs, outputs = sizes
    x, w, b, dz = (
        normal(*shape, dtype=dtype) for shape in ((rows, inputs), (outputs, inputs), (outputs,), (rows, outputs))
    )
    compare("linear_activation", x, w, b, "leaky_relu", 0.3, modes=FAST, **LADDER)
    compare("linear_activation", x, w, None, "gelu", 0.0, modes=FAST, **LADDER)
    for wanted in ((True, True, True), (False, True, False), (False, False, True), (True, False, True)):
        given = (x if wanted[1] else None, w if wanted[0] else None)
        compare("linear_backward", dz, *given, wanted, modes=FAST, **LADDER)


@pytest.mark.parametrize("kind", ["relu", "tanh"])
@pytest.mark.parametrize("sizes", [(40, 24, 50), (40, 25, 50), (136, 264, 72), (3, 16, 700)])
def test_backward_through_the_activation_before_is_that_of_dx_in_half_precision(kind, sizes):
    """In one launch or in two."""
    rows, inputs, outputs = sizes
    w, dz = (normal(*shape, dtype="float16") for shape in ((outputs, inputs), (rows, outputs)))
    x = np.maximum(normal(rows, inputs, dtype="float16"), 0)
    x[0, :2], dz[1, 0] = (np.nan, 0.5), np.inf
    backend, wanted = simulator("check", "forward"), (True, True, True)
    dx, *rest = backend.linear_backward(dz, x, w, wanted)
    expected = backend.activation_backward(dx, x, kind, 0.0, True), *rest
    got = backend.activation_linear_backward(dz, x, w, kind, 0.0, wanted)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(got, expected, strict=True))


def test_a_relu_before_takes_no_launch_of_its_own(monkeypatch):
    rows, inputs, outputs = 40, 24, 50
    w, dz, x = (normal(*s, dtype="float16") for s in ((outputs, inputs), (rows, outputs), (rows, inputs)))
    backend, launched = simulator("fast", "forward"), []
    monkeypatch.setattr(backend, "activation_backward", lambda *_, **__: launched.append("activation_backward"))
    for kind in ("relu", "tanh"):
        backend.activation_linear_backward(dz, x, w, kind, 0.0, (True, True, True))
        launched.append(kind)
    assert launched == ["relu", "activation_backward", "tanh"]


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


def test_a_device_without_tensor_cores_does_without(monkeypatch):
    backend = simulator("fast", "forward")
    launched = []
    monkeypatch.setattr(type(backend), "launch", lambda self, text, *rest, **types: launched.append(text))
    for there in (True, False):
        monkeypatch.setattr(type(backend), "tensor_cores", there)
        backend.matmul(normal(8, 8, dtype="float16"), normal(8, 8, dtype="float16"))
    backend.matmul(normal(8, 8), normal(8, 8))
    assert launched == ["matmul_tensor.cu", "matmul_vectorised.cu", "matmul_vectorised.cu"]
