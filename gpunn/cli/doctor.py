"""``gpunn doctor``: what gpunn stands on here, what each kernel takes of a GPU, and what each op is made of."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from .common import add_command, add_model, positive_int, print_table
from .compiling import compile_kernels, compiling_bar
from .errors import RunError, UsageError
from .options import OPTIMIZERS

EXAMPLE = """\
  gpunn doctor                               Python, NumPy, CuPy, driver, compilers, caches
  gpunn doctor --kernels                     registers, spills and shared memory of every kernel on sm_90
  gpunn doctor --kernels --arch all          every kernel for all architectures; needs no GPU
  gpunn doctor --compile --model lenet --input 1,28,28      the kernels that training it needs, for the GPU here
  gpunn doctor --compile --all --arch sm_90 --cuda 13       every kernel, for another machine; GPUNN_CACHE says where to
  gpunn doctor --ops                         what each op asks of a backend, and which kernels that is"""
_COLOURS = {"ok": "green", "absent": "yellow", "wrong": "red"}


def add(commands: Any, name: str, text: str) -> None:
    """Add the command."""
    parser = add_command(commands, name, text, run, EXAMPLE)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--kernels", action="store_true", help="compile every CUDA kernel, and list what it takes")
    what.add_argument("--compile", action="store_true", help="compile kernels before they are needed, and keep them")
    what.add_argument("--ops", action="store_true", help="list the primitives and the kernels of every op")
    parser.add_argument(
        "--arch",
        metavar="A,...",
        help="architectures such as sm_75,sm_90; all: all that gpunn is made for, by --kernels most of them with some "
        "types only (default: sm_90; with --compile that of the GPU here)",
    )
    parser.add_argument(
        "--cuda",
        type=int,
        choices=(12, 13),
        help="whose NVRTC compiles (default: that of CUDA 12 if it is there; with --compile that of CuPy)",
    )
    ahead = parser.add_argument_group("with --compile")
    ahead.add_argument("--all", action="store_true", help="every kernel in every type, not only those of a network")
    add_model(ahead)
    ahead.add_argument("--batch-size", type=positive_int, default=64, metavar="N", help="default: 64")
    ahead.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Print what was asked for; a `RunError` where something is wrong that has to be right."""
    if (options.arch or options.cuda) and not (options.kernels or options.compile):
        raise UsageError("--arch and --cuda say how --kernels and --compile compile; give one of these too")
    if options.kernels:
        _kernels(options)
    elif options.compile:
        compile_kernels(options)
    elif options.ops:
        _ops(options)
    else:
        _environment(options)


def _environment(options: argparse.Namespace) -> None:
    from gpunn.inspect.doctor import doctor

    found = doctor()
    if options.json:
        print(json.dumps(found.to_dict()))
    elif Console().is_terminal:
        table = Table("state", "what", Column("found", overflow="fold"), show_header=False)
        for f in found.findings:
            colour = _COLOURS[f.state]
            remedy = f"\n[bold]{escape(f.remedy)}[/]" if f.remedy else ""
            table.add_row(f"[{colour}]{f.state}[/]", f.what, escape(f.found) + remedy)
        Console().print(table)
    else:
        for f in found.findings:
            print(f"{f.state:<8}{f.what:<16}{f.found}" + (f"  ->  {f.remedy}" if f.remedy else ""))
    if not found.works:
        raise RunError("gpunn can't work here: see above")


def _kernels(options: argparse.Namespace) -> None:
    from gpunn.backend.compilations import SAMPLED, THOROUGH
    from gpunn.backend.nvrtc import ARCHITECTURES, NvrtcMissing
    from gpunn.inspect.kernels import kernel_report

    everywhere = options.arch == "all"
    archs = list(ARCHITECTURES) if everywhere else (options.arch or "sm_90").split(",")
    with compiling_bar() as (start, advance):
        try:
            report = kernel_report(
                archs, every_type=not everywhere, major=options.cuda, on_start=start, on_done=advance
            )
        except ValueError as error:
            raise UsageError(f"--arch: {error}") from None
        except NvrtcMissing as missing:
            raise RunError(str(missing)) from None
    title = f"by NVRTC {report.nvrtc}, {len(report.results)} compilations"
    if everywhere:
        title += f"; every type on {' and '.join(THOROUGH)}, {', '.join(sorted(SAMPLED))} on the others"
    if options.json:
        print(json.dumps({"nvrtc": report.nvrtc, "kernels": report.rows, "errors": report.errors}))
    elif len(archs) > 1:
        columns, rows = report.arch_table()
        print_table(["text", *columns], rows, f"most registers of a kernel, {title}")
    else:
        columns = ["text", "kernel", "types", "registers", "stack", "spills", "shared"]
        print_table(columns, report.kernel_table(), f"{archs[0]}, {title}; memory in bytes")
    for problem in (*report.errors, *report.spills):
        print(problem, file=sys.stderr)
    if report.errors or report.spills:
        raise RunError(f"{len(report.errors)} errors, {len(report.spills)} kernels that spill registers")


def _ops(options: argparse.Namespace) -> None:
    from gpunn.inspect.primitives import primitive_uses

    uses = primitive_uses()
    if options.json:
        print(json.dumps([u.to_dict() for u in uses]))
    else:
        print_table(
            ["op", "primitive", "on a GPU", "kernel texts"],
            [[u.op, u.primitive, u.path, ", ".join(u.texts)] for u in uses],
        )
