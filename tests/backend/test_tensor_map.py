"""Tensor maps by the driver, held against a stand-in that checks what it gets, and products on the device cuda."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn.backend import tensor_map
from gpunn.backend.device import DeviceError
from gpunn.backend.kernel.ladder import rung
from gpunn.backend.launch import STRUCTS
from gpunn.backend.tensor_map import Matrices, of_driver, of_simulator

GOOD = Matrices(0x7F0000001000, "float16", length=100, lines=70, matrices=3, pitch=104, step=104 * 72)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tensor_map") / "libcuda.so.1"
    source = Path(__file__).with_name("tensor_map_stand_in.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", path, source], check=True)
    return path


@pytest.fixture
def driver(built: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in in the driver's place."""
    found = ctypes.CDLL(str(built))
    for name in ("asked", "refuse"):
        ctypes.c_int.in_dll(found, name).value = 0
    made = of_driver.__wrapped__(found)
    monkeypatch.setattr(tensor_map, "of_driver", lambda: made)
    return found


def read(library: Any, name: str) -> int:
    return int(ctypes.c_int.in_dll(library, name).value)


@pytest.mark.parametrize(("type", "number"), [("float16", 6), ("bfloat16", 9)])
def test_the_driver_gets_what_the_simulator_reads(driver, type, number):
    for m in (GOOD, Matrices(64, type, 1, 1, 1, 8, 8), Matrices(1 << 40, type, 2**31, 5, 2**20, 2**31, 8)):
        made, expected = tensor_map.of_driver()(m._replace(type=type)), of_simulator(m._replace(type=type))
        assert made.dtype == STRUCTS["TensorMap"]
        assert made.size == 1
        assert made.tobytes() == expected.tobytes()
        assert read(driver, "last_type") == number
        assert not made.flags.writeable
    assert read(driver, "last_promotion") == 2


def test_equal_matrices_have_one_map(driver):
    made = tensor_map.of_driver()
    assert made(GOOD) is made(GOOD._replace(pitch=104))
    assert made(GOOD) is not made(GOOD._replace(address=GOOD.address + 16))
    assert read(driver, "asked") == 2
    assert of_simulator(GOOD) is of_simulator(GOOD._replace())


@pytest.mark.parametrize("change", [{"address": 8}, {"pitch": 100}, {"step": 4}, {"lines": 0}, {"pitch": 2**39}])
def test_what_the_driver_refuses_is_told(driver, change):
    with pytest.raises(RuntimeError, match=r"cuTensorMapEncodeTiled: error 1 of CUDA's driver for Matrices\(address="):
        tensor_map.of_driver()(GOOD._replace(**change))


def test_without_a_driver_or_with_an_old_one_the_error_says_what_to_do(monkeypatch):
    with pytest.raises(DeviceError, match=r"needs cuTensorMapEncodeTiled of a driver of CUDA 12.*choose 'tensor'"):
        of_driver.__wrapped__(SimpleNamespace())

    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(DeviceError, match=r"libcuda.so.1: cannot open"):
        of_driver.__wrapped__()


@pytest.mark.parametrize(("capability", "there"), [("80", False), ("90", True), ("100", False)])
def test_the_device_cuda_has_warpgroups_on_sm_90_alone(machine, driver, capability, there):
    backend = gpunn.device("cuda").backend
    x = gpunn.ones(8, 8, dtype=gpunn.float16, device="cuda")
    backend.device.compute_capability = capability
    assert backend.warpgroups is there
    with rung("half_product", "wgmma"):
        if there:
            assert (x @ x).sum().item() == 8**3
        else:
            with pytest.raises(DeviceError, match=r"for GPUs of compute capability 9\.0"):
                x @ x
    assert read(driver, "asked") == there  # both factors are the same matrix


def test_a_captured_step_is_replayed_with_the_maps_that_it_has(machine, driver):
    """Products of a training step, forward and backward: as on the rung tensor, and no map is made twice."""
    losses, asked = {}, []
    for name in ("wgmma", "tensor"):
        gpunn.manual_seed(0)
        model = gpunn.nn.Sequential(gpunn.nn.Linear(24, 32), gpunn.nn.ReLU(), gpunn.nn.Linear(32, 16))
        model = model.to("cuda").to(gpunn.bfloat16)
        step = gpunn.TrainStep(model, gpunn.nn.CrossEntropyLoss(), gpunn.optim.SGD(model.parameters(), lr=0.1))
        random = np.random.default_rng(1)
        found = losses[name] = []
        with rung("half_product", name):
            for _ in range(5):
                x = gpunn.tensor(random.standard_normal((40, 24)).astype(np.float32), device="cuda").to(gpunn.bfloat16)
                found.append(float(step(x, gpunn.tensor(random.integers(0, 16, 40), device="cuda"))))
                asked.append(read(driver, "asked"))
        products = [line for line in step.plan.explain_kernels().splitlines() if "matmul_" in line]
        assert products
        assert all(f"matmul_{name}_" in line for line in products)
        assert "graph: " in step.plan.explain_capture()
    assert asked[0] > 0
    assert len(set(asked[1:])) == 1  # what is replayed has the addresses of the arena
    np.testing.assert_allclose(losses["wgmma"], losses["tensor"], rtol=0.01)
    assert losses["wgmma"][0] != losses["wgmma"][1]
