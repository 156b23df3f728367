"""What a plan says of its kernels."""

import pytest

import gpunn
from gpunn import nn
from gpunn.backend.kernel.gemm import ROUND, TF32_TILES, TILES, schedule
from gpunn.backend.products import computing_in


def made_step(device):
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 10)).to(device)
    step = gpunn.TrainStep(model, nn.functional.cross_entropy, gpunn.optim.SGD(model.parameters(), lr=0.1))
    batch = gpunn.randn(70, 100, device=device), gpunn.randint(10, (70,), device=device)
    for _ in range(3):
        step(*batch)
    return step


@pytest.mark.parametrize(("precision", "tiles"), [("highest", TILES), ("high", TF32_TILES)])
def test_a_line_for_each_launch(precision, tiles):
    with computing_in(precision):
        plan = made_step("sim").plan
    lines = plan.explain_kernels().splitlines()
    rows = [line for line in lines[1:-1] if "op by op" not in line]
    assert len(rows) == plan.launches and lines[0].split()[:3] == ["call", "kernel", "tile"]
    first = next(row for row in rows if "linear_forward_" in row or "matmul_tensor_" in row)
    chosen = schedule(
        70, 64, 100, may_transpose=precision == "highest", tensor=precision == "high", tf32=precision == "high"
    )
    tile = tiles[chosen.size]
    assert f"{chosen.size} {tile.rows} x {tile.columns}" in first
    assert f"{chosen.grid[0]} x {chosen.grid[1]}" in first and f"  {chosen.parts}  " in first
    assert ("tf32" if precision == "high" else "fp32") in first
    # fewer blocks than multiprocessors: each is alone on one, for the terms of its part
    expected = (max(tile.cycles, tile.alone) * chosen.part_depth + ROUND) / 1980
    assert chosen.grid[0] * chosen.grid[1] <= 132 and first.endswith(f"{expected:.1f}")
    total = sum(float(row.split()[-1]) for row in rows)
    assert abs(float(lines[-1].split()[-1]) - total) <= 0.05 * (len(rows) + 1)


def test_without_kernels():
    with computing_in("high"):
        plan = made_step("cpu").plan
    assert "no kernels" in plan.explain_kernels() and "'high'" in plan.explain_kernels()
