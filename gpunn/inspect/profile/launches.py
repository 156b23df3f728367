"""What kernels do when they run, as a GPU would count it: watched on the simulator."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpunn.backend import sim
from gpunn.backend.launch import C_TYPES, NUMPY_TYPES, compile_options
from gpunn.backend.signature import Parameter, signature
from gpunn.backend.simulator import LaunchProfile, RawModule, SimulatorError
from gpunn.printing import bytes_text

from .code import text_of

COUNTED_BLOCKS = 16
"""How many blocks of a large grid are counted."""
_MOST_BYTES = 4 << 30
"""Of an array whose elements are made up: the simulator takes twice as much again."""


def profile_launches(
    work: Callable[[], Any],
    before: Callable[[], Any] | None = None,
    counted_blocks: int | None = None,
    only_counted: bool = False,
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
        only_counted: no other blocks run, which takes much less time. What kernels write is incomplete then, and the
            bytes that are touched are scaled as well.

    Returns:
        A `LaunchProfile` for each launch, in their order.
    """
    backend = sim.backend()
    mode, found = backend.mode, backend.profiles
    backend.counted_blocks, backend.only_counted = counted_blocks, only_counted
    backend.configure(mode="profile")
    found.clear()
    try:
        if before is not None:
            found.paused = True
            before()
            found.paused = False
        work()
        return list(found)
    finally:
        found.clear()
        found.paused = False
        backend.counted_blocks, backend.only_counted = None, False
        backend.configure(mode=mode)


def launch_of(
    file: str,
    kernel: str,
    types: dict[str, str],
    grid: tuple[int, ...],
    block: tuple[int, ...],
    args: Sequence[str],
    shared: int = 0,
    counted_blocks: int | None = COUNTED_BLOCKS,
) -> LaunchProfile:
    """Launch a kernel on the simulator, of which only some blocks run, and count what these do.

    Args:
        file: a file of one's own, or the name of one of gpunn's kernel texts.
        kernel: the kernel's name in it.
        types: the type of each name that the text leaves open.
        grid: blocks along x, y, z.
        block: threads of a block along x, y, z.
        args: for each parameter what it is called with: of an array the number of its elements, which are random (whole
            numbers are 0); of a number its value.
        shared: bytes of dynamic shared memory.
        counted_blocks: how many blocks run, evenly spread; None: all.

    Raises:
        ValueError: there is no such kernel, or it can't be called with that.
    """
    path, code, folders = text_of(file)
    declared = signature(code, kernel, path.name)
    if len(args) != len(declared.parameters):
        raise ValueError(f"{declared} takes {len(declared.parameters)} arguments, got {len(args)}")
    random = np.random.default_rng(0)
    values = [_value(p, text.strip(), types, random) for p, text in zip(declared.parameters, args)]
    options = (*compile_options(types), *(f"-I{folder}" for folder in folders))
    module = RawModule(
        code=f'#line 1 "{path.name}"\n{code}',
        options=options,
        mode="profile",
        counted_blocks=counted_blocks,
        only_counted=True,
    )
    try:
        function = module.get_function(kernel)
        if shared > function.max_dynamic_shared_size_bytes:  # as on a GPU, where more than 48 KiB are asked for first
            function.max_dynamic_shared_size_bytes = shared
        function(grid, block, values, shared_mem=shared)
    except SimulatorError as error:
        raise ValueError(str(error)) from None
    return module.profiles[0]


def _value(p: Parameter, text: str, types: dict[str, str], random: np.random.Generator) -> Any:
    # float4 and the like are four of float.
    name, each = (p.type[:-1], int(p.type[-1])) if re.fullmatch(r"[a-z]+[234]", p.type) else (p.type, 1)
    scalar = types.get("scalar_t", "")
    known = types | {"acc_t": "float32" if scalar in ("float16", "bfloat16") else scalar}
    dtype = NUMPY_TYPES.get(C_TYPES.get(known.get(name, ""), name))
    if dtype is None or (each > 1 and not p.pointer):
        raise ValueError(f"{p}: only numbers and arrays of numbers can be given")
    try:
        if not p.pointer:
            return dtype.type(float(text) if dtype.kind == "f" else int(text))
        n = each * int(text)
        if not 0 <= n * dtype.itemsize <= _MOST_BYTES:
            raise ValueError
    except (ValueError, OverflowError):
        wanted = f"a number of elements, of up to {bytes_text(_MOST_BYTES)}," if p.pointer else f"a value of {dtype}"
        raise ValueError(f"{p}: {wanted} is expected, got {text!r}") from None
    if n == 0 and p.nullable:
        return None
    return random.uniform(-1, 1, n).astype(dtype) if dtype.kind in "fV" else np.zeros(n, dtype)
