"""``gpunn profile --kernel FILE.cu:NAME``: what NVIDIA's compiler makes of it, and what a launch would take."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .common import as_json, positive_int, print_table
from .errors import RunError, UsageError

if TYPE_CHECKING:
    from gpunn.inspect.profile import KernelCode, Prediction

COUNTED_BLOCKS = 16


def add_kernel(parser: argparse.ArgumentParser) -> None:
    """The options of a kernel."""
    group = parser.add_argument_group("with --kernel")
    group.add_argument("--arch", metavar="A", help="the architecture (default: sm_90, or that of --gpu)")
    group.add_argument(
        "--types",
        metavar="T=TYPE,...",
        help="the types of names that the text leaves open, such as scalar_t=float16 (default: the first that it is "
        "compiled for)",
    )
    group.add_argument("--threads", metavar="N[,N,N]", help="threads of a block; says how many blocks fit")
    group.add_argument(
        "--shared", type=positive_int, metavar="BYTES", help="dynamic shared memory of a block (default: none)"
    )
    group.add_argument("--grid", metavar="N[,N,N]", help="with --gpu: blocks of a launch")
    group.add_argument(
        "--args",
        metavar="A,...",
        help="with --gpu: what the kernel is called with: for an array the number of its elements, which are random; "
        "for a number its value",
    )


def given_for_kernel(options: argparse.Namespace) -> str:
    """The first of these options that is given; empty if none is."""
    names = ("arch", "types", "threads", "shared", "grid", "args")
    return next((f"--{name}" for name in names if getattr(options, name)), "")


def kernel(options: argparse.Namespace) -> None:
    """Look into a kernel, and print what was found.

    Raises:
        UsageError: there is no such kernel, GPU or type, or it can't be launched like that.
        RunError: what is needed is not on this machine.
    """
    from gpunn.backend.nvrtc import CompileError, NvrtcMissing
    from gpunn.inspect.profile import DisassemblerMissing, SolverMissing, gpu, kernel_code, occupancy

    file, _, name = options.kernel.rpartition(":")
    if not (file and name):
        raise UsageError(f"--kernel is FILE:NAME, such as softmax.cu:softmax_forward_warp, got {options.kernel!r}")
    if options.shared and not options.threads:
        raise UsageError("--shared is the dynamic shared memory of blocks; give their --threads too")
    if options.gpu and not (options.grid and options.threads):
        raise UsageError("--gpu predicts a launch; give its --grid, --threads and --args too")
    if (options.grid or options.args) and not options.gpu:
        raise UsageError("--grid and --args are of a launch that is predicted; name a GPU by --gpu too")
    threads = _sizes("--threads", options.threads or "1")
    room = prediction = launch = None
    try:
        board = gpu(options.gpu) if options.gpu else None
        arch = options.arch or (board.arch if board else "sm_90")
        if board and arch != board.arch:
            raise UsageError(f"--arch {arch}: {board.name} is {board.arch}")
        types = _types(options.types or "")
        found = kernel_code(file, name, arch, types)
        if options.threads:
            shared = found.usage.shared + (options.shared or 0)
            room = occupancy(found.arch, math.prod(threads), found.usage.registers, shared)
        if board:
            from gpunn.inspect.profile import launch_of, predict

            grid = _sizes("--grid", options.grid)
            args = options.args.split(",") if options.args else []
            launch = launch_of(file, name, found.types, grid, threads, args, options.shared or 0)
            prediction = predict(launch, board)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except (NvrtcMissing, DisassemblerMissing, SolverMissing, CompileError) as missing:
        raise RunError(str(missing)) from None
    if options.json:
        more: dict[str, Any] = {"occupancy": asdict(room)} if room else {}
        more |= {"prediction": asdict(prediction)} if prediction else {}
        print(as_json(found.to_dict() | more))
        return
    _print_kernel(found)
    if room:
        print(
            f"\nblocks of {math.prod(threads)} threads: a multiprocessor runs {room.blocks} at once, {room.warps} of "
            f"{room.most_warps} warps, limited by {room.limited_by}"
        )
    if prediction and launch and board:
        from gpunn.inspect.profile import advice

        _print_prediction(prediction)
        print(f"\nwhat would help most: {advice(launch, prediction, board)}")


def _types(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(name and equals and choice for name, equals, choice in pairs):
        raise UsageError(f"--types is NAME=TYPE,..., such as scalar_t=float16, got {text!r}")
    return {name.strip(): choice.strip() for name, _, choice in pairs}


def _sizes(option: str, text: str) -> tuple[int, int, int]:
    parts = [part.strip() for part in text.split(",")]
    if not 1 <= len(parts) <= 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"{option} is one to three numbers above 0, such as 64,8, got {text!r}")
    x, y, z = (*map(int, parts), 1, 1)[:3]
    return x, y, z


def _print_kernel(found: KernelCode) -> None:
    types = "".join(f" {variable}={name}" for variable, name in found.types.items())
    usage = found.usage
    spilled = usage.spill_stores + usage.spill_loads
    print(f"{found.kernel} ({found.text}{types}) on {found.arch}, by NVRTC {found.nvrtc}, nvdisasm {found.nvdisasm}")
    print(
        f"{usage.registers} registers a thread, {usage.shared} bytes of static shared memory a block, "
        f"{usage.stack} bytes of stack, " + (f"{spilled} bytes of spills" if spilled else "no spills")
    )
    innermost = len(found.innermost)
    print(f"{found.blocks} basic blocks, {found.loops} loops, {innermost} of them innermost\n")
    print_table(
        ["innermost loop", "instructions", "stall cycles", "by kind"],
        [[_place(x.file, *x.lines), x.instructions, x.stall_cycles, _listed(x.kinds)] for x in found.innermost],
    )
    print(f"\nthe whole kernel, {found.instructions} instructions: {_listed(found.kinds)}")


def _place(file: str, first: int, last: int) -> str:
    return f"{file}:{first}" if first == last else f"{file}:{first}-{last}"


def _listed(kinds: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in kinds.items())


def _print_prediction(p: Prediction) -> None:
    from gpunn.printing import bytes_text

    warps = math.prod(p.grid) * -(-math.prod(p.block) // 32)
    print(
        f"\na launch of {math.prod(p.grid):,} blocks on {p.gpu}, predicted: {p.microseconds:,.2f} us ({p.low:,.2f} to "
        f"{p.high:,.2f}), limited by {p.limiter}; its bytes and multiplications alone {p.floor:,.2f} us, "
        f"{bytes_text(round(p.dram_bytes))} of DRAM"
    )
    print_table(["resource", "us"], [[name, f"{us:10.2f}"] for name, us in p.resources.items() if us])
    executed = ", ".join(f"{name} {n / warps:,.1f}" for name, n in p.kinds.items())
    print(f"\nexecuted by a warp: {executed}")
