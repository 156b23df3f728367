"""What the mode "profile" counts equals what was counted by hand: sectors, conflicts between banks, executed lines.

Arrays begin at multiples of 256 bytes, a sector has 32 bytes, and there are 32 banks of 4 bytes.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from gpunn.backend.simulator import Access, RawModule

from .profiled import GLOBAL, SHARED, TEXT
from .texts import KERNELS

F, I = np.float32, np.int32


ELEMENT = {"float": F, "unsigned char": np.uint8, "short": np.int16, "double": np.float64, "float3": F, "float4": F}


def line_of(comment: str) -> int:
    (number,) = (i for i, line in enumerate(TEXT.splitlines(), 1) if re.search(rf"// {comment}$", line))
    return number


@pytest.fixture(scope="module")
def module():
    return RawModule(code=TEXT, options=(f"-I{KERNELS}",), mode="profile")


@pytest.fixture
def run(module):
    def launch(name, grid, block, *args, shared_mem=0):
        module.get_function(name)(grid, block, args, shared_mem=shared_mem)
        return module.profiles.pop()

    return launch


def at(profile, comment: str) -> list[Access]:
    """The accesses at a line."""
    return [a for a in profile.accesses if a.line == line_of(comment)]


def executions(profile, comment: str) -> tuple[int, int]:
    (found,) = ((line.warps, line.threads) for line in profile.lines if line.line == line_of(comment))
    return found


# Counted by hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GLOBAL)
def test_sectors(run, name) -> None:
    element, _, _, expected = GLOBAL[name]
    x = np.zeros(4404, ELEMENT[element])
    found = [a for a in at(run(name, (1,), (32,), x, x.copy()), name) if a.kind == "read"]
    assert [(a.requests, a.sectors, a.useful_bytes) for a in found] == ([expected] if expected else [])
    assert {(a.memory, a.passes, a.conflicts) for a in found} <= {("global", 0, 0)}


@pytest.mark.parametrize("name", SHARED)
def test_conflicts_between_banks(run, name) -> None:
    element, _, _, expected = SHARED[name]
    x = np.zeros(4404, ELEMENT[element])
    (found,) = (a for a in at(run(name, (1,), (32,), x, x.copy()), name) if a.memory == "shared")
    assert (found.kind, found.requests, found.sectors) == ("read", 1, 0)
    assert (found.passes, found.conflicts) == expected


def test_writes(run) -> None:
    (found,) = at(run("write", (1,), (32,), np.zeros(64, F)), "write: strided")
    assert found == Access(
        "kernel.cu", line_of("write: strided"), (), "global", "write", 4, 1, 32, 2, 8, 128, 0, 0, 0, 0
    )


def test_a_view_lies_where_it_lies_in_its_owner(run) -> None:
    x, y = np.zeros(300, F), np.zeros(32, F)
    sectors = [at(run("stride_1", (1,), (32,), x[n : n + 32], y), "stride_1")[0].sectors for n in (0, 1, 7, 8, 64, 65)]
    assert sectors == [4, 5, 5, 4, 4, 5]


def test_several_blocks_of_several_warps(run) -> None:
    x = np.zeros(192, F)
    profile = run("copy", (3,), (64,), x, x.copy())
    assert [(a.kind, a.requests, a.threads, a.sectors) for a in at(profile, "copy: body")] == [
        ("read", 6, 192, 24),
        ("write", 6, 192, 24),
    ]
    assert executions(profile, "copy: body") == (6, 192)
    assert (profile.kernel, profile.grid, profile.block) == ("copy", (3, 1, 1), (64, 1, 1))


def test_of_a_large_grid_some_blocks_are_counted_and_scaled() -> None:
    module = RawModule(code=TEXT, options=(f"-I{KERNELS}",), mode="profile", counted_blocks=4)
    x = np.arange(640, dtype=F)
    y = np.zeros(640, F)
    module.get_function("copy")((10,), (64,), (x, y))
    (profile,) = module.profiles
    assert (y == x).all()
    assert profile.counted_blocks == 4
    assert [(a.kind, a.requests, a.sectors) for a in at(profile, "copy: body")] == [("read", 20, 80), ("write", 20, 80)]
    assert executions(profile, "copy: body") == (20, 640)
    assert [(t.read, t.written) for t in profile.arrays] == [(2560, 0), (0, 2560)]


def test_a_block_that_is_no_multiple_of_a_warp(run) -> None:
    x = np.zeros(40, F)
    (found,) = (a for a in at(run("copy", (1,), (40,), x, x.copy()), "copy: body") if a.kind == "read")
    assert (found.requests, found.threads, found.sectors, found.useful_bytes) == (2, 40, 5, 160)


def test_each_pass_through_a_loop_is_a_request(run) -> None:
    x = np.zeros(320, F)
    profile = run("loop", (1,), (32,), x, x.copy(), I(10))
    assert [(a.requests, a.sectors) for a in at(profile, "loop: body")] == [(10, 40)]
    assert executions(profile, "loop: body") == (10, 320)
    assert executions(profile, "loop: end") == (1, 32)


def test_lanes_that_leave_a_loop_earlier(run) -> None:
    x = np.zeros(32, F)
    profile = run("triangle", (1,), (32,), x, x.copy())
    (found,) = at(profile, "triangle: body")
    assert (found.requests, found.threads, found.sectors) == (32, 32 * 33 // 2, 32)  # each time one element
    assert executions(profile, "triangle: body") == (32, 32 * 33 // 2)


def test_the_sides_of_a_branch(run) -> None:
    x = np.zeros(64, F)
    profile = run("branches", (1,), (64,), x, x.copy(), x.copy())
    assert executions(profile, "branches: first") == (2, 40)
    assert executions(profile, "branches: second") == (1, 24)
    assert [(a.kind, a.sectors) for a in at(profile, "branches: second")] == [("read", 3), ("write", 3)]


def test_atomic_operations(run) -> None:
    x = np.zeros(32, I)
    (found,) = at(run("count", (1,), (32,), x), "count: body")
    assert (found.kind, found.requests, found.threads, found.sectors, found.useful_bytes) == ("atomic", 1, 32, 1, 16)
    assert x[:4].tolist() == [8, 8, 8, 8]


def test_a_function_that_is_called_twice(run) -> None:
    x = np.zeros(64, F)
    profile = run("called", (1,), (32,), x, x.copy())
    (found,) = at(profile, "helper")
    assert (found.requests, found.sectors) == (2, 4 + 8)
    assert executions(profile, "helper") == (2, 64)


def test_dynamic_shared_memory_between_barriers(run) -> None:
    x, y = np.zeros(34, F), np.zeros(32, F)
    profile = run("dynamic", (1,), (32,), x, y, shared_mem=128)
    by_memory = {a.memory: a for a in at(profile, "dynamic: write")}
    assert by_memory["global"].sectors == 4 + 5 + 5
    assert (by_memory["shared"].passes, by_memory["shared"].conflicts) == (3, 0)
    (found,) = (a for a in at(profile, "dynamic: read") if a.memory == "shared")
    assert (found.requests, found.passes, found.conflicts) == (3, 3, 0)  # two lanes for each of 16 words


def test_asynchronous_copies(run) -> None:
    x = np.zeros((32, 4), F)
    found = at(run("copied", (1,), (32,), x, x.copy()), "copied: copy")
    assert [(a.memory, a.kind, a.bytes, a.requests, a.sectors, a.passes, a.conflicts) for a in found] == [
        ("global", "read", 16, 1, 16, 0, 0),
        ("shared", "write", 16, 1, 0, 8, 4),
    ]


def test_blocks_that_meet(run) -> None:
    x, y = np.arange(64, dtype=F), np.zeros(64, F)
    profile = run("meeting", (2,), (32,), x, y, np.zeros(1, np.uint32))
    assert (y == 63).all()
    for comment, arrays in (("meeting: before", 1), ("meeting: after", 2)):  # that are read there
        (found,) = (a for a in at(profile, comment) if a.kind == "read")
        assert (found.requests, found.threads, found.sectors) == (2 * arrays, 64 * arrays, 8 * arrays)
        assert executions(profile, comment) == (2, 64)


def test_matrices_of_tensor_cores(run) -> None:
    profile = run("matrices", (1,), (32,), np.zeros(32, np.uint32))
    for comment, expected in (("matrices: close", (1, 4, 0)), ("matrices: apart", (1, 8, 4))):
        (found,) = (a for a in at(profile, comment) if a.memory == "shared")
        assert (found.requests, found.passes, found.conflicts) == expected


def test_a_function_that_is_inlined_at_two_places(run) -> None:
    x = np.zeros(64, F)
    profile = run("twice", (1,), (32,), x, x.copy())
    assert executions(profile, "inlined") == (1 + 3, 4 * 32)
    assert [(a.called_at, a.requests, a.sectors) for a in at(profile, "inlined")] == [
        ((("kernel.cu", line_of("first call")),), 1, 4),
        ((("kernel.cu", line_of("second call")),), 3, 12),
    ]


def test_operations_of_a_warp(run) -> None:
    x, y = np.ones(32, F), np.zeros(1, F)
    profile = run("sums", (1,), (32,), x, y)
    assert y[0] == 32
    assert executions(profile, "sums: shuffle") == (5, 160)
    assert executions(profile, "sums: end") == (1, 1)


def test_local_arrays_are_no_memory(run) -> None:
    x = np.arange(32, dtype=I)
    found = at(run("local", (1,), (32,), x, x.copy()), "local: end")
    assert [(a.memory, a.kind, a.requests) for a in found] == [("global", "read", 1), ("global", "write", 1)]


def test_bytes_touched_at_least_once(run) -> None:
    x, y = np.zeros(100, F), np.zeros(100, F)
    touched = run("stride_2", (1,), (32,), x, y).arrays
    assert [(t.name, t.bytes, t.read, t.written) for t in touched] == [
        ("argument 1 'x'", 400, 128, 0),
        ("argument 2 'y'", 400, 0, 128),
    ]


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_the_order_of_threads_makes_no_difference(module, run, order) -> None:
    kernel = module.get_function("dynamic")
    kernel.order = order
    x, y = np.zeros(34, F), np.zeros(32, F)
    kernel((1,), (32,), (x, y), shared_mem=128)
    assert module.profiles.pop() == run("dynamic", (1,), (32,), x, y, shared_mem=128)


def test_results_are_those_of_the_other_modes(run) -> None:
    x, y = np.arange(100, dtype=F), np.zeros(100, F)
    run("stride_2", (1,), (32,), x, y)
    assert (y[:32] == 2 * np.arange(32)).all()
