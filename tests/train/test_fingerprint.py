"""What the bits of a run depend on."""

import platform

import numpy as np
import pytest

import gpunn
from gpunn.train import fingerprint
from gpunn.train.fingerprint import differences


def test_versions_and_machine(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.delenv("MKL_CBWR", raising=False)
    found = fingerprint("cpu")
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__
    assert found["gpunn"] == gpunn.__version__
    assert found["device"] == "cpu"
    assert found["OPENBLAS_CORETYPE"] == "Haswell"
    assert "MKL_CBWR" not in found
    assert found["blas"]
    assert all(type(value) in (str, int) for value in found.values())


def test_blas_as_threadpoolctl_sees_it():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    with threadpoolctl.threadpool_limits(1):
        assert fingerprint("cpu")["blas_threads"] == 1
    blas = [info for info in threadpoolctl.threadpool_info() if "numpy" in info["filepath"]]
    assert fingerprint("cpu")["blas_threads"] in {info["num_threads"] for info in blas}


def test_without_threadpoolctl(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = fingerprint("cpu")
    assert "blas_threads" not in found
    assert found["numpy"] == np.__version__


def test_it_is_the_same_when_asked_again():
    assert fingerprint("cpu") == fingerprint("cpu")
    assert differences(fingerprint("cpu"), fingerprint("cpu")) == []


def test_differences():
    before = {"numpy": "2.0.0", "cores": 2, "cpu": "A", "OMP_NUM_THREADS": "4", "blas_threads": 2}
    now = {"numpy": "2.1.0", "cores": 2, "cpu": "A", "OPENBLAS_CORETYPE": "SkylakeX"}
    assert differences(before, now) == [
        "numpy 2.0.0 -> 2.1.0",
        "OMP_NUM_THREADS 4 -> not set",
        "OPENBLAS_CORETYPE not set -> SkylakeX",
    ]
