"""Picking kernels by measurement, on the simulator with a clock that is planted, and on a GPU that is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

import gpunn
from gpunn import nn
from gpunn.backend import collective, sim
from gpunn.backend.cache import cache_folder
from gpunn.backend.kernel import offers, picks, tuning
from gpunn.backend.kernel.gemm import pair, schedule
from gpunn.backend.kernel.picks import Picks
from gpunn.backend.kernel.tuning import Tuner, tuner_of
from gpunn.backend.products import computing_in
from gpunn.backend.sim import SimBackend
from gpunn.backend.simulator import Stream
from gpunn.train import fingerprint
from gpunn.train.fingerprint import differences

from . import fake_cupy

ROWS, INPUTS, OUTPUTS = 33, 200, 70
BEST = "medium, 3 parts, counted"
"""What the clocks of the tests say is fastest; it is not what is predicted."""
PRODUCT = f"linear_forward {ROWS}x{INPUTS}x{OUTPUTS} float32"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is measured in a test is kept here."""
    monkeypatch.setattr(picks, "cache_folder", lambda name: tmp_path / name)
    return tmp_path / "tuning"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    planted = Clock()
    monkeypatch.setattr(tuning, "seconds_of", planted)
    return planted


class Clock:
    """Says how long a graph takes, by the kernel and the grid of its first launch, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.of: Callable[[str, tuple[int, ...]], float] = lambda name, grid: 1.0

    def __call__(self, backend: Any, graph: Any) -> float:
        self.asked += 1
        return sum(self.of(launch.kernel.name, launch.grid) for launch in graph._launches)


def tuned(backend: SimBackend, monkeypatch: pytest.MonkeyPatch, mode: str = "full") -> Tuner | None:
    """Give a backend what picks for it in a new process."""
    monkeypatch.setenv("GPUNN_TUNE", mode)
    tuner = tuner_of(backend, lambda: {"gpu": "sim"})
    monkeypatch.setattr(backend, "tuner", tuner)
    return tuner


BACKEND = SimBackend("fast")


def linear(rng: Any, backend: Any = BACKEND) -> tuple[Any, Any]:
    """An affine map on the backend, and in float64."""
    x, w = (rng.standard_normal(shape, np.float32) for shape in ((ROWS, INPUTS), (OUTPUTS, INPUTS)))
    b = rng.standard_normal(OUTPUTS, np.float32)
    y = backend.linear_activation(*(backend.from_numpy(a) for a in (x, w, b)), "none", 0.0)
    return backend.to_numpy(y), x.astype(np.float64) @ w.T.astype(np.float64) + b


def written(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*.json")
    return json.loads(file.read_text())["picks"]


def test_by_default_nothing_is_measured_read_or_written(folder, monkeypatch, rng) -> None:
    for name in ("", "off"):
        monkeypatch.setenv("GPUNN_TUNE", name)
        assert tuner_of(BACKEND, lambda: {"gpu": "sim"}) is None
    monkeypatch.delenv("GPUNN_TUNE")
    backend = SimBackend("fast")
    assert backend.tuner is None
    linear(rng, backend)
    assert not folder.exists()


def test_another_value_names_the_three(monkeypatch) -> None:
    monkeypatch.setenv("GPUNN_TUNE", "fast")
    with pytest.raises(ValueError, match=r"GPUNN_TUNE is 'fast'; expected off .*, cached .* or full"):
        SimBackend("fast")


def test_the_fastest_is_picked_and_stays(folder, monkeypatch, clock, rng) -> None:
    predicted = schedule(ROWS, OUTPUTS, INPUTS, may_transpose=True)
    assert predicted.size != "medium"
    state = rng.bit_generator.state
    plain, _ = linear(rng)
    tuned(BACKEND, monkeypatch)
    clock.of = lambda name, grid: 1.0 if name == "linear_forward_medium" and grid[1] == 3 else 3.0
    rng.bit_generator.state = state
    first, expected = linear(rng)
    np.testing.assert_allclose(first, expected, rtol=0, atol=1e-3)
    assert written(folder)[PRODUCT]["pick"] == BEST
    assert written(folder)[PRODUCT]["us"] == 1e6
    assert (first != plain).any()  # sums are cut into other parts
    assert not [path for path in folder.iterdir() if path.suffix not in (".json", ".lock")]
    for mode in ("cached", "full"):  # in other processes
        clock.asked = 0
        tuned(BACKEND, monkeypatch, mode)
        rng.bit_generator.state = state
        np.testing.assert_array_equal(linear(rng)[0], first)
        assert clock.asked == 0
    tuned(BACKEND, monkeypatch, "off")
    rng.bit_generator.state = state
    np.testing.assert_array_equal(linear(rng)[0], plain)


def test_cached_measures_nothing(folder, monkeypatch, clock, rng) -> None:
    state = rng.bit_generator.state
    plain, _ = linear(rng)
    tuner = tuned(BACKEND, monkeypatch, "cached")
    rng.bit_generator.state = state
    np.testing.assert_array_equal(linear(rng)[0], plain)
    assert (clock.asked, folder.exists()) == (0, False)
    assert tuner is not None and list(tuner.picks()) == [PRODUCT]


@pytest.mark.parametrize(("less", "wins"), [(0.04, False), (0.06, True)])
def test_a_little_faster_is_not_enough(less, wins, folder, monkeypatch, clock, rng) -> None:
    tuned(BACKEND, monkeypatch)
    clock.of = lambda name, grid: 1 - less if name == "linear_forward_medium" and grid[1] == 3 else 1.0
    ways = offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True)
    linear(rng)
    row = written(folder)[PRODUCT]
    assert row["predicted"] == next(iter(ways)) != BEST
    assert (row["pick"] == BEST) is wins
    assert row["tried"] == len(ways)


def test_noise_of_single_rounds_does_not_pick(folder, monkeypatch, clock, rng) -> None:
    """In three of seven rounds a way seems to take nothing."""
    ways = offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True)
    two = {name: ways[name] for name in (next(iter(ways)), BEST)}
    monkeypatch.setattr(offers, "schedules", lambda *sizes, **more: two)
    tuned(BACKEND, monkeypatch)
    rounds = {"medium": 0}

    def of(name: str, grid: tuple[int, ...]) -> float:
        if name != "linear_forward_medium" or grid[1] != 3:
            return 1.0
        rounds["medium"] += 1
        return 1e-6 if rounds["medium"] <= 3 else 1.0

    clock.of = of
    linear(rng)
    assert rounds["medium"] == tuning.ROUNDS
    assert written(folder)[PRODUCT]["pick"] == written(folder)[PRODUCT]["predicted"]


def test_a_wrong_way_never_wins(folder, monkeypatch, clock, rng) -> None:
    """One that leaves out half of each sum, and one that leaves out tiles, would be the fastest."""
    ways = dict(offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True))
    whole = ways[BEST]
    ways["half"] = whole._replace(part_depth=32)
    ways["not all tiles"] = whole._replace(grid=(1, 3))
    monkeypatch.setattr(offers, "schedules", lambda *sizes, **more: ways)
    tuned(BACKEND, monkeypatch)
    clock.of = lambda name, grid: 0.1 if name == "linear_forward_medium" and grid[1] == 3 else 1.0
    with pytest.warns(UserWarning, match="is not taken, since its result is wrong by") as told:
        result, expected = linear(rng)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
    assert [str(line.message).split(" is not taken")[0] for line in told] == [
        f"{PRODUCT}: half",
        f"{PRODUCT}: not all tiles",
    ]
    assert written(folder)[PRODUCT]["pick"] == BEST


def test_a_way_that_fails_is_told(folder, monkeypatch, clock, rng) -> None:
    launch = BACKEND.launcher

    def broken(text: str, name: str, *rest: Any, **types: Any) -> None:
        if name == "linear_forward_medium":
            raise RuntimeError("too many resources requested for launch")
        launch(text, name, *rest, **types)

    monkeypatch.setattr(BACKEND, "launcher", broken)
    tuned(BACKEND, monkeypatch)
    with pytest.warns(UserWarning, match=r"medium, \d parts.* is not taken, since it failed: too many resources"):
        result, expected = linear(rng)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
    assert "medium" not in written(folder)[PRODUCT]["pick"]


# The file -------------------------------------------------------------------------------------------------------------


def spoil(path: Path, how: str) -> None:
    if how == "foreign":
        content = json.loads(path.read_text())
        content["measured on"]["gpu"] = "NVIDIA H200"
        path.write_text(json.dumps(content))
    elif how == "cut off":
        path.write_text(path.read_text()[:-20])
    elif how == "of another kind":
        path.write_text('{"picks": {"a": 3}}')
    elif how == "no text":
        path.write_bytes(b"\xff\xfe\x00")
    elif how == "a folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("foreign", r"was measured on \{'gpu': 'NVIDIA H200', .*, and this is \{'gpu': 'sim'"),
        ("cut off", "is damaged"),
        ("of another kind", "is damaged"),
        ("no text", "is damaged"),
        ("a folder", "can't be read"),
    ],
)
def test_a_file_that_is_of_no_use(how, line, folder, monkeypatch, clock, rng) -> None:
    state = rng.bit_generator.state
    plain, _ = linear(rng)
    tuned(BACKEND, monkeypatch)
    clock.of = lambda name, grid: 1.0 if name == "linear_forward_medium" and grid[1] == 3 else 3.0
    linear(rng)
    (path,) = folder.glob("*.json")
    spoil(path, how)
    before = path.read_bytes() if path.is_file() else b""
    clock.asked = 0
    for mode in ("cached", "full"):
        with pytest.warns(UserWarning, match=line) as told:
            tuned(BACKEND, monkeypatch, mode)
            rng.bit_generator.state = state
            np.testing.assert_array_equal(linear(rng)[0], plain)
        assert len(told) == 1 and str(path) in str(told[0].message)
    assert clock.asked == 0
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize("what", ["folder", "lock", "disk"])
def test_a_file_that_cannot_be_written(what, folder, monkeypatch, clock, rng) -> None:
    """Nothing is picked that would be forgotten."""
    state = rng.bit_generator.state
    plain, _ = linear(rng)
    clock.of = lambda name, grid: 1.0 if name == "linear_forward_medium" and grid[1] == 3 else 3.0
    tuner = tuned(BACKEND, monkeypatch)
    assert tuner is not None
    if what == "folder":
        folder.write_text("a file")
    elif what == "lock":
        tuner.kept.path.with_suffix(".lock").mkdir(parents=True)
    else:

        def full_disk(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full_disk)
    rng.bit_generator.state = state
    with pytest.warns(UserWarning, match="can't be written .*; GPUNN_CACHE names another folder") as told:
        np.testing.assert_array_equal(linear(rng)[0], plain)
    assert len(told) == 1
    assert (clock.asked == 0) is (what != "disk")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BACKEND.matmul(np.ones((20, 30), "f"), np.ones((30, 40), "f"))
    if what != "folder":
        assert not list(folder.glob("*.json")) and not list(folder.glob(".*"))


def test_a_pick_that_there_is_no_more(folder, monkeypatch, clock, rng) -> None:
    tuned(BACKEND, monkeypatch)
    linear(rng)
    (path,) = folder.glob("*.json")
    path.write_text(path.read_text().replace(f'"{written(folder)[PRODUCT]["pick"]}"', '"huge, 9 parts"'))
    tuned(BACKEND, monkeypatch)
    with pytest.warns(UserWarning, match=f"{PRODUCT} has no 'huge, 9 parts'; it is picked as predicted"):
        result, expected = linear(rng)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)


def test_the_faster_process_counts(monkeypatch, clock, rng) -> None:
    """Another process has measured the same in the meantime, and is computing with what it has picked."""
    tuner = tuned(BACKEND, monkeypatch)
    assert tuner is not None
    Picks(tuner.kept.identity).add(PRODUCT, {"pick": "medium, 4 parts"})
    linear(rng)
    assert clock.asked > 0
    assert tuner.picks()[PRODUCT] == "medium, 4 parts"


def test_several_processes_write_at_once(tmp_path) -> None:
    program = """if True:
        import sys
        from pathlib import Path
        from gpunn.backend.kernel import picks
        picks.cache_folder = lambda name: Path(sys.argv[1])
        file = picks.Picks({"gpu": "sim"})
        print(*(file.add(f"product {i}", {"pick": f"{sys.argv[2]}"}) for i in range(60)))
        print(*(file.add(f"{sys.argv[2]} {i}", {"pick": "own"}) for i in range(60)))"""
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in "abc"
    ]
    lines = [process.communicate(timeout=60)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    shared = {line[0] for line in lines}
    assert len(shared) == 1  # all of them go on with the same picks
    assert all(line[1] == " ".join(["own"] * 60) for line in lines)
    kept = json.loads((tmp_path / "sim.json").read_text())["picks"]
    assert len(kept) == 4 * 60
    assert [kept[f"product {i}"]["pick"] for i in range(60)] == shared.pop().split()


# Steps ----------------------------------------------------------------------------------------------------------------


def trained(device: str = "sim", steps: int = 3) -> tuple[gpunn.TrainStep, list[float]]:
    gpunn.manual_seed(0)
    model = nn.Sequential(nn.Linear(INPUTS, OUTPUTS), nn.ReLU(), nn.Linear(OUTPUTS, 10)).to(device)
    step = gpunn.TrainStep(model, nn.functional.cross_entropy, gpunn.optim.SGD(model.parameters(), lr=0.1))
    x, y = gpunn.randn(ROWS, INPUTS, device=device), gpunn.randint(10, (ROWS,), device=device)
    return step, [step(x, y).item() for _ in range(steps)]


def test_a_planned_step(folder, monkeypatch, clock) -> None:
    _, plain = trained()
    backend = gpunn.device("sim").backend
    tuner = tuned(backend, monkeypatch)
    clock.of = lambda name, grid: 1.0 if "_medium" in name else 3.0
    step, losses = trained()
    assert losses == pytest.approx(plain, rel=1e-4)
    rows = [line.split() for line in step.plan.explain_kernels().splitlines()]
    products = [row for row in rows if row[1].startswith("linear_")]
    assert len(products) >= 4
    assert all(row[1].endswith("_medium") and "measured" in row for row in products)
    assert not any("measured" in row or "predicted" in row for row in rows[1:] if row not in products)
    assert sorted(written(folder)) == sorted(tuner.picks())
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


def test_nothing_is_measured_while_a_stream_captures(folder, monkeypatch, clock, rng) -> None:
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
    assert not folder.exists()


def test_several_ranks_only_read(folder, monkeypatch, clock, rng) -> None:
    class Two(collective.Communicator):
        size = 2

    before = collective.current()
    collective.use(Two())
    try:
        tuned(BACKEND, monkeypatch)
        linear(rng)
        assert (clock.asked, folder.exists()) == (0, False)
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
    old, rows["picks"][PRODUCT]["pick"] = rows["picks"][PRODUCT]["pick"], "medium, 4 parts"
    tuner.kept.path.write_text(json.dumps(rows))
    tuned(backend, monkeypatch)
    assert differences(before, fingerprint("sim", before)) == [f"picked {PRODUCT} {old} -> medium, 4 parts"]


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


@pytest.mark.parametrize("dtype", ["float32", "float64", "tf32", "as-bfloat16", "float16", "bfloat16"])
def test_every_way_is_right(dtype, folder, monkeypatch, clock, rng) -> None:
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
    assert sum(row["tried"] > 1 for row in written(folder).values()) >= 8


def test_on_a_gpu_events_say_what_takes_least(folder, monkeypatch, rng) -> None:
    """There a kernel takes a microsecond for each block."""
    monkeypatch.setenv("GPUNN_TUNE", "full")
    monkeypatch.setattr(tuning, "MOST_LAUNCHES", 2)
    ways = offers.schedules(ROWS, OUTPUTS, INPUTS, may_transpose=True)
    added = -(-ROWS * OUTPUTS // 256)  # blocks of the launch that adds up parts
    blocks = {n: plan.grid[0] * plan.parts + (0 if plan.counted else added) for n, plan in ways.items()}
    with fake_cupy.installed() as machine:
        backend = gpunn.device("cuda").backend
        result, expected = linear(rng, backend)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
        row = written(folder)[PRODUCT]
        assert blocks[row["pick"]] == min(blocks.values()) < blocks[row["predicted"]]
        assert (row["us"], row["us_of_predicted"]) == (blocks[row["pick"]], blocks[row["predicted"]])
        step, _ = trained("cuda")
        assert "measured" in step.plan.explain_kernels()
        assert machine.calls["event recorded"] > 0
    (path,) = folder.glob("*.json")
    assert path.name.startswith("simulated-gpu-12.8-12.8-")
    assert json.loads(path.read_text())["measured on"]["driver"] == "12.8"
    with fake_cupy.installed(driver=13000):  # of another driver nothing is known
        linear(rng, gpunn.device("cuda").backend)
    assert len(list(folder.glob("*.json"))) == 2


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
