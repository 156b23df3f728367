"""``gpunn profile``: what NVIDIA's compiler made of a CUDA kernel, on any machine."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from .common import add_command, print_table
from .errors import RunError, UsageError

if TYPE_CHECKING:
    from gpunn.inspect.profile import KernelCode

EXAMPLE = """\
  gpunn profile --kernel softmax.cu:softmax_forward_warp               one of gpunn's kernels, for sm_90
  gpunn profile --kernel softmax.cu:softmax_forward_warp --types scalar_t=float16 --arch sm_75
  gpunn profile --kernel my/kernels.cu:add --arch sm_120 --json        a kernel of your own"""


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    parser.add_argument(
        "--kernel", required=True, metavar="FILE:NAME", help="a kernel of a file, or of one of gpunn's kernel texts"
    )
    parser.add_argument("--arch", default="sm_90", metavar="A", help="the architecture (default: sm_90)")
    parser.add_argument(
        "--types",
        default="",
        metavar="T=TYPE,...",
        help="the types of names that the text leaves open, such as scalar_t=float16 (default: the first that it is "
        "compiled for)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Compile, disassemble, count and print."""
    from gpunn.backend.nvrtc import NvrtcMissing
    from gpunn.inspect.profile import DisassemblerMissing, kernel_code

    file, _, kernel = options.kernel.rpartition(":")
    if not (file and kernel):
        raise UsageError(f"--kernel is FILE:NAME, such as softmax.cu:softmax_forward_warp, got {options.kernel!r}")
    try:
        found = kernel_code(file, kernel, options.arch, _types(options.types))
    except ValueError as error:
        raise UsageError(str(error)) from None
    except (NvrtcMissing, DisassemblerMissing) as missing:
        raise RunError(str(missing)) from None
    if options.json:
        print(json.dumps(found.to_dict()))
    else:
        _print(found)


def _types(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(name and equals and choice for name, equals, choice in pairs):
        raise UsageError(f"--types is NAME=TYPE,..., such as scalar_t=float16, got {text!r}")
    return {name.strip(): choice.strip() for name, _, choice in pairs}


def _print(found: KernelCode) -> None:
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
