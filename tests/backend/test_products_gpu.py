"""Products on a GPU by what has run on none yet: warpgroups, and cuBLASLt. `pytest -m gpu` runs these."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.backend.device import DeviceError
from gpunn.backend.kernel import gemm
from gpunn.backend.kernel.ladder import rung

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["large", "small", "cublaslt"])
def chosen(request: pytest.FixtureRequest, cuda: Any, replan: Any) -> Any:
    """Tiles of warpgroups, or the library."""
    name = "cublaslt" if request.param == "cublaslt" else "wgmma"
    if name == "wgmma" and not cuda.backend.warpgroups:
        pytest.skip("the GPU is no sm_90")
    if name == "cublaslt":
        try:
            cuda.backend.cublaslt()
        except DeviceError as error:
            pytest.skip(str(error))
    else:
        replan(gemm, "WGMMA_TILES", {request.param: gemm.WGMMA_TILES[request.param]})
    with rung("half_product", name):
        yield name


@pytest.mark.parametrize("dtype", [gpunn.float16, gpunn.bfloat16])
@pytest.mark.parametrize("across", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize(
    ("rows", "depth", "columns"), [(128, 64, 256), (136, 200, 264), (72, 40, 136), (70, 33, 131), (512, 4096, 24)]
)
def test_products_of_whole_numbers_are_exact(rng, cuda, chosen, rows, depth, columns, across, dtype) -> None:
    x, y = rng.integers(-3, 4, (rows, depth)), rng.integers(-3, 4, (depth, columns))
    given = []
    for a, turned in ((x, across[0]), (y, not across[1])):  # lines along the depth or across it
        there = gpunn.tensor(np.ascontiguousarray(a.T if turned else a).astype(np.float32), device=cuda).to(dtype)
        given.append(there.T if turned else there)
    got = gpunn.matmul(*given).float().cpu().numpy()
    expected = gpunn.tensor((x @ y).astype(np.float32)).to(dtype).float().numpy()
    np.testing.assert_array_equal(got, expected)


def test_matrices_side_by_side_and_broadcast_ones(rng, cuda, chosen) -> None:
    """Steps from matrix to matrix that are smaller than those from line to line, as heads of attention have them."""
    x, y = rng.integers(-3, 4, (2, 520, 3, 64)), rng.integers(-3, 4, (1, 3, 64, 72))
    left, right = (gpunn.tensor(a.astype(np.float32), device=cuda).to(gpunn.float16) for a in (x, y))
    got = gpunn.matmul(left.transpose(1, 2), right).float().cpu().numpy()
    np.testing.assert_array_equal(got, x.transpose(0, 2, 1, 3) @ y)


def test_bias_and_relu_in_a_captured_step(rng, cuda, chosen) -> None:
    losses = []
    for name in (chosen, "tensor"):
        gpunn.manual_seed(0)
        model = gpunn.nn.Sequential(gpunn.nn.Linear(96, 256), gpunn.nn.ReLU(), gpunn.nn.Linear(256, 10)).to(cuda)
        model = model.to(gpunn.bfloat16)
        step = gpunn.TrainStep(model, gpunn.nn.CrossEntropyLoss(), gpunn.optim.SGD(model.parameters(), lr=0.1))
        random = np.random.default_rng(1)
        x = gpunn.tensor(random.standard_normal((192, 96)).astype(np.float32), device=cuda).to(gpunn.bfloat16)
        labels = gpunn.tensor(random.integers(0, 10, 192), device=cuda)
        with rung("half_product", name):
            losses.append([float(step(x, labels)) for _ in range(5)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)
