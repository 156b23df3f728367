"""``gpunn profile``: what a CUDA kernel, or each launch of a training step, would do on a GPU; on any machine.

With ``--device`` it measures a step on the device that is there; see `profile_measured`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .common import add_command, positive_int, print_table
from .errors import RunError, UsageError
from .options import OPTIMIZERS
from .profile_measured import add_measured, given, measured
from .profile_predicted import add_predicted, launches

if TYPE_CHECKING:
    from gpunn.inspect.profile import KernelCode

EXAMPLE = """\
  gpunn profile --kernel softmax.cu:softmax_forward_warp               one of gpunn's kernels, for sm_90
  gpunn profile --kernel softmax.cu:softmax_forward_warp --types scalar_t=float16 --arch sm_75
  gpunn profile --kernel matmul.cu:matmul_tiled --threads 256          and how many blocks a multiprocessor runs
  gpunn profile --kernel my/kernels.cu:add --arch sm_120 --json        a kernel of your own
  gpunn profile --model lenet --input 1,28,28 --batch-size 32          the launches of a training step
  gpunn profile --model lenet --input 1,28,28 --gpu h100               and what they would take, predicted
  gpunn profile --model cnn --input 1,28,28 --device cpu --by layer    the times of one, measured
  gpunn profile --model mlp:512,512 --input 784 --device cuda --trace step.json    and a trace for Perfetto"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--kernel",
        metavar="FILE:NAME",
        help="a kernel of a file, or of one of gpunn's kernel texts: what NVIDIA's compiler makes of it",
    )
    what.add_argument(
        "--model",
        help="mlp:SIZES, linear, lenet, cnn or FILE.py:FUNCTION: what each launch of a training step does, counted on "
        "the device sim; needs g++",
    )
    kernel = parser.add_argument_group("with --kernel")
    kernel.add_argument("--arch", metavar="A", help="the architecture (default: sm_90)")
    kernel.add_argument(
        "--types",
        metavar="T=TYPE,...",
        help="the types of names that the text leaves open, such as scalar_t=float16 (default: the first that it is "
        "compiled for)",
    )
    kernel.add_argument("--threads", type=positive_int, metavar="N", help="say how many blocks of N threads fit")
    kernel.add_argument(
        "--shared",
        type=positive_int,
        metavar="BYTES",
        help="dynamic shared memory that those blocks have (default: none)",
    )
    model = parser.add_argument_group("with --model")
    model.add_argument("--activation", default="relu")
    model.add_argument(
        "--input", default="1,8,8", metavar="N,...", help="shape of one sample (default: the digits' 1,8,8)"
    )
    model.add_argument("--classes", type=positive_int, default=10, metavar="N", help="number of outputs (default: 10)")
    model.add_argument("--batch-size", type=positive_int, default=32, metavar="N", help="default: 32")
    model.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    add_predicted(parser)
    add_measured(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Look into a kernel or a step, and print what was found."""
    if options.model is None:
        if named := given(options) or ("--gpu" if options.gpu else "--plot" if options.plot else ""):
            raise UsageError(f"{named} is for --model; it has no meaning with --kernel")
        _kernel(options)
    elif options.arch or options.types or options.threads or options.shared:
        raise UsageError("--arch, --types, --threads and --shared are for --kernel; they have no meaning with --model")
    elif given(options):
        measured(options)
    else:
        launches(options)


# A kernel -----------------------------------------------------------------------------------------------------------


def _kernel(options: argparse.Namespace) -> None:
    from gpunn.backend.nvrtc import NvrtcMissing
    from gpunn.inspect.profile import DisassemblerMissing, kernel_code, occupancy

    file, _, kernel = options.kernel.rpartition(":")
    if not (file and kernel):
        raise UsageError(f"--kernel is FILE:NAME, such as softmax.cu:softmax_forward_warp, got {options.kernel!r}")
    if options.shared and not options.threads:
        raise UsageError("--shared is the dynamic shared memory of blocks; give their --threads too")
    room = None
    try:
        found = kernel_code(file, kernel, options.arch or "sm_90", _types(options.types or ""))
        if options.threads:
            shared = found.usage.shared + (options.shared or 0)
            room = occupancy(found.arch, options.threads, found.usage.registers, shared)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except (NvrtcMissing, DisassemblerMissing) as missing:
        raise RunError(str(missing)) from None
    if options.json:
        print(json.dumps(found.to_dict() | ({"occupancy": asdict(room)} if room else {})))
        return
    _print_kernel(found)
    if room:
        print(
            f"\nblocks of {options.threads} threads: a multiprocessor runs {room.blocks} at once, {room.warps} of "
            f"{room.most_warps} warps, limited by {room.limited_by}"
        )


def _types(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(name and equals and choice for name, equals, choice in pairs):
        raise UsageError(f"--types is NAME=TYPE,..., such as scalar_t=float16, got {text!r}")
    return {name.strip(): choice.strip() for name, _, choice in pairs}


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
