"""The rung wgmma on the device cuda: where there is such an instruction, and more shared memory than usual."""

from __future__ import annotations

from typing import Any

import pytest

import gpunn
from gpunn.backend.device import DeviceError
from gpunn.backend.kernel.ladder import rung


@pytest.mark.parametrize(("capability", "there"), [("80", False), ("90", True), ("100", False)])
def test_the_device_cuda_has_warpgroups_on_sm_90_alone(machine: Any, capability: str, there: bool):
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
