"""Where the command works: what "auto" takes, and what it says of it."""

import importlib.util
import json

import pytest

import gpunn
from gpunn.cli import common

from ..backend import fake_cupy

QUICK = ("--epochs", 1, "--model", "mlp:8", "--batch-size", "full")


@pytest.fixture(autouse=True)
def no_default(monkeypatch):
    monkeypatch.delenv("GPUNN_DEVICE", raising=False)
    monkeypatch.setattr("gpunn.backend.device._default", None)


def test_auto_takes_a_gpu(gpunn_command, tmp_path):
    with fake_cupy.installed():
        result = gpunn_command("train", *QUICK, "--out", "run")
        assert result.code == 0, result.err
        assert "parameters on cuda:0" in result.err
        assert "using the CPU" not in result.err
        found = (tmp_path / "run" / "config.toml").read_text()
        assert 'device = "cuda:0"' in found
        assert 'gpu = "Simulated GPU"' in found
        assert gpunn_command("evaluate", "run", "--json").json["samples"] > 0
    # The run goes on where there is no GPU, and says what that changes.
    with fake_cupy.installed(driver=0):
        result = gpunn_command("train", "--resume", "run", "--epochs", 2)
        assert result.code == 0, result.err
        assert "device cuda:0 -> cpu" in result.err
        assert "CuPy is installed, but no GPU can be used: there is no NVIDIA driver; using the CPU\n" in result.err


def test_auto_takes_what_the_environment_names(gpunn_command, monkeypatch):
    monkeypatch.setenv("GPUNN_DEVICE", "cpu")
    with fake_cupy.installed():
        assert "parameters on cpu" in gpunn_command("train", *QUICK).err
    monkeypatch.setattr("gpunn.backend.device._default", None)
    monkeypatch.setenv("GPUNN_DEVICE", "cuda:3")
    with fake_cupy.installed():
        result = gpunn_command("train", *QUICK)
    assert (result.code, result.out) == (2, "")
    assert "no device cuda:3; the only one is cuda:0" in result.err


def test_auto_without_cupy(gpunn_command, monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cupy" else find(name))
    monkeypatch.setattr(common, "_DRIVER", tmp_path / "no driver")
    assert "CuPy" not in gpunn_command("train", *QUICK).err
    monkeypatch.setattr(common, "_DRIVER", tmp_path)
    err = gpunn_command("train", *QUICK).err
    assert "there is an NVIDIA driver, but CuPy is not installed (pip install 'gpunn[cuda12]'" in err
    assert "parameters on cpu" in err


@pytest.mark.parametrize("driver", [0, 12080])
def test_a_device_that_is_not_there(gpunn_command, driver):
    with fake_cupy.installed(driver=driver):
        result = gpunn_command("train", "--device", "cuda:1", *QUICK)
    assert (result.code, result.out) == (2, "")
    why = "there is no device cuda:1; the only one is cuda:0" if driver else "can't be used: there is no NVIDIA driver"
    assert why in result.err


def test_the_simulator(gpunn_command, tmp_path):
    result = gpunn_command("train", "--device", "sim", *QUICK, "--out", "run", "--json")
    assert result.code == 0, result.err
    assert "parameters on sim" in result.err
    assert 'device = "sim"' in (tmp_path / "run" / "config.toml").read_text()
    resumed = gpunn_command("train", "--resume", "run", "--epochs", 2, "--json")
    assert "parameters on sim" in resumed.err
    on_cpu = gpunn_command("train", "--device", "cpu", *QUICK, "--json").json
    assert result.json["train_loss"] == pytest.approx(on_cpu["train_loss"], rel=1e-4)


def test_bench_on_the_simulator(gpunn_command, tmp_path):
    arguments = ("bench", "batch-size", "--workload", "W3", "--batch-sizes", "2", "--quick", "--device", "sim")
    result = gpunn_command(*arguments, "--json", "--out", "out")
    assert result.code == 0, result.err
    (row,) = result.json["rows"]
    assert (row["device"], row["valid"]) == ("sim", True)
    assert json.loads((tmp_path / "out" / "batch_size_W3_sim.json").read_text())["rows"][0]["device"] == "sim"


def test_peers_on_the_simulator(gpunn_command, monkeypatch):
    monkeypatch.setattr("gpunn.cli.bench_rows.missing", lambda name: None)
    arguments = ("bench", "batch-size", "--batch-sizes", "2", "--device", "sim")
    result = gpunn_command(*arguments, "--peers", "gpunn-eager,torch")
    assert result.code == 2
    assert "only gpunn runs on the device sim" in result.err


def test_what_was_measured_on(gpunn_command):
    from gpunn.bench import machine
    from gpunn.train.fingerprint import fingerprint

    with fake_cupy.installed():
        assert machine.describe(gpunn.device("cuda"))["gpu"] == "Simulated GPU"
        assert fingerprint(gpunn.device("cuda"))["cuda_driver"] == "12.8"
        assert fingerprint(gpunn.device("cuda"))["device"] == "cuda:0"
    assert "gpu" not in machine.describe(gpunn.device("cpu"))
