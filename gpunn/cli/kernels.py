"""``gpunn bench kernels``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import gpunn

from .common import add_command, as_json, int_list, pick_device, print_table
from .errors import RunError, UsageError
from .progress import progress

if TYPE_CHECKING:
    from gpunn.bench.kernels import Row

PREDICTED_FOR = "h100"


def add_kernels(parts: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        parts,
        "kernels",
        "every version of a kernel: its time, bandwidth and share of the limit, and which one is picked",
        kernels,
        "  gpunn bench kernels                                  # all; measured on a GPU, else predicted for an H100\n"
        "  gpunn bench kernels softmax cumsum --gpu 'RTX 4090'\n"
        "  gpunn bench kernels linear_forward --shape 128,784,512 --gpu h100\n"
        "  GPUNN_TUNE=full gpunn bench kernels conv2d --device cuda",
    )
    parser.add_argument("ops", nargs="*", metavar="OP", help="an operation, such as matmul (default: all)")
    parser.add_argument("--shape", type=int_list, metavar="N,...", help="of the one operation that is named")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--gpu", metavar="G", help="predict for a GPU, such as h100; an unknown name lists those there are"
    )
    where.add_argument("--device", metavar="D", help="measure on cuda, cuda:1, ... (default: a GPU if there is one)")
    parser.add_argument("--json", action="store_true", help="the last line on standard output is one JSON object")


def kernels(options: argparse.Namespace) -> None:
    """Measure or predict, and print a table.

    Raises:
        UsageError: there is no such operation, shape, GPU or device.
        RunError: what predictions need is not on this machine.
    """
    from gpunn.backend.nvrtc import CompileError, NvrtcMissing, version
    from gpunn.bench.kernel_cases import CASES
    from gpunn.bench.kernels import rows
    from gpunn.inspect.profile import DisassemblerMissing, SolverMissing, gpu
    from gpunn.inspect.profile.disassembler import path

    for op in options.ops:
        if op not in CASES:
            raise UsageError(f"there is no operation {op!r} with several kernels; there are {', '.join(sorted(CASES))}")
    ops = list(dict.fromkeys(options.ops)) or list(CASES)
    if options.shape is not None and (len(ops) != 1 or len(options.shape) != len(CASES[ops[0]].sizes)):
        of = f"{ops[0]}: {', '.join(CASES[ops[0]].sizes)}" if len(ops) == 1 else "the one operation that is named"
        raise UsageError(f"--shape is that of {of}; got {','.join(map(str, options.shape))}")
    measured = options.device is not None or (options.gpu is None and gpunn.cuda.is_available())
    device = pick_device(options.device or "cuda") if measured else gpunn.device("sim")
    if measured and device.type != "cuda":
        raise UsageError(f"--device {device}: kernels are measured on a GPU; --gpu h100 predicts what one would take")
    board = None
    try:
        board = gpu(gpunn.cuda.get_device_name(device) if measured else options.gpu or PREDICTED_FOR)
    except ValueError as error:
        if not measured:
            raise UsageError(f"--gpu: {error}") from None
    try:
        if not measured:
            path()  # before minutes are spent
            version()
        with progress(*(("measuring", "measured") if measured else ("predicting", "predicted"))) as on_progress:
            shape = None if options.shape is None else tuple(options.shape)
            found = list(rows(ops, device, board, shape, on_progress))
    except (ValueError, NvrtcMissing, DisassemblerMissing, SolverMissing, CompileError) as error:
        raise RunError(str(error)) from None
    where = str(device) if measured else f"{board.name} ({board.arch})" if board else ""
    if options.json:
        result = {"on": where, "measured": measured, "gpu": board.name if board else None}
        print(as_json({**result, "rows": [row.to_dict() for row in found]}))
        return
    print(f"{where}: {'measured' if measured else 'predicted, nothing is measured'}")
    _print(found, measured)


def _print(found: list[Row], measured: bool) -> None:
    columns = ["op", "shape", "rung", f"us, {'measured' if measured else 'predicted'}", "GB/s", "TFLOP/s"]
    table = []
    for row in found:
        teraflops, percent = row.teraflops, row.percent_of_limit
        table.append(
            [
                *(row.op, "x".join(map(str, row.shape)), row.rung, f"{row.microseconds:10.2f}"),
                f"{row.gigabytes_per_second:6.0f}",
                "" if teraflops is None else f"{teraflops:7.2f}",
                "" if percent is None else f"{percent:4.0f}",
                *("yes" if row.picked else "", row.tile),
            ]
        )
    print_table([*columns, "% of limit", "picked", "tile"], table)
    print(
        "\nGB/s and TFLOP/s are of the bytes and the arithmetic that the operation needs at least; the limit is what\n"
        "the longer of both takes at the GPU's rates; picked is the rung that is taken where nothing else is asked for"
    )
