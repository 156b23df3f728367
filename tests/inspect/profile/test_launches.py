"""What the launches of a piece of work do, watched on the simulator."""

from __future__ import annotations

import numpy as np
import pytest

import gpunn
from gpunn.backend import sim
from gpunn.inspect.profile import profile_launches


def test_the_launches_of_an_operation() -> None:
    x = gpunn.tensor(np.arange(256, dtype=np.float32), device="sim")
    found = []
    (launch,) = profile_launches(lambda: found.append(x + x))
    assert found[0].tolist() == (2 * np.arange(256)).tolist()
    assert [t.written for t in launch.arrays if t.written] == [1024]
    # Two warps' worth of quads are read and written: 512 bytes, 16 sectors, a request.
    assert {(a.kind, a.bytes, a.sectors // a.requests) for a in launch.accesses} == {
        ("read", 16, 16),
        ("write", 16, 16),
    }
    assert sum(a.requests for a in launch.accesses if a.kind == "write") == 2


def test_launches_come_in_order() -> None:
    x = gpunn.tensor(np.arange(32, dtype=np.float32), device="sim")
    names = [launch.kernel for launch in profile_launches(lambda: (x + x, gpunn.zeros(40, device="sim"), x * x))]
    assert names == ["binary", "fill", "binary"]


def test_what_comes_before_is_not_reported() -> None:
    x = gpunn.tensor(np.arange(32, dtype=np.float32), device="sim")
    launches = profile_launches(lambda: gpunn.zeros(40, device="sim"), before=lambda: x + x)
    assert [launch.kernel for launch in launches] == ["fill"]


def test_the_mode_is_what_it_was_before() -> None:
    mode = sim.backend().mode

    def fails() -> None:
        gpunn.ones(4, device="sim")
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        profile_launches(fails)
    assert (sim.backend().mode, sim.backend().profiles) == (mode, [])
    assert profile_launches(lambda: None) == []
