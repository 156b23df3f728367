"""The command ``gpunn``.

Exit codes: 0 done, 1 the run failed, 2 the call was wrong, 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
Results go to standard output, everything else to standard error, so that ``gpunn train --json | tail -1`` is one JSON
object.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import gpunn
from gpunn.optional import needed
from gpunn.printing import printable

from .errors import RunError, UsageError, user_line
from .parser import Parser
from .say import speaks

COMMANDS = {
    "train": "train a network, by default on the bundled handwritten digits",
    "evaluate": "measure a trained network on data",
    "predict": "apply a trained network to data",
    "export": "write a trained network as ONNX, or its weights for PyTorch or NumPy",
    "debug": "do the step again in which numbers became infinite or NaN, and show where that began",
    "watch": "follow a run that is going, in the terminal and as a page",
    "report": "put a run, or several beside one another, on one page",
    "summary": "list a network's layers, output shapes and parameters, and what they cost",
    "memory": "forecast what a training step needs in memory, by layer",
    "gradcheck": "compare gradients with central differences, of a network, a loss or an operation",
    "compare": "compute a training step in two ways, and say where they first part",
    "explain": "derive a network's gradient step by step, with formulas, shapes, numbers and memory; or a lesson",
    "draw": "draw a network: its graph, its gradients, its layers, or a planned step",
    "doctor": "check what gpunn stands on here, and say what mends it; look into the kernels",
    "profile": "look into a CUDA kernel, or the launches of a training step; needs no GPU",
    "bench": "measure speed: batch sizes against throughput, and training strategies",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = " ".join(["gpunn", *arguments[:1]])
    debug = False
    try:
        with _ended_by_signals():
            try:
                parser = _parser(arguments)
            except ImportError as error:
                print(f"gpunn: {error}", file=sys.stderr)
                return 1
            options = parser.parse_args(arguments)
            options.argv, debug = arguments[1:], getattr(options, "debug", False)
            if hasattr(options, "run"):
                options.run(options)
            else:
                parser.print_help()
    except KeyboardInterrupt as interrupt:
        number = getattr(interrupt, "signal", signal.SIGINT)
        with suppress(OSError):  # the terminal may be what went
            if speaks():
                print(f"\n{command}: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 128 + int(number)
    except BrokenPipeError:
        return 1
    except Exception as error:
        if debug:
            raise
        if speaks() or not getattr(error, "on_all_ranks", False):
            print(f"{command}: {printable(_message(error))}", file=sys.stderr)
        return exit_code(error)
    return 0


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP.

    signal: its number
    """

    def __init__(self, number: int):
        super().__init__("the terminal was closed" if number == signal.SIGHUP else "terminated")
        self.signal = number


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does, so that it can say so and leave the terminal as it was.

    Those that somebody handles or ignores, as nohup does, stay so.
    """
    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: Any) -> None:
    raise Ended(number)


def exit_code(error: Exception) -> int:
    """2 where the call was wrong, 1 where the run failed."""
    from gpunn.datasets import DataError
    from gpunn.io import FileFormatError
    from gpunn.models import ModelError

    wrong_call = (UsageError, DataError, ModelError, FileFormatError)
    wrong_path = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
    return 2 if isinstance(error, wrong_call + wrong_path) else 1


def _message(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror is not None:
        names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return f"{names}: {error.strerror}" if names else str(error.strerror)
    if isinstance(error, MemoryError) and not isinstance(error, RuntimeError):  # a device's own says all of it
        what = f"out of memory: {error}" if str(error) else "out of memory"
        return f"{what}; smaller batches and networks need less, and gpunn memory tells how much"
    if (line := user_line(error)) is not None:
        return f"{line}: {type(error).__name__}: {text}"
    if isinstance(error, (UsageError, RunError, RuntimeError, ValueError, IndexError, OSError)):
        return text
    return f"{type(error).__name__}: {text} (--debug shows where)"


def _parser(arguments: list[str]) -> Parser:
    parser = Parser(
        prog="gpunn",
        description="Train neural networks by backpropagation, on the CPU or a GPU.",
        epilog="example: gpunn train --data digits --model mlp:128,128   (then: gpunn COMMAND --help)",
    )
    parser.add_argument("--version", action="version", version=f"gpunn {gpunn.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in COMMANDS.items():
        # Only the module of the command that was asked for is loaded: help and errors come at once.
        if name in arguments[:1]:
            needed("rich", "the command gpunn")
            importlib.import_module(f"gpunn.cli.{name}").add(commands, name, text)
        else:
            commands.add_parser(name, help=text)
    return parser
