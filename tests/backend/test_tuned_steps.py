"""Kernels that are picked by measurement: in planned steps, in fingerprints, all of them, and on a GPU that is none."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

import gpunn
from gpunn import nn
from gpunn.backend import collective, sim
from gpunn.backend.cache import cache_folder
from gpunn.backend.kernel import offers, tuning
from gpunn.backend.kernel.conv_plan import Convolution
from gpunn.backend.kernel.gemm import pair, schedule
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.kernel.picks import Picks
from gpunn.backend.kernel.sliding_plan import sliding_tile
from gpunn.backend.kernel.sliding_weight_plan import sliding_weight_tile
from gpunn.backend.products import computing_in
from gpunn.backend.simulator import Stream
from gpunn.train import fingerprint
from gpunn.train.fingerprint import differences
from gpunn.train.progress import Lines

from . import fake_cupy
from .picked import BACKEND, BEST, INPUTS, OUTPUTS, PRODUCT, ROWS, linear, trained, tuned, written

pytestmark = pytest.mark.usefixtures("picks_folder")


# Steps ----------------------------------------------------------------------------------------------------------------


def test_a_planned_step(picks_folder, monkeypatch, clock) -> None:
    _, plain = trained()
    backend = gpunn.device("sim").backend
    tuner = tuned(backend, monkeypatch)
    clock.of = lambda name, grid: 1.0 if "_medium" in name else 3.0
    step, losses = trained()
    assert losses == pytest.approx(plain, rel=1e-4)
    rows = [line.split() for line in step.plan.explain_kernels().splitlines()]
    products = [row for row in rows if row[1].startswith(("linear_forward", "linear_backward"))]
    assert len(products) >= 3
    assert all("measured" in row for row in products) and any(row[1].endswith("_medium") for row in products)
    assert not any("measured" in row or "predicted" in row for row in rows[1:] if row not in products)
    assert sorted(written(picks_folder)) == sorted(tuner.picks())
    tuned(backend, monkeypatch, "cached")
    clock.asked = 0
    again, repeated = trained()
    assert repeated == losses and clock.asked == 0
    assert again.plan.explain_kernels() == step.plan.explain_kernels()
    tuned(backend, monkeypatch, "off")
    assert "measured" not in trained()[0].plan.explain_kernels()


def test_the_dry_run_knows_what_is_picked(monkeypatch, clock) -> None:
    """So what a step computes in is forecast as it will be, without measuring anything."""
    backend = gpunn.device("sim").backend
    x, y = gpunn.randn(ROWS, INPUTS, device="sim"), gpunn.randint(10, (ROWS,), device="sim")
    untuned = trained(steps=0)[0].forecast(x, y).workspace
    tuned(backend, monkeypatch)
    clock.of = lambda name, grid: 1.0 if "_medium" in name else 3.0
    own = trained()[0].plan.memory().workspace
    clock.asked = 0
    tuned(backend, monkeypatch)
    assert trained(steps=0)[0].forecast(x, y).workspace == own != untuned
    assert clock.asked == 0


def test_nothing_is_measured_while_a_stream_captures(picks_folder, monkeypatch, clock, rng) -> None:
    tuner = tuned(BACKEND, monkeypatch)
    x, w, y = (np.ones(shape, np.float32) for shape in ((5, 8), (6, 8), (5, 6)))
    assert schedule(5, 6, 8, may_transpose=True).parts == 1  # so that nothing is allocated
    monkeypatch.setattr(offers, "schedules", lambda *sizes, **more: {"one": schedule(*sizes, **more), "two": None})
    BACKEND.launcher.function("linear_forward.cu", "linear_forward_small", scalar_t=np.dtype("float32"))
    stream = Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        BACKEND.linear_activation(x, w, None, "none", 0.0, out=y)
        graph = stream.end_capture()
    graph.launch()
    assert (y == 8).all()
    BACKEND.linear_activation(x, w, None, "none", 0.0, out=y)  # nor is another one picked later in the process
    assert (clock.asked, tuner.picks()) == (0, {"linear_forward 5x8x6 float32": "one"})
    assert not picks_folder.exists()


def test_several_ranks_only_read(picks_folder, monkeypatch, clock, rng) -> None:
    class Two(collective.Communicator):
        size = 2

    before = collective.current()
    collective.use(Two())
    try:
        tuned(BACKEND, monkeypatch)
        linear(rng)
        assert (clock.asked, picks_folder.exists()) == (0, False)
        Picks(BACKEND.tuner.kept.identity).add(PRODUCT, {"pick": BEST})
        tuner = tuned(BACKEND, monkeypatch)
        linear(rng)
        assert tuner.picks() == {PRODUCT: BEST}
    finally:
        collective.use(before)


def test_the_fingerprint_tells_what_was_picked(monkeypatch, clock) -> None:
    backend = gpunn.device("sim").backend
    assert fingerprint("sim")["tuning"] == "off" and "tuning" not in fingerprint("cpu")
    plain = fingerprint("sim")
    tuner = tuned(backend, monkeypatch)
    trained(steps=1)
    before = fingerprint("sim")
    assert before["tuning"] == "full"
    assert {name for name in before if name.startswith("picked ")} == {f"picked {p}" for p in tuner.picks()}
    assert f"picked {PRODUCT}" in before and all(type(value) in (str, int) for value in before.values())
    assert differences(plain, before) == ["tuning off -> full"]
    tuned(backend, monkeypatch)  # a process that goes on, before it has computed anything
    assert differences(before, fingerprint("sim", before)) == []
    rows = json.loads(tuner.kept.path.read_text())
    old, rows["picks"][PRODUCT]["pick"] = rows["picks"][PRODUCT]["pick"], "medium, 7 parts"
    tuner.kept.path.write_text(json.dumps(rows))
    tuned(backend, monkeypatch)
    assert differences(before, fingerprint("sim", before)) == [f"picked {PRODUCT} {old} -> medium, 7 parts"]


def test_a_run_that_is_resumed_where_another_way_is_picked_says_so(tmp_path, monkeypatch, clock) -> None:
    rng, backend = np.random.default_rng(0), gpunn.device("sim").backend
    x, y = rng.standard_normal((ROWS, INPUTS), np.float32), rng.integers(0, 3, ROWS)

    def fit(epochs: int) -> str:
        gpunn.manual_seed(0)
        model = nn.Sequential(nn.Linear(INPUTS, OUTPUTS), nn.ReLU(), nn.Linear(OUTPUTS, 3)).to("sim")
        optimizer, said = gpunn.optim.SGD(model.parameters(), lr=0.1), io.StringIO()
        trainer = gpunn.Trainer(model, "cross_entropy", optimizer, run_dir=tmp_path / "run", progress=Lines(said))
        trainer.fit((x, y), epochs=epochs, batch_size=ROWS, resume=epochs > 1)
        return said.getvalue()

    tuner = tuned(backend, monkeypatch)
    fit(1)
    tuned(backend, monkeypatch)
    assert "last bits" not in fit(2)
    rows = json.loads(tuner.kept.path.read_text())
    rows["picks"][PRODUCT]["pick"] = BEST
    tuner.kept.path.write_text(json.dumps(rows))
    tuned(backend, monkeypatch)
    (line,) = [line for line in fit(3).splitlines() if "last bits" in line]
    assert line.endswith(f"picked {PRODUCT} small, 7 parts, counted -> {BEST}")
    tuned(backend, monkeypatch, "off")
    assert "tuning full -> off" in fit(4)


def test_two_processes_have_the_same_bits(tmp_path) -> None:
    """The first one measures with the clock, whatever that says; the second one computes as the first did."""
    (tmp_path / "simulator").symlink_to(cache_folder("simulator"))
    program = """if True:
        import hashlib, numpy as np
        from gpunn.backend.sim import SimBackend
        rng, backend = np.random.default_rng(0), SimBackend("fast")
        x, w = rng.standard_normal((40, 300), np.float32), rng.standard_normal((30, 300), np.float32)
        y = backend.linear_activation(x, w, None, "none", 0.0)
        print(hashlib.sha256(y.tobytes()).hexdigest(), backend.tuner.picks())"""
    environment = {**os.environ, "GPUNN_TUNE": "full", "GPUNN_CACHE": str(tmp_path)}
    said = [
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert said[0].stdout == said[1].stdout and "linear_forward 40x300x30 float32" in said[0].stdout
    (file,) = (tmp_path / "tuning").glob("*.json")
    assert file.name.startswith("sim-")


# All that can be picked -----------------------------------------------------------------------------------------------


def test_the_prediction_is_offered_first() -> None:
    for sizes in ((1, 1, 1), (4096, 4096, 4096), (128, 10, 512), (64, 4096, 100_000), (7, 300, 2000)):
        for more in ({}, {"may_transpose": True}, {"tensor": True}, {"tensor": True, "tf32": True}):
            ways = offers.schedules(*sizes, **more)
            assert next(iter(ways.values())) == schedule(*sizes, **more)
            assert len(set(ways.values())) == len(ways) <= offers.MOST
        ways = offers.pairs(*sizes)
        assert next(iter(ways.values())) == pair(*sizes) and len(ways) <= offers.MOST
    for f in ((128, 1, 32, 64, (14, 14), (14, 14)), (2, 2, 5, 9, (7, 9), (7, 9)), (1, 1, 3, 1, (3, 70), (3, 70))):
        shape = Convolution(*f, (3, 3), (1, 1), (1, 1), (1, 1))
        for itemsize in (4, 8):
            for offered, predicted in (
                (offers.sliding_tiles, sliding_tile),
                (offers.sliding_weight_tiles, sliding_weight_tile),
            ):
                ways = offered(shape, itemsize)
                assert next(iter(ways.values())) == predicted(shape, itemsize)[1]
                assert 1 < len(set(ways.values())) == len(ways) <= offers.MOST


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64", "tf32", "as-bfloat16", "float16", "bfloat16"])
def test_every_way_is_right(dtype, picks_folder, monkeypatch, clock, rng) -> None:
    """All ways that are offered pass, of each product that can be picked, and any can be the fastest one."""
    precision = {"tf32": "high", "as-bfloat16": "medium"}.get(dtype, "highest")
    scalar = np.dtype({"bfloat16": bfloat16, "float16": np.float16, "float64": np.float64}.get(dtype, np.float32))

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(scalar)

    conv = ((6, 5), (1, 1), (1, 1), (1, 1))
    strided = ((4, 3), (2, 2), (1, 1), (1, 1))
    calls = [
        ("linear_activation", normal(9, 100), normal(20, 100), normal(20), "relu", 0.0),
        ("linear_backward", normal(40, 20), normal(40, 70), normal(20, 70), (True, True, True)),
        ("linear_backward", normal(40, 20), None, normal(20, 70), (True, False, False)),
        ("linear_backward", normal(40, 20), normal(40, 70), None, (False, True, True)),
        ("matmul", normal(3, 20, 70), normal(3, 70, 9)),
        ("matmul", normal(70, 20).T, normal(9, 70).T),
        ("conv2d_forward", normal(2, 20, 6, 5), normal(34, 20, 3, 3), normal(34), *conv, 1),
        ("conv2d_forward", normal(2, 6, 8, 6), normal(4, 3, 3, 3), None, *strided, 2),
        ("conv2d_input_grad", normal(2, 34, 6, 5), normal(34, 20, 3, 3), *conv, 1),
        ("conv2d_weight_grad", normal(2, 20, 6, 5), normal(2, 34, 6, 5), (3, 3), *conv[1:], 1, True),
    ]
    with computing_in(precision), warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = [getattr(BACKEND, name)(*args) for name, *args in calls]
        tuner = tuned(BACKEND, monkeypatch)
        clock.of = lambda name, grid: 1 + zlib.crc32(f"{name} {grid}".encode()) % 1000
        found = [getattr(BACKEND, name)(*args) for name, *args in calls]
    tolerance = {"float64": 1e-12, "float32": 1e-5, "tf32": 1e-2, "float16": 4e-3}.get(dtype, 5e-2)
    for one, other in zip(found, expected, strict=True):
        for y, right in zip(*(x if isinstance(x, tuple) else (x,) for x in (one, other)), strict=True):
            scale = np.sqrt(np.mean(np.square(right.astype(np.float64))))
            np.testing.assert_allclose(
                y.astype(np.float64), right.astype(np.float64), rtol=0, atol=8 * tolerance * scale
            )
    on_tensor_cores = dtype in ("tf32", "as-bfloat16", "float16", "bfloat16")
    begins = ("conv2d_tensor", "conv2d_weight_grad_tensor", "matmul_tensor") if on_tensor_cores else (
        "linear_forward", "linear_backward", "linear_input_grad", "linear_weight_grad", "matmul_nn", "matmul_tt",
        "conv2d_implicit", "conv2d_weight_grad_implicit",
    )  # fmt: skip
    for begin in (*begins, "conv2d ", "conv2d_weight_grad "):
        assert any(product.startswith(begin) for product in tuner.picks()), begin
    assert sum(row["tried"] > 1 for row in written(picks_folder).values()) >= 8


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_every_sliding_tile_is_right(dtype, picks_folder, monkeypatch, clock, rng) -> None:
    """Whichever of them is the fastest, and all pass."""
    x, w, dz = (rng.standard_normal(shape).astype(dtype) for shape in ((3, 20, 6, 5), (34, 20, 3, 3), (3, 34, 6, 5)))
    how = (1, 1), (1, 1), (1, 1), 1
    calls: list[tuple[Any, ...]] = [
        ("conv2d_forward", x, w, None, (6, 5), *how),
        ("conv2d_input_grad", dz, w, (6, 5), *how),
        ("conv2d_weight_grad", x, dz, (3, 3), *how, False),
    ]
    with rung("conv2d", "naive"):
        expected = [getattr(BACKEND, name)(*args) for name, *args in calls]
    with rung("conv2d", "sliding"), warnings.catch_warnings():
        warnings.simplefilter("error")
        tuner = tuned(BACKEND, monkeypatch)
        clock.of = lambda name, grid: 1 + zlib.crc32(f"{name} {grid}".encode()) % 1000
        found = [getattr(BACKEND, name)(*args) for name, *args in calls]
    tolerance = {"float64": 1e-12, "float32": 1e-5}.get(dtype, 4e-3)
    for y, right in zip(found, expected, strict=True):
        scale = np.sqrt(np.mean(np.square(right.astype(np.float64))))
        np.testing.assert_allclose(y.astype(float), right.astype(float), rtol=0, atol=8 * tolerance * scale)
    assert {product.split()[0] for product in tuner.picks()} == {"conv2d_sliding", "conv2d_weight_grad_sliding"}
    assert all(row["tried"] > 1 for row in written(picks_folder).values())


def test_nothing_is_measured_of_no_images(monkeypatch, clock) -> None:
    tuner = tuned(BACKEND, monkeypatch)
    x, w, b = np.empty((0, 3, 6, 5), "f"), np.ones((4, 3, 3, 3), "f"), np.ones(4, "f")
    how = (1, 1), (1, 1), (1, 1), 1
    y = BACKEND.conv2d_forward(x, w, b, (6, 5), *how)
    dx = BACKEND.conv2d_input_grad(y, w, (6, 5), *how)
    dw, db = BACKEND.conv2d_weight_grad(x, y, (3, 3), *how, True)
    assert (y.shape, dx.shape, dw.any(), db.any()) == ((0, 4, 6, 5), (0, 3, 6, 5), False, False)
    assert (clock.asked, tuner.picks()) == (0, {})


def test_threads_measure_a_product_once(picks_folder, monkeypatch, clock) -> None:
    tuned(BACKEND, monkeypatch)
    clock.of = lambda name, grid: 1.0 if name == "linear_forward_medium" and grid[1] == 4 else 3.0
    ways = offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: linear(np.random.default_rng(0))[0].tobytes(), range(8)))
    assert len(set(results)) == 1
    assert clock.asked == 2 + tuning.ROUNDS * len(ways)
    assert written(picks_folder)[PRODUCT]["pick"] == BEST


def test_on_a_gpu_events_say_what_takes_least(picks_folder, monkeypatch, rng) -> None:
    """There a kernel takes a microsecond for each block."""
    monkeypatch.setenv("GPUNN_TUNE", "full")
    monkeypatch.setattr(tuning, "MOST_LAUNCHES", 2)
    ways = offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True)
    added = -(-ROWS * OUTPUTS // 256)  # blocks of the launch that adds up parts
    blocks = {
        n: plan.grid[0] * plan.parts + (0 if plan.counted or plan.parts == 1 else added) for n, plan in ways.items()
    }
    with fake_cupy.installed() as machine:
        backend = gpunn.device("cuda").backend
        result, expected = linear(rng, backend)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
        row = written(picks_folder)[PRODUCT]
        assert blocks[row["pick"]] == min(blocks.values()) < blocks[row["predicted"]]
        assert (row["us"], row["us_of_predicted"]) == (blocks[row["pick"]], blocks[row["predicted"]])
        step, _ = trained("cuda")
        assert "measured" in step.plan.explain_kernels()
        assert machine.calls["event recorded"] > 0
    (path,) = picks_folder.glob("*.json")
    assert path.name.startswith("simulated-gpu-12.8-12.8-")
    assert json.loads(path.read_text())["measured on"]["cuda_driver"] == "12.8"
    with fake_cupy.installed(driver=13000):  # of another driver nothing is known
        linear(rng, gpunn.device("cuda").backend)
    assert len(list(picks_folder.glob("*.json"))) == 2


def test_what_the_user_has_done_wrong_is_left_for_the_user(monkeypatch, clock, rng) -> None:
    """An index that is none is told where the host looks next, and not where something is measured."""
    weight = gpunn.randn(4, 3, device="sim")
    tuned(sim.backend(), monkeypatch)
    nn.functional.embedding(gpunn.tensor([7], device="sim"), weight)
    linear(rng, _unlooked(sim.backend()))
    assert clock.asked > 0
    with pytest.raises(IndexError, match="index out of range"):
        sim.backend().look()


def _unlooked(backend: Any) -> Any:
    """The backend, whose results are read without a look."""

    class Unlooked:
        def __getattr__(self, name: str) -> Any:
            return getattr(backend, "read" if name == "to_numpy" else name)

    return Unlooked()
