"""Kernels with one bug each: every one is caught, and its file and line are named.

The line with the bug ends in ``// BUG``. What would be right in its place follows in lines that begin with ``//+``
(without any, the bug is what another line should have prevented). Other lines that the right kernel has not end in
``// GOES``. So each text is two kernels, and the right one has to run clean, in every order of threads.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import pytest

from gpunn.backend.simulator import RawModule, SimulatorError

from .planted_by_boxes import BY_BOXES
from .planted_by_warpgroups import BY_WARPGROUPS
from .planted_elsewhere import ELSEWHERE
from .planted_in_memory import IN_MEMORY
from .texts import KERNELS

BUGS = IN_MEMORY + ELSEWHERE + BY_WARPGROUPS + BY_BOXES


def text_of(bugs, fixed):
    """One kernel text of all bugs, or of their fixes; notes in each bug the lines that are marked."""
    lines = ['#line 1 "planted.cu"', '#include "ptx_sm90.cuh"']
    for bug in bugs:
        code = bug.code.strip("\n").replace("__global__", 'extern "C" __global__').split("\n")
        marked = [i for i, line in enumerate(code) if line.endswith("// BUG")]
        if fixed:
            replaced = [i for i in range(len(code) - 1) if i in marked and code[i + 1].strip().startswith("//+")]
            code = [line for i, line in enumerate(code) if i not in replaced and not line.endswith("// GOES")]
            code = [line.replace("//+", "") for line in code]
        else:
            bug.lines = [len(lines) + i for i in marked]
        lines += code
    return "\n".join(lines)


@lru_cache(maxsize=1)
def modules():
    """The bugs and the fixes, compiled side by side. A grid barrier keeps a module on one worker, so it goes apart."""
    halves = [BUGS[::2], BUGS[1::2]]
    jobs = [(half, fixed, "check") for half in halves for fixed in (False, True)]
    jobs.append(([bug for bug in BUGS if bug.fast], False, "fast"))
    found = {}
    with ThreadPoolExecutor() as pool:
        compiled = pool.map(lambda job: (job, compiled_module(*job)), jobs)
        for (bugs, fixed, mode), (module, lines) in compiled:
            for bug in bugs:
                found[bug.name, fixed, mode] = module.get_function(bug.name), lines.get(bug.name)
    return found


def compiled_module(bugs, fixed, mode):
    text = text_of(bugs, fixed)
    lines = {bug.name: bug.lines for bug in bugs}
    module = RawModule(code=text, options=(f"-I{KERNELS}",), mode=mode)
    module.compile()
    return module, lines


def launch(kernel, bug, args):
    kernel((bug.grid,), (bug.block,), args(), shared_mem=bug.shared_mem)


def assert_caught(bug, mode):
    kernel, lines = modules()[bug.name, False, mode]
    with pytest.raises(SimulatorError) as caught:
        launch(kernel, bug, bug.args)
    error = caught.value
    assert error.kind == bug.kind, error
    assert error.file == "planted.cu"
    # Of two accesses that race, both are named.
    named = [int(n) for n in re.findall(r"planted\.cu:(\d+)", str(error))]
    assert named[0] == error.line
    assert set(lines) & set(named), f"{lines} not in {error}"
    if "race" not in bug.kind:
        assert error.line in lines, error


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_check_mode_catches(bug):
    assert_caught(bug, "check")


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.fast], ids=lambda bug: bug.name)
def test_fast_mode_catches(bug):
    assert_caught(bug, "fast")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_fixed_kernel_is_clean_in_every_order(bug):
    kernel, _ = modules()[bug.name, True, "check"]
    for order in ("forward", "reverse", "random"):
        kernel.order = order
        launch(kernel, bug, bug.fixed_args or bug.args)


def test_races_are_caught_in_every_order():
    for bug in BUGS:
        if "race" in bug.kind:
            kernel, _ = modules()[bug.name, False, "check"]
            for order in ("reverse", "random"):
                kernel.order = order
                with pytest.raises(SimulatorError, match=r"race|missing (wgmma wait|mbarrier)"):  # of who still reads
                    launch(kernel, bug, bug.args)
            kernel.order = "forward"
