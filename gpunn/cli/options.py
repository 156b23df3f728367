"""The options of ``gpunn train``: on the command line, in a TOML file, and in a run's config.toml."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpunn.datasets import NAMES
from gpunn.models import ACTIVATIONS
from gpunn.models.from_file import file_and_function
from gpunn.printing import did_you_mean

from .common import MODEL_HELP, add_device, add_recompute, positive_int
from .errors import UsageError
from .values import (
    AUGMENTATIONS,
    LOGGERS,
    augmentations,
    batch_size,
    bytes_of,
    every,
    fraction,
    image_size,
    loggers,
    not_negative,
    positive,
    seed_of,
)

LOSSES = ("cross_entropy", "mse", "l1", "smooth_l1", "huber", "bce_with_logits")
LOSSES_OF_CLASSES = ("cross_entropy", "bce_with_logits")
TASKS = ("classification", "regression")
SCHEDULES = ("onecycle", "cosine", "step", "exponential", "plateau", "none")
DEFAULT_LR = {
    **{"adam": 2e-3, "adamw": 2e-3, "sgd": 0.05, "rmsprop": 1e-3, "adagrad": 0.02, "adadelta": 1.0, "adamax": 4e-3},
    **{"nadam": 2e-3, "radam": 2e-3, "asgd": 0.1, "rprop": 1e-2, "lion": 4e-4},
}
"""The optimizers, and for each the largest learning rate of the schedule."""
OPTIMIZERS = tuple(DEFAULT_LR)
BASE_BATCH_SIZE = 64
"""The batch size that learning rates are meant for, and the default."""
NOT_CONFIGURED = (
    *("config", "out", "resume", "json", "debug", "command", "run", "argv", "given", "help"),
    *("ranks", "restart", "timeout"),
)
"""Options of the call, not of the training; they are not in a run's config.toml."""
FIXED_IN_A_RUN = (
    "target",
    "task",
    "image_size",
    "model",
    "activation",
    "optimizer",
    "batch_size",
    "validation",
    "seed",
)
"""What a resumed run can't have otherwise: its weights fit another network, or it has learned what would measure it."""
TABLES_OF_A_RUN = ("data_info", "call", "fingerprint")
"""What a run's config.toml has beside the options."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of training."""
    what = parser.add_argument_group("what to train")
    what.add_argument(
        "--data",
        default="digits",
        metavar="WHAT",
        help="digits, mnist, fashion_mnist, cifar10, PATH.npz, PATH.csv, PATH.parquet or a folder",
    )
    what.add_argument(
        "--data-root", metavar="DIR", help="the folder with the files of mnist and the like; else downloaded"
    )
    what.add_argument(
        "--target",
        metavar="COLUMN",
        help="a table's column of labels, by its name or number; default: label, target, class or y, else the last one",
    )
    what.add_argument(
        "--task", choices=TASKS, help="what whole numbers as labels are; default: as --loss asks for, else classes"
    )
    what.add_argument(
        "--image-size", type=image_size, metavar="H,W", help="resize the pictures of a folder to so many pixels"
    )
    what.add_argument(
        "--model",
        metavar="M",
        help=f"{MODEL_HELP} (default: cnn for images, mlp:128,128 else)",
    )
    what.add_argument("--activation", default="relu", choices=list(ACTIVATIONS))
    what.add_argument("--loss", choices=LOSSES, help="default: cross_entropy for classes, mse for numbers")
    how = parser.add_argument_group("how to train")
    how.add_argument("--epochs", type=positive_int, default=20, metavar="N", help="default: 20")
    how.add_argument(
        "--batch-size", type=batch_size, default=BASE_BATCH_SIZE, metavar="N|full", help="of all ranks; default: 64"
    )
    how.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    how.add_argument(
        "--lr",
        type=positive,
        metavar="X",
        help="largest learning rate; default: " + ", ".join(f"{k} {v:g}" for k, v in DEFAULT_LR.items()),
    )
    how.add_argument("--momentum", type=fraction, metavar="X", help="of sgd and rmsprop; default: 0.9 for sgd")
    how.add_argument(
        "--l2", type=not_negative, default=0.0, metavar="X", help="l in the penalty l/2 sum W^2; default: 0"
    )
    how.add_argument("--schedule", choices=SCHEDULES, default="onecycle", help="of the learning rate")
    how.add_argument(
        "--scale-lr",
        choices=("linear", "sqrt"),
        help=f"multiply the learning rate by B/{BASE_BATCH_SIZE}, or by its root, for steps on B samples",
    )
    how.add_argument(
        "--warmup", type=positive, metavar="X", help="let the learning rate rise linearly for the first X epochs"
    )
    how.add_argument("--clip-norm", type=positive, metavar="X", help="largest norm of the gradient")
    how.add_argument(
        "--grad-accumulation", type=positive_int, default=1, metavar="N", help="batches a step; default: 1"
    )
    how.add_argument(
        "--steps-per-launch", type=positive_int, default=1, metavar="K", help="steps of one CUDA graph; default: 1"
    )
    how.add_argument(
        "--patience",
        type=positive_int,
        metavar="N",
        help="stop after N epochs without a better validation loss, and keep the best weights",
    )
    how.add_argument("--validation", type=fraction, default=0.1, metavar="X", help="fraction held out; default: 0.1")
    how.add_argument("--seed", type=seed_of, default=0, metavar="N", help="default: 0")
    how.add_argument(
        "--memory-limit",
        type=bytes_of,
        metavar="SIZE",
        help="what a step may need, such as 500MiB; larger batches are cut (default: what is free)",
    )
    how.add_argument(
        "--on-nan",
        choices=("stop", "skip", "ignore"),
        default="stop",
        help="where numbers become infinite or NaN: stop, say where that began and keep the step for gpunn debug; take "
        "the step back and count it (which copies all weights before each step); or go on (default: stop)",
    )
    how.add_argument(
        "--precision",
        choices=("fp32", "tf32", "bf16", "fp16"),
        default="fp32",
        help="of products; in tf32 their factors are rounded to 10 bits; in bf16 and fp16 weights and their updates "
        "stay in float32, and in fp16 losses are scaled "
        "(default: fp32)",
    )
    add_recompute(how)
    how.add_argument(
        "--watch-gradients",
        type=positive_int,
        nargs="?",
        const=10,
        metavar="EVERY",
        help="record the norms of weights, gradients and updates by layer at every so many steps (default: 10), and "
        "say where gradients vanish or explode or units are dead",
    )
    how.add_argument(
        "--augment",
        type=augmentations,
        metavar="HOW,...",
        help="change images at random in each training step: "
        + ", ".join(f"{name}:{number:g}" if number else name for name, number in AUGMENTATIONS.items())
        + " (pixels of padding, the square's side, degrees, alpha)",
    )
    how.add_argument(
        "--log",
        type=loggers,
        metavar="TO,...",
        help=f"tell each epoch's numbers to {', '.join(LOGGERS)}: files in the run folder, or a run there",
    )
    how.add_argument("--eager", action="store_true", help="train and evaluate op by op, and not through plans")
    add_device(how)
    how.add_argument(
        "--checkpoint-every",
        type=every,
        default="epoch",
        metavar="WHEN",
        help="epoch, or beside that every so many seconds, as 30s, or steps, as 500steps (default: epoch)",
    )
    how.add_argument(
        "--keep-checkpoints",
        type=positive_int,
        default=2,
        metavar="K",
        help="of the last epochs, and as many of the present one; that of the best is kept too (default: 2)",
    )
    call = parser.add_argument_group("the call")
    call.add_argument("--out", type=Path, metavar="DIR", help="the run folder; default: the next free runs/NAME-N")
    call.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on with the run in this folder, with its options and the copy of its FILE.py",
    )
    call.add_argument("--config", type=Path, metavar="FILE.toml", help="options from a file; the command line wins")
    ranks = parser.add_argument_group(
        "several ranks", "processes that train together, started by mpirun, srun or --ranks; see docs/parallel.md"
    )
    ranks.add_argument("--ranks", type=positive_int, metavar="N", help="start so many ranks here, by mpirun")
    ranks.add_argument(
        "--restart", type=positive_int, metavar="N", help="with --ranks: where one dies, go on, at most N times"
    )
    ranks.add_argument(
        "--timeout", type=positive, metavar="S", help="seconds after which a rank hangs for all others (default: 300)"
    )
    ranks.add_argument("--sync-batch-norm", action="store_true", help="batch norm over the samples of all ranks")
    ranks.add_argument(
        "--shard-optimizer", action="store_true", help="each rank keeps the optimizer's state of a part of the weights"
    )
    call.add_argument("--json", action="store_true", help="the last line on standard output is one JSON object")


def with_config(
    parser: argparse.ArgumentParser, options: argparse.Namespace, argv: Sequence[str]
) -> argparse.Namespace:
    """The options again, with those from ``--config`` or the resumed run as defaults.

    Raises:
        UsageError: the file is missing or no TOML, or has an entry that is no option, or one of a wrong kind; or the
            command line has options that a resumed run can't have.
    """
    path = options.resume / "config.toml" if options.resume else options.config
    if path is None:
        return options
    given = _given(parser, argv)
    table = _read(path, bool(options.resume))
    parser.set_defaults(**checked({k: v for k, v in table.items() if k not in TABLES_OF_A_RUN}, path))
    before, options = parser.parse_args([]), parser.parse_args(argv)
    if options.resume:
        if before.model is None:
            raise UsageError(f"{path} is not from gpunn train: model is missing")
        _check_resumable(configured(before), configured(options), given, options.resume)
    options.given = given
    return options


def _check_resumable(before: dict[str, Any], now: dict[str, Any], given: set[str], run: Path) -> None:
    """Raise UsageError for options that a resumed run can't have."""
    for name in ("config", "out"):
        if name in given:
            raise UsageError(f"--{name} does not go with --resume, which goes on in {run} with its own options")
    for name in FIXED_IN_A_RUN:
        if name in given and now[name] != before[name]:
            option, value = name.replace("_", "-"), "none" if before[name] is None else before[name]
            raise UsageError(f"--{option} of {run} is {value} and can't change when it is resumed; begin a new run")


def _given(parser: argparse.ArgumentParser, argv: Sequence[str]) -> set[str]:
    """The names of the options that stand on the command line itself."""
    defaults = {action.dest: action.default for action in parser._actions if action.dest != "help"}
    nothing = object()
    parser.set_defaults(**dict.fromkeys(defaults, nothing))
    given = {name for name, value in vars(parser.parse_args(argv)).items() if name in defaults and value is not nothing}
    parser.set_defaults(**defaults)
    return given


def default_options() -> dict[str, Any]:
    """Every option of training with its default; TOML has no None, so a config.toml lacks those that were not set."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    return vars(parser.parse_args([]))


def checked(table: dict[str, Any], path: Path) -> dict[str, Any]:
    """The options in a table of a TOML file, as the command line would give them; dashes may stand for underscores.

    Raises:
        UsageError: an entry is no option, or one of a wrong kind.
    """
    parser = argparse.ArgumentParser()
    add_options(parser)
    known = {a.dest: a for a in parser._actions if a.dest not in NOT_CONFIGURED}
    found = {}
    for name, value in table.items():
        key = name.replace("-", "_")
        if isinstance(value, dict):
            raise UsageError(f"{path}: options stand at the top of the file, not in a table such as [{name}]")
        if key not in known:
            raise UsageError(f"{path}: there is no option {key!r}{did_you_mean(key, known)}")
        found[key] = _checked(known[key], value, path)
    return found


def configured(options: argparse.Namespace) -> dict[str, Any]:
    """The options of the training, as they stand in config.toml: with whole paths, to be read from anywhere."""
    found = {k: v for k, v in vars(options).items() if k not in NOT_CONFIGURED}
    if options.data not in NAMES:
        found["data"] = os.path.abspath(options.data)
    if options.data_root is not None:
        found["data_root"] = os.path.abspath(options.data_root)
    if (named := file_and_function(options.model)) is not None:
        found["model"] = f"{os.path.abspath(named[0])}:{named[1]}"
    return found


def _read(path: Path, resuming: bool) -> dict[str, Any]:
    from gpunn.train.toml import from_toml

    try:
        return from_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = " (is there a run in that folder?)" if resuming else ""
        raise UsageError(f"{path}: {error.strerror}{hint}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no TOML file: {error}") from None


def _checked(action: argparse.Action, value: Any, path: Path) -> Any:
    """The value as the option on the command line would give it."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UsageError(f"{path}: {action.dest} is {value!r}; expected true or false")
        return value
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    try:
        converted = action.type(text) if callable(action.type) else text
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise UsageError(f"{path}: {action.dest}: {error}") from None
    if action.choices is not None and converted not in action.choices:
        near = did_you_mean(str(value), action.choices)
        choices = ", ".join(map(str, action.choices))
        raise UsageError(f"{path}: {action.dest} is {value!r}; expected one of {choices}{near}")
    return converted
