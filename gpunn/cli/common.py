"""What several commands share: their parsers, and the device to use."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import gpunn
from gpunn.io import json_text
from gpunn.models import MODELS
from gpunn.optional import needed
from gpunn.printing import printable

from .errors import RunError, UsageError

MODEL_HELP = f"{', '.join(MODELS)}, with numbers as in mlp:512,512, or FILE.py:FUNCTION, which runs the file"
RUN_HELP = "a run folder of gpunn train; where its model was FILE.py:FUNCTION, the copy of that file in it is run"

as_json = json_text
INSTALL = "pip install 'gpunn[cuda12]' or 'gpunn[cuda13]'"
_DRIVER = Path("/proc/driver/nvidia/version")


def add_command(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], None], example: str
) -> argparse.ArgumentParser:
    """A subcommand with its help, its examples and the options that all have."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


def add_model(parser: argparse._ActionsContainer) -> None:
    """The options that name a network, for commands that need no data."""
    parser.add_argument("--model", default="cnn", help=MODEL_HELP)
    parser.add_argument("--input", default="1,8,8", metavar="N,...", help=SHAPE_HELP)
    add_network(parser)


def add_network(parser: argparse._ActionsContainer) -> None:
    """The options of a network besides its name and input."""
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--classes", type=positive_int, default=10, metavar="N", help="number of outputs (default: 10)")


def add_recompute(parser: argparse._ActionsContainer) -> None:
    """The option --recompute."""
    parser.add_argument(
        "--recompute",
        type=positive_int,
        metavar="N",
        help="cut an nn.Sequential into N segments, and compute all but the last one again in the backward: the same "
        "numbers for less memory and one more forward",
    )


def add_device(parser: argparse._ActionsContainer) -> None:
    """The option --device."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help="auto, cpu, cuda, cuda:1 or sim, CUDA kernels on the CPU (default: auto, a GPU if there is one)",
    )


def add_eager(parser: argparse._ActionsContainer) -> None:
    """The option --eager of commands that use a trained network."""
    parser.add_argument(
        "--eager", action="store_true", help="op by op, and not through a plan (default: as the run was trained)"
    )


def pick_device(name: str) -> gpunn.device:
    """The device of that name; "auto" is ``GPUNN_DEVICE``, else a GPU if one can be used, else the CPU.

    Where there may be a GPU and "auto" can't use it, a line on standard error says why.

    Raises:
        UsageError: there is no such device.
    """
    try:
        device = _best_device() if name == "auto" else gpunn.device(name)
        device.backend  # noqa: B018  (loads it, so that a device that does not work is reported here)
    except (ValueError, ImportError, gpunn.cuda.DeviceError) as error:
        raise UsageError(f"--device {name}: {error}") from None
    if device.type == "meta":
        raise UsageError(
            "--device meta: its tensors have no elements, so there is nothing to compute; see gpunn memory"
        )
    return device


def _best_device() -> gpunn.device:
    default = gpunn.get_default_device()
    if default.type != "cpu" or os.environ.get("GPUNN_DEVICE"):
        return default
    if importlib.util.find_spec("cupy") is None:
        if _DRIVER.exists():
            print(f"there is an NVIDIA driver, but CuPy is not installed ({INSTALL}); using the CPU", file=sys.stderr)
        return default
    if why := gpunn.cuda.why_unavailable():
        print(f"CuPy is installed, but no GPU can be used: {why}; using the CPU", file=sys.stderr)
        return default
    return gpunn.device("cuda")


SHAPE_HELP = "shape of one sample, such as 784, or int:20 of 20 whole numbers (default: the digits' 1,8,8)"


class Whole(tuple[int, ...]):
    """The shape of a sample of whole numbers, such as the numbers of words."""


def input_shape(text: str) -> tuple[int, ...]:
    """The shape of one sample, from numbers separated by commas; behind ``int:`` that of whole numbers.

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"(int:)?([1-9]\d*(?:,[1-9]\d*)*)", text)
    if found is None:
        raise UsageError(f"--input is a shape such as 1,28,28 or 784, or int:20 for whole numbers, got {text!r}")
    return (Whole if found[1] else tuple)(int(n) for n in found[2].split(","))


def positive_int(text: str) -> int:
    """An argparse type: a whole number above 0."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def int_list(text: str) -> list[int]:
    """An argparse type: whole numbers above 0, separated by commas."""
    return [positive_int(part) for part in text.split(",")]


def prepare_folder(out: Path | None) -> Path | None:
    """Make the output folder before anything is measured, so that a bad one is known early."""
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {out}: {error.strerror}") from None
    return out


def draw_possible() -> bool:
    """Whether matplotlib is there; one line says so if it is not."""
    if importlib.util.find_spec("matplotlib"):
        return True
    print("no plot: matplotlib is not installed; pip install 'gpunn[plot]'", file=sys.stderr)
    return False


def check_plot(path: Path | None) -> None:
    """See to it before the work that a picture can be drawn into this file.

    Raises:
        RunError: there is no matplotlib.
        UsageError: there is no such folder, or the name is not that of a picture.
    """
    if path is None:
        return
    try:
        needed("matplotlib", "--plot")
    except ImportError as missing:
        raise RunError(str(missing)) from None
    if path.suffix.lower() not in (".png", ".svg") or not path.parent.is_dir():
        raise UsageError(f"--plot is a file in a folder that is there, FILE.png or FILE.svg, got '{path}'")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "", file: Any = None) -> None:
    """A table on a terminal, and elsewhere plain lines with aligned columns. Numbers stand to the right."""
    columns = [_one_line(name) for name in columns]
    rows = [[cell if isinstance(cell, int) else _one_line(cell) for cell in row] for row in rows]
    console = Console(file=file)
    right = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(columns))]
    if console.is_terminal:
        table = Table(title=Text(title) if title else None)  # as texts, since names may look like markup
        for name, numbers in zip(columns, right):
            table.add_column(Text(name), justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        console.print(table)
        return
    lines = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    if title:
        print(title, file=file)
    for line in lines:
        cells = (c.rjust(w) if numbers else c.ljust(w) for c, w, numbers in zip(line, widths, right))
        print("  ".join(cells).rstrip(), file=file)


def _one_line(cell: Any) -> str:
    return printable(str(cell), keep="")
