"""Devices that can't be used, or fail: one clear error each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpunn
from gpunn import nn, optim

BUSY = "cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable"
NO_MEMORY = "cudaErrorMemoryAllocation: out of memory"
NOT_IN_A_CHILD = "cudaErrorInitializationError: initialization error"
ILLEGAL = "cudaErrorIllegalAddress: an illegal memory access was encountered"
UNKNOWN = "cudaErrorUnknown: unknown error"
UNCORRECTABLE = "cudaErrorECCUncorrectable: uncorrectable ECC error encountered"

# At the beginning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (BUSY, "another process has it for itself (the compute mode is exclusive), or nobody may use it (prohibited)"),
        (NO_MEMORY, "it has no memory left for one more process, which takes some hundred MiB to begin with"),
        (NOT_IN_A_CHILD, "start them with the method 'spawn'"),
        (UNKNOWN, "nvidia-smi says whether the GPU is still there"),
        (UNCORRECTABLE, "the system's log (dmesg) has lines with Xid"),
    ],
)
def test_a_device_that_cannot_be_begun_with(machine, error, meaning) -> None:
    machine.broken[0] = error
    with pytest.raises(gpunn.cuda.DeviceError) as caught:
        gpunn.ones(2, device="cuda")
    message = str(caught.value)
    assert message.startswith(f"the device cuda:0 can't be used: {error}; ")
    assert meaning in message
    assert "\n" not in message
    machine.broken.clear()  # the other process has ended
    assert gpunn.ones(2, device="cuda").tolist() == [1, 1]


def test_the_other_device_works(two) -> None:
    two.broken[1] = BUSY
    with pytest.raises(gpunn.cuda.DeviceError, match="the device cuda:1 can't be used"):
        gpunn.ones(2, device="cuda:1")
    assert gpunn.cuda.current_device() == 0
    assert gpunn.ones(2, device="cuda:0").tolist() == [1, 1]


def test_the_names_of_devices_need_none(two) -> None:
    two.broken.update({0: BUSY, 1: BUSY})
    assert gpunn.cuda.is_available()
    assert gpunn.cuda.device_count() == 2
    assert str(gpunn.device("cuda:1")) == "cuda:1"


# Later ----------------------------------------------------------------------------------------------------------------

X = np.arange(6, dtype=np.float32).reshape(2, 3)
CALLS: dict[str, Callable[[gpunn.Tensor], Any]] = {
    "new memory": lambda x: gpunn.empty(5, device=x.device),
    "a copy from the host": lambda x: x.device.backend.write(X, x._data),
    "a copy on the device": lambda x: x.device.backend.transfer(x._data, x._data),
    "a kernel": lambda x: x.device.backend.add(x._data, x._data, out=x._data),
    "a read": lambda x: x.tolist(),
    "the end of all work": lambda x: gpunn.cuda.synchronize(),
    "how much memory there is": lambda x: gpunn.cuda.mem_get_info(),
}


@pytest.mark.parametrize("error", [ILLEGAL, UNKNOWN])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_device_that_fails(machine, call, error) -> None:
    x = gpunn.tensor(X, device="cuda")
    call(x)
    machine.broken[0] = error
    with pytest.raises(gpunn.cuda.DeviceError) as caught:
        call(x)
    message = str(caught.value)
    assert message.startswith(f"cuda:0 has failed: {error}. Some launch up to now went wrong, or the GPU is lost")
    assert "start it anew, from a checkpoint" in message


def test_a_device_that_fails_between_planned_steps(machine) -> None:
    layer = nn.Linear(3, 2).to("cuda")
    step = gpunn.TrainStep(layer, nn.CrossEntropyLoss(), optim.Adam(layer.parameters()))
    batch = gpunn.tensor(X, device="cuda"), gpunn.tensor([0, 1], device="cuda")
    for _ in range(4):
        step(*batch)
    machine.broken[0] = ILLEGAL
    with pytest.raises(gpunn.cuda.DeviceError, match="cuda:0 has failed: cudaErrorIllegalAddress"):
        step(*batch)


def test_memory_that_is_out_is_no_failure(machine) -> None:
    with pytest.raises(gpunn.cuda.OutOfMemoryError, match="cuda:0 is out of memory"):
        gpunn.empty(1 << 31, dtype="uint8", device="cuda")
    assert gpunn.ones(2, device="cuda").tolist() == [1, 1]
