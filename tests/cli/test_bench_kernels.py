"""`gpunn bench kernels`."""

from __future__ import annotations

import pytest

import gpunn
from gpunn.backend import sim
from gpunn.backend.kernel import picks, tuning
from gpunn.backend.kernel.gemm import schedule
from gpunn.backend.kernel.ladder import LADDERS
from gpunn.bench import kernels
from gpunn.bench.kernel_cases import CASES, moved
from gpunn.inspect.profile import clock, gpu

from ..backend import fake_cupy


def test_every_ladder_has_a_case() -> None:
    assert sorted(CASES) == sorted(LADDERS)


@pytest.mark.parametrize("op", CASES)
def test_the_dispatcher_takes_one_of_the_rungs(op) -> None:
    """Nothing is computed: launches are taken down."""
    case, backend = CASES[op], gpunn.device("sim").backend
    work = case.make(backend, *case.counted)
    best, results = kernels._taken_down(backend, work)
    alike = []
    for name in LADDERS[op].rungs:
        with kernels.rung(op, name):
            alike.append(kernels._alike(kernels._taken_down(backend, work)[0], best))
    assert len(case.sizes) == len(case.shape) == len(case.counted)
    assert sum(alike) == 1
    assert moved(work, results) > 0


def test_bytes_and_arithmetic_by_hand() -> None:
    backend = gpunn.device("sim").backend
    expected = {
        "linear_forward": (4 * (8 * 16 + 32 * 16 + 32 + 8 * 32), 2 * 8 * 16 * 32, (8, 16, 32)),
        "linear_backward": (4 * (8 * 32 + 2 * 8 * 16 + 2 * 32 * 16 + 32), 4 * 8 * 16 * 32, (8, 16, 32)),
        "half_product": (2 * (8 * 16 + 16 * 32 + 8 * 32), 2 * 8 * 16 * 32, (8, 16, 32)),
        "conv2d": (4 * (2 * 3 * 25 + 4 * 3 * 9 + 4 + 2 * 4 * 25), 2 * 9 * 2 * 3 * 4 * 25, (2, 3, 4, 5)),
        "softmax": (4 * 2 * 6 * 7, None, (6, 7)),
        "max_pool": (4 * 2 * 3 * 16 + 5 * 2 * 3 * 4, None, (2, 3, 4)),
    }
    for op, (nbytes, flop, shape) in expected.items():
        case = CASES[op]
        work = case.make(backend, *shape)
        assert moved(work, kernels._taken_down(backend, work)[1]) == nbytes, op
        assert (case.flop and case.flop(*shape)) == flop, op


def test_the_limit_is_that_of_bytes_or_of_arithmetic() -> None:
    h100 = gpu("h100")
    bytes_of_copy = 8 * 512 * 512
    copying = h100.dram_bytes_per_second * h100.copy_share
    limit = kernels._limit(CASES["copy"], (512, 512), bytes_of_copy, h100)
    assert limit == pytest.approx(1e6 * bytes_of_copy / copying)
    sizes, flop = (4096, 4096, 4096), 2 * 4096**3
    assert kernels._limit(CASES["matmul"], sizes, 1, h100) == pytest.approx(1e6 * flop / h100.fp32_flops)
    assert kernels._limit(CASES["half_product"], sizes, 1, h100) == pytest.approx(
        1e6 * flop / h100.tensor_flops["bf16"]
    )
    t4 = gpu("t4")  # has no bfloat16
    assert kernels._limit(CASES["half_product"], sizes, 1, t4) == pytest.approx(1e6 * flop / t4.fp32_flops)


def test_a_gpu_without_tensor_cores_for_a_type(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "_predicted", lambda *args: 1.0)
    device, picked = gpunn.device("sim"), {}
    for name in ("t4", "h100"):
        rows = list(kernels.rows(["half_product"], device, gpu(name), (70, 40, 70)))
        picked[name] = {kernel for row in rows if row.picked for kernel in row.kernels[:1]}
    assert picked == {"t4": {"matmul_small"}, "h100": {"matmul_tensor_small"}}
    assert device.backend.tensor_cores is True


def test_predicted(gpunn_command, nvdisasm) -> None:
    result = gpunn_command("bench", "kernels", "cumsum", "--shape", "8,300", "--gpu", "h100")
    assert result.code == 0, result.err
    title, columns, *rows = result.out.splitlines()[:4]
    assert title == "H100 (sm_90): predicted, nothing is measured"
    assert columns.split()[:5] == ["op", "shape", "rung", "us,", "predicted"]
    assert columns.endswith("GB/s    TFLOP/s  % of limit  picked  tile")
    assert [row.split()[:3] for row in rows] == [["cumsum", "8x300", "naive"], ["cumsum", "8x300", "block"]]
    assert ["yes" in row for row in rows] == [False, True]


def test_predicted_as_json(gpunn_command, nvdisasm) -> None:
    result = gpunn_command("bench", "kernels", "linear_forward", "--shape", "40,200,70", "--gpu", "h100", "--json")
    assert result.code == 0, result.err
    answer = result.json
    assert (answer["measured"], answer["gpu"]) == (False, "H100")
    naive, vectorised = answer["rows"]
    plan = schedule(40, 70, 200, may_transpose=True)
    assert (naive["picked"], vectorised["picked"], naive["tile"]) == (False, True, "")
    assert vectorised["tile"].startswith(plan.size) and vectorised["tile"].endswith(f"{plan.parts} parts, predicted")
    assert vectorised["kernels"][0] == f"linear_forward_{plan.size}"
    for row in (naive, vectorised):
        us, nbytes = row["microseconds"], 4 * (40 * 200 + 70 * 200 + 70 + 40 * 70)
        assert us > 0 and (row["bytes"], row["flop"]) == (nbytes, 2 * 40 * 200 * 70)
        assert row["gigabytes_per_second"] == pytest.approx(nbytes / us / 1e3)
        assert row["teraflops"] == pytest.approx(2 * 40 * 200 * 70 / us / 1e6)
        assert row["percent_of_limit"] == pytest.approx(100 * row["limit"] / us)


def test_measured(gpunn_command, monkeypatch) -> None:
    """On a GPU that is none, where a kernel takes a microsecond for each block, and nobody knows the limits."""
    monkeypatch.setattr(kernels, "LAUNCHES", 2)
    monkeypatch.setattr(kernels, "measure", lambda *args, **more: clock.measure(*args, **{**more, "seconds": 0.0}))
    with fake_cupy.installed():
        result = gpunn_command("bench", "kernels", "softmax", "--shape", "40,300", "--device", "cuda", "--json")
        assert result.code == 0, result.err
        text = gpunn_command("bench", "kernels", "reduce", "--shape", "4,40", "--device", "cuda").out
    answer = result.json
    assert (answer["on"], answer["measured"], answer["gpu"]) == ("cuda:0", True, None)
    took = {row["rung"]: (row["microseconds"], row["percent_of_limit"]) for row in answer["rows"]}
    # Of a thread each 256 rows are a block, of 8 threads 32, of 16 threads 16, of a warp 8, of a block one.
    blocks = {"naive": 1, "columns": 2, "lanes": 3, "warp": 5, "block": 40}
    assert took == {rung: (count, None) for rung, count in blocks.items()}
    assert text.startswith("cuda:0: measured\n") and "us, measured" in text


def test_what_is_picked_by_measurement(gpunn_command, monkeypatch, tmp_path) -> None:
    """There the fewest blocks take least, and that is not what is predicted."""
    monkeypatch.setattr(kernels, "LAUNCHES", 1)
    monkeypatch.setattr(tuning, "MOST_LAUNCHES", 1)
    monkeypatch.setattr(kernels, "measure", lambda *args, **more: clock.measure(*args, **{**more, "seconds": 0.0}))
    monkeypatch.setattr(picks, "cache_folder", lambda name: tmp_path / name)
    call = ("bench", "kernels", "linear_forward", "--shape", "40,200,70", "--device", "cuda", "--json")
    took = {}
    for mode, by in (("off", "predicted"), ("full", "measured"), ("cached", "measured")):
        monkeypatch.setenv("GPUNN_TUNE", mode)
        with fake_cupy.installed():
            row = gpunn_command(*call).json["rows"][1]
        assert row["picked"] and row["tile"].endswith(by)
        took[mode] = row["microseconds"]
    assert took["cached"] == took["full"] < took["off"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("conv3d",), "there is no operation 'conv3d' with several kernels; there are adaptive_avg_pool, "),
        (("--shape", "3,4"), "--shape is that of the one operation that is named; got 3,4"),
        (("copy", "--shape", "3"), "--shape is that of copy: rows, columns; got 3"),
        (("copy", "--gpu", "h1000"), "--gpu: there are no figures of a GPU 'h1000'"),
        (("copy", "--device", "sim"), "--device sim: kernels are measured on a GPU; --gpu h100 predicts"),
        (("copy", "--device", "cpu"), "--device cpu: kernels are measured on a GPU"),
        (("copy", "--device", "cpu", "--gpu", "h100"), "not allowed with argument"),
        (("copy", "--shape", "0,4"), "'0' is not a whole number above 0"),
    ],
)
def test_calls_that_are_wrong(gpunn_command, arguments, said) -> None:
    result = gpunn_command("bench", "kernels", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_a_wrong_way_of_tuning(gpunn_command, monkeypatch) -> None:
    simulated = gpunn.device("sim")
    monkeypatch.setattr(simulated, "backend", None)
    monkeypatch.setattr(sim, "backend", sim.SimBackend)  # as in a new process
    del simulated.backend
    monkeypatch.setenv("GPUNN_TUNE", "always")
    result = gpunn_command("train", "--device", "sim", "--model", "mlp:4", "--epochs", 1)
    assert (result.code, result.out) == (2, "")
    assert "--device sim: GPUNN_TUNE is 'always'; expected off (kernels are picked as predicted), " in result.err
