"""What products cost besides multiplications: passes of shared memory, counted on the simulator, and instructions, by
NVIDIA's compiler."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest

from gpunn.backend import sim
from gpunn.backend.kernel import linear
from gpunn.backend.kernel.gemm import TILES, Schedule
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.simulator import Access
from gpunn.inspect.profile import kernel_code, profile_launches
from gpunn.inspect.profile.code import _compiled, _kernel

from .test_matmul import normal

DEPTH = 64


def shared(run) -> list[Access]:
    """The accesses to shared memory of the one launch of a product that there is."""
    launches = [launch for launch in profile_launches(run) if "add" not in launch.kernel]
    assert len(launches) == 1
    return [a for a in launches[0].accesses if a.memory == "shared"]


@pytest.mark.parametrize("size", TILES)
@pytest.mark.parametrize("lines", ["along the sum", "across it", "one of each"])
def test_a_product_takes_the_fewest_passes(size, lines):
    """No conflict between banks; quads for multiplication come in two passes, for both operands."""
    tile, backend = TILES[size], sim.backend()
    m, n, k = tile.rows, tile.columns, DEPTH
    plan = Schedule(size, False, (1, 1), (tile.threads,), 1, k)
    work = {
        "along the sum": lambda: backend.linear_activation(normal(m, k), normal(n, k), normal(n), "relu", 0.0),
        "across it": lambda: backend.linear_backward(normal(k, m), normal(k, n), None, (False, True, False)),
        "one of each": lambda: backend.linear_backward(normal(m, k), None, normal(k, n), (True, False, False)),
    }
    with patch.object(linear, "schedule", lambda *sizes, **how: plan):
        accesses = shared(work[lines])
    assert sum(a.conflicts for a in accesses) == 0
    quads = [a for a in accesses if (a.kind, a.bytes) == ("read", 16)]
    of_a_thread = {"large": 8 + 8, "medium": 8 + 4, "small": 4 + 4}[size]
    assert sum(a.requests for a in quads) == tile.threads // 32 * k * of_a_thread // 4
    assert sum(a.passes for a in quads) == 2 * sum(a.requests for a in quads)


def test_a_convolution_has_no_conflicts():
    """But for some where a block begins."""
    backend, how = sim.backend(), ((1, 1), (1, 1), (1, 1), 1)
    x, w, dz = normal(2, 16, 8, 8), normal(64, 16, 3, 3), normal(2, 64, 8, 8)
    with rung("conv2d", "implicit"):
        forward = shared(lambda: backend.conv2d_forward(x, w, None, (8, 8), *how))
        weight_grad = shared(lambda: backend.conv2d_weight_grad(x, dz, (3, 3), *how, True))
    for accesses in (forward, weight_grad):
        assert sum(a.conflicts for a in accesses) < 0.02 * sum(a.passes for a in accesses)


@pytest.mark.parametrize(
    ("text", "unrolled", "share"),
    [("linear_forward", 16, 0.88), ("linear_backward", 16, 0.88), ("matmul_vectorised", 2, 0.88)],
)
def test_a_loop_is_mostly_multiplications(nvdisasm, text, unrolled, share):
    """That of large tiles: by hand 64 for each k and 4 reads of shared memory, and 16 copies of 4 bytes for a step."""
    code = kernel_code(f"{text}.cu", f"{text.removesuffix('_vectorised')}_large")
    loops = [loop for loop in code.innermost if "LDS.128" in loop.kinds]
    assert loops
    for loop in loops:
        assert (loop.kinds["FFMA"], loop.kinds["LDS.128"]) == (64 * unrolled, 4 * unrolled)
        assert loop.instructions <= 64 * unrolled / share
    assert not code.usage.spills


@pytest.mark.parametrize("size", TILES)
@pytest.mark.parametrize("text", ["linear_forward", "linear_backward", "matmul_vectorised"])
def test_the_next_step_is_on_its_way_while_one_is_multiplied(nvdisasm, text, size):
    """In machine code: between two barriers, a third of the multiplications at least follow the last access to memory.
    Compilers may move what is asked for ahead behind what should hide the time it takes."""
    code, _ = _kernel(_compiled(f"{text}.cu", "sm_90", {"scalar_t": "float32"}), f"{text.split('_v')[0]}_{size}")
    steps, now = [], []
    for i in code.instructions:
        name = i.opcode.split(".")[0]
        if name == "BAR":
            steps.append(now)
            now = []
        elif name in ("FFMA", "LDG", "LDGSTS"):
            now.append(name)
    loops = [step for step in steps if step.count("FFMA") > 100 and len(set(step)) > 1]
    assert loops
    for step in loops:
        last = max(n for n, name in enumerate(step) if name != "FFMA")
        assert step[last:].count("FFMA") > step.count("FFMA") / 3


def test_slow_paths_give_what_fast_ones_give():
    """Lines that are no quads are read element by element; the order of a sum does not depend on it."""
    x, w = normal(70, 136), normal(68, 136)
    for depth in (136, 72):
        a, b = x[:, :depth].copy(), w[:, :depth].copy()
        memory = np.empty(a.size + 1, "float32")
        misaligned = memory[1:].reshape(a.shape)
        misaligned[...] = a
        backend = sim.backend()
        fast, slow = (backend.linear_activation(m, b, None, "none", 0.0) for m in (a, misaligned))
        np.testing.assert_array_equal(fast, slow)
