"""The report of a GPU, tried on the simulator; without a GPU it says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpunn import cuda

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments):
    command = [sys.executable, "-m", "benchmarks.gpu_report", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_without_a_gpu():
    if cuda.is_available():
        pytest.skip("there is a GPU")
    done = call()
    assert done.returncode == 1
    assert done.stderr.startswith("no report: the device cuda ")
    assert done.stderr.count("\n") == 1


def test_wrong_calls():
    assert "give --device cuda or sim" in call("--device", "cpu").stderr
    done = call("--parts", "ops,lunch")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there are no parts lunch; there are tests, ops" in done.stderr


@pytest.mark.slow
def test_all_parts_on_the_simulator():
    path = ROOT / "benchmarks" / "results" / "gpu_sim.json"
    path.unlink(missing_ok=True)
    done = call("--device", "sim")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "They say nothing about a GPU." in done.stdout
    assert "nothing failed" in done.stdout
    parts = json.loads(path.read_text())["parts"]
    assert list(parts) == ["tests", "ops", "trainings", "ceilings", "tf32", "kernels", "training"]
    assert all("found" in part for part in parts.values())
    path.unlink()


def test_a_part_that_fails_does_not_stop_the_others(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.gpu_report import __main__ as report

    answers = {"tests": {"error": "the device broke", "log": ""}}
    found = {"passed": 3, "failed": [], "skipped": {"no torch": 2}}
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "run", lambda part, options: answers.get(part) or {"seconds": 1.0, "found": []})
    monkeypatch.setattr(sys, "argv", ["report", "--device", "sim", "--parts", "tests,trainings,kernels"])
    assert report.main() == 1
    out = capsys.readouterr().out
    assert "tests failed: the device broke" in out
    assert "failures: 1" in out
    assert list(json.loads((tmp_path / "gpu_sim.json").read_text())["parts"]) == ["tests", "trainings", "kernels"]
    answers["tests"] = {"seconds": 1.0, "found": found}
    assert report.main() == 0
    assert "tests: 3 passed, 0 failed, 2 skipped" in capsys.readouterr().out
