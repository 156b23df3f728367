"""What would help a kernel most, in one sentence, from what it waits for."""

from __future__ import annotations

import math

from gpunn.backend.simulator import LaunchProfile

from .gpus import Gpu
from .model import Prediction

_FEW = 0.7
"""Less of the multiprocessors than that is worth a word; so is a larger share of conflicts than what is left."""


def advice(launch: LaunchProfile, predicted: Prediction, gpu: Gpu) -> str:
    """One sentence; see `Prediction.limiter`.

    Args:
        launch: what the simulator counted.
        predicted: what it would take.
        gpu: where.
    """
    if predicted.microseconds < gpu.graph_node_us:
        return f"its work is less than what a launch costs ({gpu.graph_node_us:.1f} us): do it in another kernel"
    blocks = math.prod(launch.grid)
    if predicted.limiter not in ("DRAM", "L2") and predicted.busy < _FEW:
        at_once = "one" if predicted.rounds == 1 else f"{predicted.rounds} rounds"
        return (
            f"{blocks} blocks for {gpu.multiprocessors} multiprocessors, in {at_once}: smaller tiles or a sum in parts "
            "would give all of them work"
        )
    return _OF[predicted.limiter](launch, predicted)


def _of_latency(launch: LaunchProfile, predicted: Prediction) -> str:
    o = predicted.occupancy
    return (
        f"a warp waits for one thing after the other, and {o.warps} of {o.most_warps} warps (limited by "
        f"{o.limited_by}) do not cover it: more loads before the first is used, or more warps"
    )


def _of_global(launch: LaunchProfile, predicted: Prediction) -> str:
    memory = [a for a in launch.accesses if a.memory == "global"]
    lines = sum(a.lines for a in memory)
    needed = sum(max(a.requests, -(-a.threads * a.bytes // 128)) for a in memory)
    if lines > 2 * needed:
        worst = max(memory, key=lambda a: a.lines)
        return (
            f"a warp asks for {worst.lines / worst.requests:.0f} lines of 128 bytes at once at {worst.file}:"
            f"{worst.line}: let neighbours read neighbouring addresses"
        )
    return "it loads the same values again and again: keep them in shared memory or registers, load wider"


def _of_shared(launch: LaunchProfile, predicted: Prediction) -> str:
    passes = sum(a.passes for a in launch.accesses)
    conflicts = sum(a.conflicts for a in launch.accesses)
    if conflicts > (1 - _FEW) * passes:
        worst = max(launch.accesses, key=lambda a: a.conflicts)
        return (
            f"{100 * conflicts / passes:.0f} % of shared memory's cycles are conflicts between banks, most at "
            f"{worst.file}:{worst.line}: pad or swizzle"
        )
    return "more arithmetic for each value that is loaded: larger tiles a thread, wider loads"


def _of_issue(launch: LaunchProfile, predicted: Prediction) -> str:
    total = sum(predicted.kinds.values())
    useful = sum(predicted.kinds.get(k, 0.0) for k in ("FFMA", "tensor", "fp32", "fp64", "fp16", "MUFU"))
    return (
        f"{100 * useful / total:.0f} % of the instructions are arithmetic on data: fewer addresses, branches and moves "
        "between them (unrolling, wider accesses, indices that are carried along)"
    )


def _of_integer(launch: LaunchProfile, predicted: Prediction) -> str:
    return "it computes addresses and conditions most of the time: carry indices along, take divisions out of loops"


def _of_memory(launch: LaunchProfile, predicted: Prediction) -> str:
    share = predicted.floor / predicted.microseconds
    return (
        f"{100 * share:.0f} % of the time is needed for its bytes: fuse it with what comes before or behind, or use "
        "narrower types"
    )


def _of_arithmetic(launch: LaunchProfile, predicted: Prediction) -> str:
    return f"at the limit of its arithmetic units ({predicted.limiter}): a cheaper algorithm, or tensor cores"


def _of_atomics(launch: LaunchProfile, predicted: Prediction) -> str:
    return (
        f"{launch.contention:,} atomic operations fall on one address: add up in registers and shared memory before, "
        "or give each block a place of its own"
    )


_OF = {
    "atomics": _of_atomics,
    "latency": _of_latency,
    "shared memory": _of_shared,
    "global accesses": _of_global,
    "issue": _of_issue,
    "integer": _of_integer,
    "DRAM": _of_memory,
    "L2": _of_memory,
    "L2 to multiprocessor": _of_memory,
    "fp32": _of_arithmetic,
    "fp64": _of_arithmetic,
    "fp16": _of_arithmetic,
    "tensor cores": _of_arithmetic,
    "special functions": _of_arithmetic,
    "shuffles": _of_arithmetic,
}
