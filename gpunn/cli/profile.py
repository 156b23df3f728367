"""``gpunn profile``: what a CUDA kernel, or each launch of a training step, would do on a GPU; on any machine.

See `profile_kernel` and `profile_predicted`. With ``--device`` it measures a step on the device that is there; see
`profile_measured`.
"""

from __future__ import annotations

import argparse
from typing import Any

from .common import MODEL_HELP, SHAPE_HELP, add_command, positive_int
from .errors import UsageError
from .options import OPTIMIZERS
from .profile_kernel import add_kernel, given_for_kernel, kernel
from .profile_measured import add_measured, given, measured
from .profile_predicted import add_predicted, launches

EXAMPLE = """\
  gpunn profile --kernel softmax.cu:softmax_forward_warp               one of gpunn's kernels, for sm_90
  gpunn profile --kernel softmax.cu:softmax_forward_warp --types scalar_t=float16 --arch sm_75
  gpunn profile --kernel matmul.cu:matmul_tiled --threads 256          and how many blocks a multiprocessor runs
  gpunn profile --kernel my/kernels.cu:add --arch sm_120 --json        a kernel of your own
  gpunn profile --kernel my/kernels.cu:add --gpu l4 --grid 4096 --threads 256 --args 1048576,1048576,1048576
                                                                       and what a launch of it would take, predicted
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
        help=f"{MODEL_HELP}: what each launch of a training step does, counted on the device sim; needs g++",
    )
    add_kernel(parser)
    model = parser.add_argument_group("with --model")
    model.add_argument("--activation", default="relu")
    model.add_argument("--input", default="1,8,8", metavar="N,...", help=SHAPE_HELP)
    model.add_argument("--classes", type=positive_int, default=10, metavar="N", help="number of outputs (default: 10)")
    model.add_argument("--batch-size", type=positive_int, default=32, metavar="N", help="default: 32")
    model.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    add_predicted(parser)
    add_measured(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> None:
    """Look into a kernel or a step, and print what was found."""
    if options.model is None:
        if named := given(options) or ("--plot" if options.plot else ""):
            raise UsageError(f"{named} is for --model; it has no meaning with --kernel")
        kernel(options)
    elif named := given_for_kernel(options):
        raise UsageError(f"{named} is for --kernel; it has no meaning with --model")
    elif given(options):
        measured(options)
    else:
        launches(options)
