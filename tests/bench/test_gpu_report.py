"""The report of a GPU, tried on the simulator and on a GPU that is none; without a GPU it says so."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gpunn
from gpunn import cuda

from ..backend import fake_cupy

ROOT = Path(__file__).resolve().parents[2]
MACHINE = Path(__file__).with_name("machine_with_a_gpu")


def call(*arguments, **environment):
    command = [sys.executable, "-m", "benchmarks.gpu_report", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | environment)


@pytest.fixture
def report(monkeypatch):
    """The program, in this process."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.gpu_report import __main__ as program

    return program


@pytest.fixture
def main(report, monkeypatch, capsys):
    """A function that calls the program in this process, and returns its exit code and what it wrote."""

    def main(*arguments):
        monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
        try:
            code = report.main()
        except SystemExit as end:  # argparse leaves so
            code = end.code
        return code, *capsys.readouterr()

    return main


@pytest.fixture
def summary(report):
    from benchmarks.gpu_report import summary

    return summary


def test_without_a_gpu():
    if cuda.is_available():
        pytest.skip("there is a GPU")
    done = call()
    assert done.returncode == 1
    assert done.stderr.startswith("no report: the device cuda ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--device", "cpu"), 1, "give --device cuda or sim"),
        (("--parts", "ops,lunch"), 2, "there are no parts lunch; there are stages, compile, trainings, ops"),
        (("--device", "sim", "--out", "file"), 2, "--out file can't be written"),
    ],
)
def test_wrong_calls(main, tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    found, out, err = main(*arguments)
    assert (found, out) == (code, "")
    assert said in err


@pytest.mark.slow
@pytest.mark.slow
def test_all_parts_on_the_simulator(report, main, monkeypatch, tmp_path):
    """The first in a process of its own, as all have on a GPU; the others in this one."""
    in_a_process = report.run

    def run(name, options, seconds):
        part = report.PARTS[name]
        if name == "stages":
            return in_a_process(name, options, seconds)
        with monkeypatch.context() as patch:
            for variable, value in part.environment.items():
                patch.setenv(variable, value)
            (tmp_path / name).touch()
            assert report.child(part, report.Setup(gpunn.device(options.device)), tmp_path / name) == 0
        found = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        return {"seconds": 1.0, "found": part.condense(found)}

    monkeypatch.setattr(report, "run", run)
    code, out, err = main("--device", "sim", "--out", tmp_path, "--limit", 9999)
    assert code == 0, out + err
    assert "They say nothing about a GPU." in out
    assert "nothing failed" in out
    assert len(out) <= 9000
    parts = json.loads((tmp_path / "gpu_sim.json").read_text())["parts"]
    expected = [
        "stages",
        "compile",
        "trainings",
        "ops",
        "training",
        "launches",
        "kernels",
        "ceilings",
        "tf32",
        "schedules",
        "tests",
    ]
    assert list(parts) == expected
    assert all(part["found"] and "error" not in part for part in parts.values())


STAGES = ("packages", "device", "compiler", "first kernel", "arguments", "products", "captured step", "gradients")


def test_a_stage_that_breaks_the_device_does_not_stop_the_next(nvdisasm, tmp_path):
    """With nothing installed that training does not need; a stage, two in a row, and the last."""
    broken = ("device", "first kernel", "arguments", "gradients")
    done = call(
        *("--tiny", "--out", tmp_path, "--parts", "stages,trainings"),
        PYTHONPATH=str(MACHINE),
        GPUNN_TEST_BROKEN=",".join(broken),
        GPUNN_TEST_ABSENT="platformdirs,rich,safetensors,hatchling,torch,matplotlib",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    parts = json.loads((tmp_path / "gpu_simulated_gpu.json").read_text())["parts"]
    said = {row["name"]: row["ok"] for row in parts["stages"]["found"]}
    assert said == {name: name not in broken for name in STAGES}
    assert "RuntimeError: cudaErrorIllegalAddress: an illegal memory access was encountered" in done.stdout
    assert "platformdirs, safetensors, rich" in done.stdout
    assert len(parts["trainings"]["found"]) == 4
    assert f"failures: {len(broken)}" in done.stdout


def test_a_part_that_fails_does_not_stop_the_others(report, main, monkeypatch, tmp_path):
    answers = {"trainings": {"seconds": 2.0, "found": [], "error": "the device broke", "log": ""}}
    monkeypatch.setattr(report, "run", lambda part, options, seconds: answers.get(part) or {"seconds": 1, "found": []})
    code, out, _ = main("--device", "sim", "--out", tmp_path, "--parts", "stages,trainings,kernels")
    assert code == 1
    assert "== trainings, 2 s, 2 failed\nFAIL the device broke" in out
    assert "failures: 2" in out
    assert list(json.loads((tmp_path / "gpu_sim.json").read_text())["parts"]) == ["stages", "trainings", "kernels"]


def test_a_part_that_takes_too_long_keeps_what_it_found_and_leaves_no_process(report, monkeypatch, tmp_path):
    started = tmp_path / "started"
    program = tmp_path / "program"
    program.write_text(
        "#!/bin/sh\n"
        "for rows; do :; done\n"  # the last argument
        'echo \'{"name": "first"}\' >> "$rows"\n'
        "sleep 600 &\n"
        f"printf %s $! > '{started}'\n"
        "wait\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(report.sys, "executable", str(program))
    options = type("Options", (), {"device": "sim", "tiny": True, "all": False})
    outcome = report.run("kernels", options, 1.0)
    assert outcome["found"] == [{"name": "first"}]
    assert outcome["error"] == "broken off after 1 s"
    for _ in range(100):
        if not is_alive(started.read_text()):
            return
        time.sleep(0.05)
    pytest.fail("what the part started is still there")


def is_alive(process):
    try:
        return Path("/proc", process, "stat").read_text().split()[2] != "Z"  # dead, and not yet forgotten
    except FileNotFoundError:
        return False


def test_a_checkout_that_can_not_be_written(report, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(report, "RESULTS", tmp_path / "file" / "results")
    elsewhere = report._folder(None)
    assert elsewhere.is_dir()
    elsewhere.rmdir()


def test_the_launches_of_a_step(report):
    """On a GPU that is none, where a kernel takes a microsecond for each block."""
    from benchmarks.gpu_report.launches import launches
    from benchmarks.gpu_report.setup import Setup

    with fake_cupy.installed():
        rows = list(launches(Setup(gpunn.device("cuda"), small=True)))
    whole = {row["kernel"]: row["us"] for row in rows if "launch" not in row}
    each = [row for row in rows if "launch" in row]
    assert [row["launch"] for row in each] == list(range(len(each)))
    assert [row["us"] for row in each] == pytest.approx([math.prod(row["grid"]) for row in each])
    assert whole["the graph"] == pytest.approx(sum(row["us"] for row in each))
    assert (each[0]["phase"], each[0]["op"], each[-1]["kernel"]) == ("forward", "LinearActivation", "adam_step")


def test_equal_failures_are_told_once(summary):
    failures = [f"case{i} in float32: {i}.5 times the tolerance" for i in range(7)] + ["other: no such kernel", "alone"]
    assert summary.grouped(failures) == [
        "FAIL 7 x 0.5 times the tolerance  [case0 in float32, case1 in float32, case2 in float32, case3 in float32, "
        "case4 in float32 and 2 more]",
        "FAIL no such kernel  [other]",
        "FAIL alone",
    ]


def test_the_summary_stays_within_its_room(summary, capsys, tmp_path):
    rows = [{"name": f"kernel {i}", "us": 1.5, "sizes": [8192, 8192]} for i in range(400)]
    parts = {name: {"seconds": 1.0, "found": rows} for name in ("kernels", "ceilings", "tf32")}
    said = summary.Summary({"machine": {}, "device": "cuda", "parts": parts}, 3)
    for part in parts:
        said.say(part)
    assert said.end(tmp_path) == 0
    out = capsys.readouterr().out
    assert len(out) <= summary.MOST
    assert all(f"== {part}, 1 s" in out for part in parts)
    assert "more lines are left out here" in out


@pytest.mark.parametrize("rows", [[], [{"test": "t", "outcome": "skipped", "said": "no GPU"}, {"passed": 0}]])
def test_no_test_passed_is_a_failure(summary, rows):
    assert summary.TABLES["tests"](rows)[1] == ["no test passed"]
