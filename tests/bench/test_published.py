"""The kernels that others measured: they compute what they should, and their figures are those of the sources."""

from __future__ import annotations

import json
import re
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.published.ladders import FOLDER, UNITS, Ladder, Rung, ladders
from benchmarks.published.predicted import counted, judged
from benchmarks.published.report import render, row
from gpunn.backend import nvrtc
from gpunn.backend.kernel_texts import kernel_folder
from gpunn.backend.simulator import RawModule
from gpunn.inspect.profile import kernel_code
from gpunn.inspect.profile.code import _compiled as compiled
from gpunn.inspect.profile.gpus import gpu

EACH_KERNEL = {rung.kernel: (ladder, rung) for ladder in ladders() for rung in ladder.rungs if rung.kernel}
RACES = dict.fromkeys(EACH_KERNEL, ("check", "random", 128))
SEVERAL_LARGE_BLOCKS = {
    name: ("fast", "reverse", 256)
    for name, (ladder, rung) in EACH_KERNEL.items()
    if ladder.problem == "sgemm" and not rung.ragged
}
EACH_ARCHITECTURE = {ladder.file: ladder.arch for ladder in sorted(ladders(), key=lambda ladder: ladder.arch)}


@cache
def module(file: Path, mode: str) -> RawModule:
    return RawModule(code=f'#line 1 "{file.name}"\n{file.read_text()}', options=(f"-I{kernel_folder()}",), mode=mode)


def run(ladder: Ladder, rung: Rung, size: int, mode: str, order: str = "forward") -> list[tuple[Any, ...]]:
    """The arguments of the launches, after them."""
    launches = ladder.launches(rung, size)
    for launch in launches:
        kernel = module(ladder.file, mode).get_function(launch.kernel)
        kernel.order = order
        kernel(launch.grid, launch.block, launch.arguments, shared_mem=launch.shared)
    return [launch.arguments for launch in launches]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "mode", "order", "most"),
    [(name, *how) for each in (RACES, SEVERAL_LARGE_BLOCKS) for name, how in each.items()],
)
def test_a_kernel_computes_the_result_without_a_race(kernel, mode, order, most) -> None:
    ladder, rung = EACH_KERNEL[kernel]
    if rung.ragged or rung.blocks:
        sizes = {
            "sgemm": 100,
            "wide_sgemm": 100,
            "hgemm": 100,
            "reduction": 10_000,
            "softmax": 8,
            "rms_norm": 40,
            "copy": 10_000,
        }
        size = sizes[ladder.problem]
    else:
        size = max(most, ladder.step(rung)) if ladder.problem == "sgemm" else 2 * ladder.step(rung)
    (given, *_) = (launch.arguments for launch in ladder.launches(rung, size))
    done = run(ladder, rung, size, mode, order)
    if ladder.problem == "sgemm":  # of whole numbers, whose sums are exact
        a, b, c = (x.astype(np.float64) for x in (given[4], given[5], given[7]))
        np.testing.assert_array_equal(done[0][7], 0.5 * (a @ b) + 3 * c)
    elif ladder.problem in ("wide_sgemm", "hgemm"):
        a, b = (x.astype(np.float64) for x in given[:2])
        np.testing.assert_array_equal(done[0][2], a @ b)
    elif ladder.problem == "copy":
        np.testing.assert_array_equal(done[0][1], given[0])
    elif ladder.problem == "transpose":
        np.testing.assert_array_equal(done[0][1], given[0].T)
    elif ladder.problem == "softmax":
        e = np.exp(given[0].astype(np.float64))
        np.testing.assert_allclose(done[0][1], e / e.sum(axis=1, keepdims=True), rtol=2e-5, atol=0)
    elif ladder.problem == "rms_norm":
        x, weight, bias = (x.astype(np.float64) for x in given[:3])
        want = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) * weight + bias
        np.testing.assert_allclose(done[0][3], want, rtol=0, atol=2e-6)
    else:
        assert done[-1][1].sum(dtype=np.float64) == given[0].sum(dtype=np.float64) > 0
        assert len(done) == rung.passes


@pytest.mark.parametrize(("file", "arch"), EACH_ARCHITECTURE.items(), ids=lambda part: getattr(part, "name", part))
def test_a_text_compiles_for_the_architecture_it_was_measured_on(cuda_compiler, file, arch) -> None:
    made = compiled(str(file), arch, {})
    assert not made.warnings
    used = {rung.kernel for ladder in ladders() for rung in ladder.rungs if ladder.file == file and rung.kernel}
    assert made.kernels.keys() == used  # no kernel without a figure
    assert not [name for name, usage in made.kernels.items() if usage.spills]


def test_the_records_are_complete() -> None:
    assert len({ladder.name for ladder in ladders()}) == len(ladders())
    for ladder in ladders():
        assert ladder.unit in UNITS
        assert ladder.arch in nvrtc.ARCHITECTURES
        assert "https://" in ladder.source and re.match(r"20\d\d", ladder.date) and ladder.note
        assert len({rung.title for rung in ladder.rungs}) == len(ladder.rungs)
        for rung in ladder.rungs:
            assert rung.published > 0
            if rung.kernel:
                assert f" {rung.kernel}(" in ladder.file.read_text()
                assert 1 <= np.prod(rung.block) <= 1024


def test_no_figure_is_beyond_the_peak() -> None:
    for ladder in ladders():
        peak = (ladder.dram or 0) * 1e9 if ladder.moves else gpu(ladder.gpu).fp32_flops
        for rung in ladder.rungs:
            assert 0 < ladder.work() / ladder.seconds(rung) < peak, (ladder.name, rung.title)


@pytest.mark.parametrize(
    ("name", "title", "milliseconds"),
    [  # times that the sources print beside the rates, rounded
        ("transpose on an H100", "Naive", 18.0645),
        ("transpose on an H100", "Coarsen4", 3.0984),
        ("transpose on an H100", "Vec4_T64_Coarsen4", 2.9213),
        ("reduction by atomics on an RTX 3090", "0: jnp.sum reference", 0.154),
        ("reduction on an A100", "reduce_baseline", 0.99066),
        ("transpose on a T4", "v0 Naive", 1.91),
        ("reduction on a T4", "v2 Shared memory", 2.39),
        ("softmax on an RTX 4090", "PyTorch Kernel", 0.7035),
        ("wide sgemm on an H100", "Tiled RegTile", 67.7292),
        ("sgemm on an RTX A6000", "1: Naive", 444.8),  # 2 * 4096^3 = 137.439 GFLOP at 309.0 GFLOP/s
    ],
)
def test_what_a_rung_took(name, title, milliseconds) -> None:
    (ladder,) = (ladder for ladder in ladders() if ladder.name == name)
    (rung,) = (rung for rung in ladder.rungs if rung.title == title)
    assert ladder.seconds(rung) * 1e3 == pytest.approx(milliseconds, rel=2e-3)


def test_the_published_grids() -> None:
    grids = {(ladder.name, rung.kernel): ladder.grid(rung) for ladder in ladders() for rung in ladder.rungs}
    assert grids["sgemm on an RTX A6000", "sgemm_warps_a6000"] == (32, 32)
    assert grids["sgemm on an A100", "sgemm_warps_a100"] == (32, 64)
    assert grids["reduction on an A100", "reduce_many"] == (1024,)
    assert grids["reduction of whole numbers on an H100", "reduce_batch"] == (174763,)
    assert grids["wide sgemm on an H100", "sgemm_wide_square"] == (64, 32)  # as the profiler says
    assert grids["softmax on an RTX 4090", "softmax_threads"] == (4,)


def test_what_can_not_be_launched() -> None:
    ladder = ladders()[0]
    with pytest.raises(ValueError, match="'0: cuBLAS' of 'sgemm on an RTX A6000' is a library"):
        ladder.launches(ladder.rungs[-1], 128)
    with pytest.raises(ValueError, match="sgemm_square computes multiples of 128, got 100"):
        ladder.launches(ladder.rungs[4], 100)


@pytest.mark.parametrize(("title", "turns"), [("Naive", 16384 / 16), ("Tiled RegTile", 16384 / 8)])
def test_a_profiler_on_an_h100_counted_the_instructions_of_our_machine_code(nvdisasm, title, turns) -> None:
    """In kernels that do nothing much beside one loop, which `turns` times has 16 elements of k unrolled, or a tile."""
    (ladder,) = (ladder for ladder in ladders() if ladder.name == "wide sgemm on an H100")
    (rung,) = (rung for rung in ladder.rungs if rung.title == title)
    code = kernel_code(str(ladder.file), rung.kernel, ladder.arch)
    warps = np.prod(ladder.grid(rung)) * np.prod(rung.block) / 32
    loop = max(loop.instructions for loop in code.innermost)
    assert loop * turns * warps == pytest.approx(rung.counted["instructions"], rel=2e-3)
    assert code.usage.registers == rung.counted["registers"]


@pytest.mark.slow
def test_what_is_counted_for_a_prediction() -> None:
    rungs = {(ladder.name, rung.kernel): (ladder, rung) for ladder in ladders() for rung in ladder.rungs}
    (copy,) = counted(*rungs["copy by few and many on an H100", "copy_single"])
    assert [(array.read, array.written) for array in copy.arrays] == [(2 << 20, 0), (0, 2 << 20)]  # of one thread
    (rows,) = counted(*rungs["hgemm without tensor cores on an RTX 5090", "hgemm_rows"])  # a text that includes another
    assert sum(a.requests for a in rows.accesses if a.kind == "read") == 2 * 1024 * (1024 * 1024 // 32)


# What was predicted of them -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def predicted() -> list[dict[str, Any]]:
    return json.loads((FOLDER / "predicted.json").read_text(encoding="utf-8"))


def test_each_kernel_was_predicted(predicted) -> None:
    rungs = [(ladder.name, rung.title) for ladder in ladders() for rung in ladder.rungs if rung.kernel]
    assert [(row["ladder"], row["rung"]) for row in predicted] == rungs
    published = [rung.published for ladder in ladders() for rung in ladder.rungs if rung.kernel]
    assert [row["published"] for row in predicted] == published


def test_the_steps_of_an_sgemm(predicted) -> None:
    rows = {row["rung"].partition(":")[0]: row for row in predicted if row["ladder"] == "sgemm on an RTX A6000"}
    steps = [rows[number] for number in ("1", "2", "3", "4", "5", "6", "9", "10")]
    assert all(1 / 1.5 <= row["time_ratio"] <= 1.5 for row in rows.values())
    assert statistics.median(abs(row["time_ratio"] - 1) for row in steps) < 0.25
    rates = [row["predicted"] for row in steps]
    assert rates == sorted(rates)
    # What the source says that each waits for, in its words and in those of the model.
    same = {"pattern of memory": "global accesses", "memory": "global accesses", "bank conflicts": "shared memory"}
    same |= {"shared memory": "shared memory", "arithmetic": "issue"}
    assert [row["limiter"] for row in steps] == [same[row["published_limiter"]] for row in steps]


def test_the_page_is_that_of_the_rows(tmp_path) -> None:
    for name in ("predicted.json", "notes.md"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    render(tmp_path)
    assert (tmp_path / "README.md").read_text() == (FOLDER / "README.md").read_text()


def test_a_rung_is_predicted_as_it_was(nvdisasm, predicted) -> None:
    (ladder,) = (ladder for ladder in ladders() if ladder.name == "transpose on a T4")
    rung = next(rung for rung in ladder.rungs if rung.kernel == "transpose_padded")
    (recorded,) = (r for r in predicted if (r["ladder"], r["rung"]) == (ladder.name, rung.title))
    found = row(judged(ladder, rung))
    assert found["limiter"] == recorded["limiter"] and found["predicted"] == pytest.approx(
        recorded["predicted"], rel=0.02
    )
