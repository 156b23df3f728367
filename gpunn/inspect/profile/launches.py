"""What kernels do when they run, as a GPU would count it: watched on the simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpunn.backend import sim
from gpunn.backend.simulator import LaunchProfile


def profile_launches(
    work: Callable[[], Any], before: Callable[[], Any] | None = None, counted_blocks: int | None = None
) -> list[LaunchProfile]:
    """Run something on the device ``sim``, and count what each of its launches does.

    Counted are how often a warp executes each line; for each access of a warp to global memory the sectors of 32 bytes,
    to shared memory its cycles and the conflicts between banks; the bytes of each array that are touched. What is
    counted is the text as g++ compiles it: NVIDIA's compiler may keep in a register what is read again here, or read at
    once what lies side by side. Lanes that part are put together by the number of times that they come to a place, so
    in a loop whose turns differ from lane to lane, within another loop, the sectors are an estimate. Caches are not
    simulated.

    It is much slower than the mode "fast", and takes memory for all that the warps of a block do between two barriers.

    Args:
        work: a function of no arguments, such as ``lambda: step(x, y)``.
        before: what is done first and not reported. The first call of a `gpunn.TrainStep`, which makes the plan, has
            its place here: a plan that was made earlier goes on with the kernels that it has, which count nothing.
        counted_blocks: how many blocks of a larger grid are counted, evenly spread, and scaled to all; None: all. The
            bytes that are touched are those of all blocks.

    Returns:
        A `LaunchProfile` for each launch, in their order.
    """
    backend = sim.backend()
    mode, found = backend.mode, backend.profiles
    backend.counted_blocks = counted_blocks
    backend.configure(mode="profile")
    found.clear()
    try:
        if before is not None:
            before()
            found.clear()
        work()
        return list(found)
    finally:
        found.clear()
        backend.counted_blocks = None
        backend.configure(mode=mode)
